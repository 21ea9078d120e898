"""A verdict is never stronger than its evidence."""

from datetime import UTC, datetime
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.operations.verify import EXIT_CODES
from tasks.verification.proof import MOST_SHOWN, Evidence, Verdict, facts_of
from tests.histories import histories

AS_OF = datetime(2026, 11, 27, 10, 30, tzinfo=UTC)
ALL = {"mirror_count": 20, "pco_count": 20, "same": 20, "listed": 20, "pages": 1}
SMALL = st.integers(0, 2)
IDS = st.lists(st.sampled_from("123"), max_size=1).map(tuple)


def evidence(method: Any = "full", **more: Any) -> Evidence:
    return Evidence(method=method, as_of=AS_OF, **{**ALL, **more})


@pytest.mark.parametrize(
    ("seen", "verdict", "message"),
    [
        ({}, "Exact", "20 of 20 records have the same content"),
        ({"method": "sample"}, "SampleAgrees", "20 of 20 records have the same content (1 page); both count 20"),
        (
            {"method": "sample", "same": 9, "owners": 2, "known_owners": 7, "pco_count": None},
            "SampleAgrees",
            "9 of 20 records have the same content (2 of 7 owners)",
        ),
        (
            {"owners": 7, "known_owners": 7, "pco_count": None},
            "Exact",
            "20 of 20 records have the same content (7 of 7 owners)",
        ),
        ({"method": "count", "same": 0}, "CountsAgree", "both count 20; no content compared"),
        (
            {"same": 19, "newer": 1},
            "ExactAsOf",
            "19 of 20 records have the same content; 1 new or changed since 2026-11-27 10:30 UTC",
        ),
        ({"unmirrored": ("1", "2")}, "Different", "2 unmirrored; 20 of 20 records have the same content"),
        ({"ghosts": ("1",), "doubt": "x"}, "Different", "1 ghosts; 20 of 20 records have the same content"),
        (
            {"method": "count", "same": 0, "surplus": (3,), "pco_count": 23},
            "Different",
            "Planning Center counts 23, the mirror 20; no content compared",
        ),
        ({"doubt": "nobody knows"}, "Unknown", "nobody knows; 20 of 20 records have the same content"),
        (
            {"same": 0, "newer": 20},
            "Unknown",
            "no record has the same content: none was compared, or all were changed since; "
            "0 of 20 records have the same content; 20 new or changed since 2026-11-27 10:30 UTC",
        ),
        ({"method": "sample", "same": 0, "owners": 0, "pco_count": None}, "Unknown", None),
        ({"same": 18, "newer": 1, "added": 1}, "Unknown", None),
        ({"same": 19}, "Unknown", "not every row was compared; 19 of 20 records have the same content"),
        ({"quarantined": 2}, "Incomplete", "2 in quarantine; 20 of 20 records have the same content"),
        ({"method": "count", "surplus": (2, 1), "quarantined": 2}, "Incomplete", None),
        ({"method": "count", "surplus": (3,), "quarantined": 2}, "Different", None),
        ({"method": "count", "surplus": (0, 1, -1)}, "Different", None),
        ({"method": "sample", "surplus": (-1,), "hidden": 1}, "SampleAgrees", None),
        ({"listed": 0, "hidden": 20, "pco_count": 0}, "Unknown", None),
        ({"mirror_count": 0, "pco_count": 0, "same": 0, "listed": 0}, "Exact", "0 of 0 records have the same content"),
    ],
)
def test_the_word_and_its_reason(seen: dict[str, Any], verdict: str, message: str | None) -> None:
    found = evidence(**seen)
    assert found.verdict == verdict
    assert message is None or found.message == message


@histories(300)
@given(
    seen=st.fixed_dictionaries(
        {
            "method": st.sampled_from(["count", "sample", "full"]),
            "surplus": st.tuples(st.integers(-2, 2)),
            "doubt": st.sampled_from(["", "x"]),
            "same": st.integers(18, 20),
            "newer": SMALL,
            "hidden": SMALL,
            "quarantined": SMALL,
            "unstorable": SMALL,
            "unmirrored": IDS,
            "ghosts": IDS,
            "outdated": IDS,
        }
    )
)
def test_exact_is_said_only_of_the_same_content_everywhere(seen: dict[str, Any]) -> None:
    found = evidence(**seen)
    spotless = not any(seen[name] for name in seen if name not in {"method", "same", "hidden", "surplus"})
    if found.verdict == "Exact":
        assert spotless
        assert (seen["method"], seen["same"]) == ("full", 20)
    if EXIT_CODES[found.verdict] == 0:
        quiet = ("doubt", "quarantined", "unstorable", "unmirrored", "ghosts", "outdated")
        assert not any(seen[name] for name in quiet)


def test_every_verdict_has_an_exit_code() -> None:
    assert set(EXIT_CODES) == set(get_args(Verdict))


def test_what_is_kept_names_some_ids_of_each_kind_and_all_numbers() -> None:
    facts = facts_of(evidence(ghosts=tuple(str(one) for one in range(300))), seed=3)
    assert (facts["ghosts"], facts["outdated"], facts["seed"]) == (300, 0, 3)
    assert facts["residuals"]["ghosts"] == [str(one) for one in range(MOST_SHOWN)]
    assert facts["message"].startswith("300 ghosts")
