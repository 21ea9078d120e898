"""What PCO may answer instead of a page: a clear error or a record put aside, and nothing lost."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from embedded.server_process import free_port
from pco_client.errors import (
    EdgeBlocked,
    Forbidden,
    PcoError,
    ServerFault,
    Unauthorized,
    UndecodableAnswer,
    UnexpectedDocument,
    Unreachable,
)
from tests.church import Church
from tests.simulators import SimulatorProcess

RECORDING = Path(__file__).parents[2] / "recordings" / "people.json"


BAD_ANSWERS: tuple[tuple[Mapping[str, Any], type[PcoError], str], ...] = (
    ({"kind": "401", "hint": "TRASH_PANDA"}, Unauthorized, "the user has no access to this product"),
    ({"kind": "403"}, Forbidden, "no permission"),
    ({"kind": "html-403"}, EdgeBlocked, "the edge answered an HTML page"),
    ({"kind": "500"}, ServerFault, "PCO failed"),
    ({"kind": "html"}, UndecodableAnswer, "the body is an HTML page"),
    ({"kind": "half-json"}, UndecodableAnswer, "the body is no JSON document"),
    ({"kind": "204"}, UndecodableAnswer, "an empty answer where a document is due"),
    ({"kind": "reset"}, Unreachable, "no answer from PCO"),
    ({"kind": "object"}, UnexpectedDocument, "`data` is an object where a list is due"),
    ({"kind": "stuck-next"}, UnexpectedDocument, "does not grow beyond"),
    ({"kind": "wrong-type"}, UnexpectedDocument, "every record is of another type than Person"),
)


@pytest.fixture
def church_in_ten_pages(church: Church, monkeypatch: pytest.MonkeyPatch) -> Church:
    """A church whose people are ten pages."""
    monkeypatch.setenv("PCO_SYNC_PAGE_SIZE", "12")
    return church


def test_a_product_that_answers_wrong_fails_the_sync_with_a_clear_error_and_loses_nothing(
    church: Church, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each failure leaves what was committed before it, and the next start goes on from there."""
    monkeypatch.setenv("PCO_SYNC_PAGE_SIZE", "4")
    monkeypatch.setenv("PCO_SYNC_PAGES_IN_FLIGHT", "1")
    monkeypatch.setenv("PCO_SYNC_RETRY_TOTAL_SECONDS", "0.05")
    for number, (fault, error, told) in enumerate(BAD_ANSWERS, start=1):
        church.simulator.reset_log()
        church.simulator.faults([{**fault, "at_request": 2, "permanent": True}])
        with pytest.raises(error, match=told):
            church.sync()
        (run,) = church.runs()
        assert (run.state, run.fence) == ("failed", number)
        assert told in run.error
        assert len(church.committed()) == number, "one good page before each failure"
        assert len(church.rows()) == 4 * number
    kept = church.committed()
    church.simulator.faults([])
    church.simulator.reset_log()
    assert church.sync().continued
    assert not kept & {offset for _, offset in church.reads()}
    assert church.differences() == []


def test_bad_answers_now_and_then_are_only_retries(church_in_ten_pages: Church) -> None:
    church = church_in_ten_pages
    kinds = ("500", "html", "half-json", "half-body", "reset", "html-403", "429")
    church.simulator.faults([{"kind": kind, "at_request": 3 + 2 * place} for place, kind in enumerate(kinds)])
    summary = church.sync()
    assert (summary.records, summary.quarantined) == (120, 0)
    assert summary.retries == len(kinds) - 1, "waiting for the budget after a 429 is not an attempt"
    assert church.differences() == []


def test_wrong_credentials_are_told_with_what_pco_says_about_them(
    church: Church, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PCO_SYNC_SECRET", "not-the-secret")
    state = church.end()
    assert "PCO does not accept the credential" in str(state.message)
    assert "the client is invalid" in str(state.message)
    assert "not-the-secret" not in str(state.message)
    assert sum(church.reads().values()) == 1


def test_an_unreachable_host_is_tried_again_and_told(church: Church, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PCO_SYNC_PCO_BASE_URL", f"http://127.0.0.1:{free_port()}")
    state = church.end()
    assert "no answer from PCO: the connection was refused" in str(state.message)
    assert "(ConnectError) (GET /people/v2/people)" in str(state.message)
    assert church.rows() == []


def test_a_record_that_pco_cannot_render_is_put_aside_and_all_others_are_mirrored(church_in_ten_pages: Church) -> None:
    church = church_in_ten_pages
    bad = church.simulator.state("people.Person")[40]["id"]
    church.simulator.faults([{"kind": "500", "record_id": bad, "permanent": True}])
    state = church.end()
    assert (state.is_completed(), state.name) == (True, "CompletedWithQuarantine")
    assert state.message == "1 record is in quarantine, in the table sync.quarantine"
    (aside,) = church.sql("SELECT * FROM sync.quarantine")
    assert (aside.offset, aside.record_id, aside.raw, aside.resolved_at) == (40, None, None, None)
    assert "cannot be fetched: PCO failed" in aside.reason
    assert church.differences() == [f"{bad}: not in the mirror"]
    church.simulator.faults([])
    church.sync()
    assert church.differences() == []


def test_poison_is_stored_as_it_is_or_put_aside_raw_and_blocks_nobody(church: Church) -> None:
    people = [one["id"] for one in church.simulator.state("people.Person")]
    stored = ["nul", "surrogate", "huge-integer", "huge-number", "impossible-date", "wrong-attribute-type", "duplicate"]
    rejected = ["missing-id", "empty-id", "wrong-record-type", "attributes-list", "not-an-object"]
    poisons = dict(zip([*stored, *rejected], people[10::8], strict=False))
    church.simulator.faults(
        [{"kind": kind, "record_id": identity, "permanent": True} for kind, identity in poisons.items()]
    )
    state = church.end()
    assert state.name == "CompletedWithQuarantine"
    rows = {row["id"]: row for row in church.rows()}
    assert set(people) - set(rows) == {poisons[kind] for kind in rejected}
    assert len(church.sql("SELECT 1 FROM sync.quarantine WHERE raw IS NOT NULL")) == len(rejected)
    odd = {kind: rows[poisons[kind]]["extra"] for kind in stored if kind != "duplicate"}
    assert all(odd.values())
    assert [value["$json"] for value in odd["nul"].values()] == ['"before\\u0000after"']
    assert [value["$json"] for value in odd["surrogate"].values()] == ['"lone \\ud800 surrogate"']
    assert [value["$json"] for value in odd["huge-integer"].values()] == ["9" * 30]
    assert list(odd["impossible-date"].values()) == ["2023-02-30T25:61:00Z"]
    church.simulator.faults([])
    church.sync()
    assert church.differences() == []


def test_where_pco_ignores_the_window_a_full_sync_is_exact_and_a_delta_reads_everything(
    church: Church, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    captures = json.loads(RECORDING.read_text())
    for capture in captures:
        capture["body"]["meta"]["can_query_by"] = ["status"]
    changed = tmp_path / "people.json"
    changed.write_text(json.dumps(captures))
    with SimulatorProcess(replay=changed) as recorded:
        elsewhere = church.served_by(recorded)
        monkeypatch.setenv("PCO_SYNC_PCO_BASE_URL", recorded.base_url)
        monkeypatch.setenv("PCO_SYNC_PAGE_SIZE", "2")
        elsewhere.sync()
        assert elsewhere.differences() == []
        church.sql("DELETE FROM people.person")
        summary = elsewhere.sync(mode="delta")
        assert summary.fallback == "PCO does not filter people.Person by updated_at any more"
        assert elsewhere.differences() == []
