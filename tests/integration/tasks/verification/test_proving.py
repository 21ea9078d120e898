"""A verdict says what was seen, and no more: in how many records, by what, and at what cost."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest

from tasks.verification.proof import Method
from tests.integration.mirrored_list import MirroredList, mirrored_list
from tests.simulators import SimulatorProcess

PEOPLE = 233
METHODS: tuple[Method, ...] = get_args(Method)
AGREES = {"count": "CountsAgree", "sample": "SampleAgrees", "full": "Exact"}


@pytest.fixture
def world() -> Iterator[SimulatorProcess]:
    """A church of three pages that a test may change."""
    with SimulatorProcess(people=PEOPLE, groups=12) as simulator:
        yield simulator


@pytest.fixture
async def still(still_world: SimulatorProcess, database_url: str, redis_url: str) -> AsyncIterator[MirroredList]:
    """The people of a church that no test changes, mirrored an hour ago."""
    async with mirrored_list(still_world, "people.Person", database_url=database_url, redis_url=redis_url) as people:
        await people.fill(ago=timedelta(hours=1))
        yield people


@pytest.fixture
async def people(world: SimulatorProcess, database_url: str, redis_url: str) -> AsyncIterator[MirroredList]:
    """Its people, mirrored an hour ago."""
    async with mirrored_list(world, "people.Person", database_url=database_url, redis_url=redis_url) as people:
        await people.fill(ago=timedelta(hours=1))
        yield people


@pytest.fixture
async def groups(world: SimulatorProcess, database_url: str, redis_url: str) -> AsyncIterator[MirroredList]:
    """A list that can be ordered by the time of creation, and not filtered by it."""
    async with mirrored_list(world, "groups.Group", database_url=database_url, redis_url=redis_url) as groups:
        await groups.fill(ago=timedelta(hours=1))
        yield groups


@pytest.fixture
async def statuses(world: SimulatorProcess, database_url: str, redis_url: str) -> AsyncIterator[MirroredList]:
    """A list without times of creation or change."""
    async with mirrored_list(world, "people.MaritalStatus", database_url=database_url, redis_url=redis_url) as list_:
        await list_.fill(ago=timedelta(hours=1))
        yield list_


async def test_each_method_names_what_it_has_compared(still: MirroredList) -> None:
    for method in METHODS:
        proof = await still.verify(method)
        assert proof.verdict == AGREES[method], proof.message
        assert proof.facts["mirror_count"] == proof.facts["pco_count"] == PEOPLE
        assert proof.facts["same"] == (0 if method == "count" else PEOPLE)
        kept = (await still.sql("SELECT * FROM sync.proofs ORDER BY proof_id DESC LIMIT 1"))[0]
        assert (kept.verdict, kept.facts, kept.requests) == (proof.verdict, dict(proof.facts), proof.requests)
    assert "no content compared" in (await still.verify("count")).message


async def test_the_cost_is_a_few_requests_more_than_the_pages(still: MirroredList) -> None:
    """At version 0.1 a count cost 2 and a sample of three pages 4, where all agreed."""
    assert [(await still.verify(method)).requests for method in METHODS] == [3, 5, 3]


async def test_records_without_a_time_of_creation_that_the_sync_left_out_are_found(people: MirroredList) -> None:
    """`where[created_at]` leaves them out, as SQL does with nulls."""
    for _ in range(5):
        people.create(created_at=None, updated_at="2020-01-01T00:00:00Z")
    count, sample, full = [await people.verify(method) for method in METHODS]
    assert {proof.verdict for proof in (count, sample, full)} == {"Different"}
    assert "Planning Center counts 238, the mirror 233" in count.message
    assert full.facts["residuals"]["unmirrored"] == people.ids()[PEOPLE:]
    assert [proof.requests for proof in (count, sample)] == [6, 5 + 5 + 3], "five are requested once more"


async def test_records_without_a_time_of_creation_that_are_in_the_mirror_are_no_difference(
    people: MirroredList,
) -> None:
    people.create(created_at=None, updated_at="2020-01-01T00:00:00Z")
    await people.fill(ago=timedelta(hours=1))
    for method in METHODS:
        assert (await people.verify(method)).verdict == AGREES[method]


async def test_it_says_by_what_a_mirror_differs(still: MirroredList) -> None:
    ids = still.ids()
    ghost = str(int(ids[7]) + 1)
    await still.sql("DELETE FROM TABLE WHERE id = :id", id=ids[3])
    await still.sql("UPDATE TABLE SET updated_at = updated_at - interval '1 day' WHERE id = :id", id=ids[5])
    await still.sql(
        "INSERT INTO TABLE SELECT (jsonb_populate_record(one, jsonb_build_object('id', CAST(:id AS text)))).* "
        "FROM TABLE AS one WHERE id = :like",
        id=ghost,
        like=ids[7],
    )
    for method in ("sample", "full"):
        proof = await still.verify(method)
        assert proof.verdict == "Different"
        assert proof.facts["residuals"] == {"unmirrored": [ids[3]], "outdated": [ids[5]], "ghosts": [ghost]}
        assert proof.message.startswith("1 unmirrored, 1 ghosts, 1 outdated; 231 of 233 records")


async def test_ghosts_before_the_first_record_and_beyond_the_last_are_found(still: MirroredList) -> None:
    for identity, place in (("1", 0), ("999999999999", 1)):
        await still.sql("UPDATE TABLE SET id = :id WHERE id = :like", id=identity, like=still.ids()[place])
    for method in ("sample", "full"):
        assert (await still.verify(method)).facts["residuals"]["ghosts"] == ["1", "999999999999"]


async def test_a_change_that_does_not_move_the_time_of_change_is_found_by_content(people: MirroredList) -> None:
    """Planning Center changes records without moving `updated_at` (#1253)."""
    changed = people.edit(40, {"first_name": "Changed"}, silently=True)
    for method in ("sample", "full"):
        proof = await people.verify(method)
        assert (proof.verdict, proof.facts["residuals"]["outdated"]) == ("Different", [changed])
    assert (await people.verify("count")).verdict == "CountsAgree", "which promises nothing else"


async def test_a_change_in_a_list_without_times_of_change_is_found(statuses: MirroredList) -> None:
    assert (await statuses.verify("full")).verdict == "Exact"
    changed = statuses.edit(0, {"value": "Changed"})
    proof = await statuses.verify("full")
    assert (proof.verdict, proof.facts["residuals"]["outdated"]) == ("Different", [changed])


async def test_rows_of_older_versions_are_compared_by_their_values(people: MirroredList) -> None:
    """Their hashes follow another rule."""
    await people.sql("UPDATE TABLE SET _content_hash = substring(_content_hash for 16)")
    assert (await people.verify("full")).verdict == "Exact"
    changed = people.edit(9, {"first_name": "Changed"}, silently=True)
    proof = await people.verify("full")
    assert (proof.verdict, proof.facts["residuals"]["outdated"]) == ("Different", [changed])


async def test_what_planning_center_changed_since_is_no_difference_and_is_named(people: MirroredList) -> None:
    for place in (1, 2, PEOPLE - 1):
        people.edit(place, {"first_name": "Changed"})
    people.create(2)
    for method in METHODS:
        proof = await people.verify(method)
        expected = "ExactAsOf" if method == "full" else AGREES[method]
        assert proof.verdict == expected, proof.message
        assert proof.facts["newer"] == (2 if method == "count" else 5)
        assert "new or changed since" in proof.message
    assert proof.facts["same"] == PEOPLE - 3


async def test_a_time_of_change_in_the_future_excuses_nothing(people: MirroredList) -> None:
    changed = people.edit(4, {"updated_at": "2099-01-01T00:00:00Z"})
    proof = await people.verify("full")
    assert (proof.verdict, proof.facts["residuals"]["outdated"]) == ("Different", [changed])


async def test_a_deletion_that_no_sync_has_noticed_yet_is_a_difference(people: MirroredList) -> None:
    gone = people.ids()[200]
    people.delete(gone)
    for method in METHODS:
        assert (await people.verify(method)).verdict == "Different"
    assert (await people.verify("full")).facts["residuals"]["ghosts"] == [gone]


async def test_what_is_in_quarantine_keeps_a_mirror_from_being_exact(still: MirroredList) -> None:
    aside = still.ids()[10:12]
    await still.sql("DELETE FROM TABLE WHERE id = ANY(:ids)", ids=aside)
    await still.quarantine(*aside)
    for method in METHODS:
        proof = await still.verify(method)
        assert (proof.verdict, proof.facts["quarantined"]) == ("Incomplete", 2), proof.message
        assert proof.message.startswith("2 in quarantine; ")
        assert proof.facts["unmirrored"] == 0


async def test_records_without_an_id_are_counted_whether_they_are_in_quarantine_or_not(still: MirroredList) -> None:
    aside = still.ids()[10:12]
    still.simulator.faults([{"kind": "null-id", "record_id": one, "permanent": True} for one in aside])
    await still.sql("DELETE FROM TABLE WHERE id = ANY(:ids)", ids=aside)
    proof = await still.verify("full")
    assert (proof.verdict, proof.facts["unstorable"]) == ("Incomplete", 2), proof.message
    assert "2 listed that cannot be stored" in proof.message
    await still.quarantine(None, None)
    for method in METHODS:
        proof = await still.verify(method)
        assert proof.verdict == "Incomplete", proof.message
        assert "2 in quarantine" in proof.message


async def test_more_missing_than_in_quarantine_is_a_difference(still: MirroredList) -> None:
    missing = still.ids()[10:13]
    await still.sql("DELETE FROM TABLE WHERE id = ANY(:ids)", ids=missing)
    await still.quarantine(missing[0], missing[1])
    for method in METHODS:
        assert (await still.verify(method)).verdict == "Different"
    assert (await still.verify("full")).facts["residuals"]["unmirrored"] == [missing[2]]


async def test_where_planning_center_cannot_count_by_time_a_count_promises_less(groups: MirroredList) -> None:
    for method in METHODS:
        assert (await groups.verify(method)).verdict == AGREES[method]
    groups.create(created_at=datetime.now(UTC).isoformat())
    count, sample, full = [await groups.verify(method) for method in METHODS]
    assert (count.verdict, sample.verdict, full.verdict) == ("Unknown", "SampleAgrees", "ExactAsOf")
    assert "the others may be new" in count.message
    await groups.sql("DELETE FROM TABLE WHERE id = ANY(:ids)", ids=groups.ids()[:2])
    assert {(await groups.verify(method)).verdict for method in ("sample", "full")} == {"Different"}


async def test_new_records_beyond_the_sampled_pages_are_not_taken_for_a_difference(groups: MirroredList) -> None:
    """Where Planning Center cannot count by time, only those on the sampled pages are known to be new."""
    groups.create(450, created_at=datetime.now(UTC).isoformat())
    proof = await groups.verify("sample", sample_pages=3)
    assert 0 < proof.facts["added"] < 450
    assert proof.verdict == "Unknown", proof.message
    assert "the others may be new" in proof.message


async def test_a_round_count_that_cannot_be_halved_is_not_believed(statuses: MirroredList) -> None:
    statuses.create(1000 - len(statuses.ids()))
    await statuses.fill(ago=timedelta(hours=1))
    for method in METHODS:
        proof = await statuses.verify(method)
        assert (proof.verdict, "exactly 1000 may be capped" in proof.message) == ("Unknown", True)


async def test_a_sample_of_a_long_list_needs_no_deep_offset(
    people: MirroredList, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("proving", "listing"):
        monkeypatch.setattr(f"tasks.verification.{module}.DEEP_OFFSET", 90)
    proof = await people.verify("sample", sample_pages=4)
    assert (proof.verdict, proof.facts["pages"]) == ("SampleAgrees", 4)
    assert max(one["offset"] for one in people.simulator.access_log()) <= 90
    await people.sql("DELETE FROM TABLE WHERE id = :id", id=people.ids()[0])
    assert (await people.verify("sample", sample_pages=4)).verdict == "Different"


async def test_a_full_comparison_costs_a_tenth_more_than_the_pages_at_most(database_url: str, redis_url: str) -> None:
    """Beyond forty pages each page begins with the last record of the one before it."""
    with SimulatorProcess(people=4130, groups=1) as world:
        async with mirrored_list(world, "people.Person", database_url=database_url, redis_url=redis_url) as people:
            await people.fill(ago=timedelta(hours=1))
            proof = await people.verify("full")
            assert (proof.verdict, proof.requests) == ("Exact", 44), "of 42 pages"
            unmirrored = people.ids()[100]
            await people.sql("DELETE FROM TABLE WHERE id = :id", id=unmirrored)
            people.delete(people.ids()[0], after_request=3)
            moved = await people.verify("full")
            assert moved.facts["residuals"]["unmirrored"] == [unmirrored], "the list moved while it was read"
