"""What Planning Center answers may be wrong; then nothing is called proven that was not seen."""

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import get_args

import pytest

from tasks.verification.proof import Method
from tests.integration.mirrored_list import MirroredList, mirrored_list
from tests.simulators import SimulatorProcess

PEOPLE = 233
PATH = "/people/v2/people"
METHODS: tuple[Method, ...] = get_args(Method)


@pytest.fixture
def world() -> Iterator[SimulatorProcess]:
    """A church of three pages that a test may change."""
    with SimulatorProcess(people=PEOPLE, groups=12) as simulator:
        yield simulator


@pytest.fixture
async def people(still_world: SimulatorProcess, database_url: str, redis_url: str) -> AsyncIterator[MirroredList]:
    """The people of a church, mirrored an hour ago; Planning Center answers well until a test has it lie."""
    async with mirrored_list(still_world, "people.Person", database_url=database_url, redis_url=redis_url) as people:
        await people.fill(ago=timedelta(hours=1))
        yield people


@pytest.fixture
async def moving(world: SimulatorProcess, database_url: str, redis_url: str) -> AsyncIterator[MirroredList]:
    """The same in a world that changes."""
    async with mirrored_list(world, "people.Person", database_url=database_url, redis_url=redis_url) as people:
        await people.fill(ago=timedelta(hours=1))
        yield people


@pytest.mark.parametrize("cap", [100, 150, 200])
@pytest.mark.parametrize("counts_only", [True, False])
async def test_a_capped_count_is_not_believed(people: MirroredList, cap: int, counts_only: bool) -> None:
    """The count of people was capped at 10,000, and so was the offset (#736): the sync saw no more, either."""
    await people.sql("DELETE FROM TABLE WHERE id = ANY(:ids)", ids=people.ids()[cap:])
    people.simulator.cap(cap, counts_only=counts_only)
    for method in METHODS:
        proof = await people.verify(method)
        if counts_only and proof.verdict == "Different":
            assert set(proof.facts["residuals"]["unmirrored"]) <= set(people.ids()[cap:]), "the pages have shown them"
        else:
            assert proof.verdict == "Unknown", (method, proof.message)


async def test_a_cap_below_half_of_the_list_is_noticed_too(people: MirroredList) -> None:
    """Then both halves are capped to the same number as the whole."""
    await people.sql("DELETE FROM TABLE WHERE id = ANY(:ids)", ids=people.ids()[50:])
    people.simulator.cap(50)
    for method in METHODS:
        assert (await people.verify(method)).verdict == "Unknown", method


@pytest.mark.parametrize("kind", ["no-total", "wrong-total"])
async def test_a_count_that_is_missing_or_wrong_proves_nothing_and_all_pages_do(
    people: MirroredList, kind: str
) -> None:
    people.simulator.faults([{"kind": kind, "permanent": True}])
    assert [(await people.verify(method)).verdict for method in METHODS] == ["Unknown", "Unknown", "Exact"]
    await people.sql("DELETE FROM TABLE WHERE id = :id", id=people.ids()[220])
    assert (await people.verify("full")).verdict == "Different"


async def test_a_filter_that_is_ignored_does_not_spoil_the_count(people: MirroredList) -> None:
    """A filter that Planning Center does not know is answered with the whole list."""
    people.simulator.ignore(["created_at"])
    for method in METHODS:
        proof = await people.verify(method)
        assert proof.verdict in {"CountsAgree", "SampleAgrees", "Exact"}, proof.message
    await people.sql("DELETE FROM TABLE WHERE id = :id", id=people.ids()[3])
    for method in METHODS:
        assert (await people.verify(method)).verdict in {"Different", "Unknown"}


@pytest.mark.parametrize("status", ["403", "404", "500", "half-json", "html-403"])
async def test_a_list_that_fails_in_the_middle_is_unknown(people: MirroredList, status: str) -> None:
    for method in METHODS:
        people.simulator.faults([{"kind": status, "path": PATH, "at_request": 2, "permanent": True}])
        proof = await people.verify(method)
        assert proof.verdict == "Unknown", method
        assert "did not show the list" in proof.message


async def test_a_list_that_is_suddenly_empty_is_never_proven(people: MirroredList) -> None:
    """Its records are shown by their id, so the list hides them."""
    people.simulator.faults([{"kind": "empty-list", "path": PATH, "permanent": True}])
    assert [(await people.verify(method)).verdict for method in METHODS] == ["Different", "Unknown", "Unknown"]
    await people.sql("DELETE FROM TABLE WHERE id = ANY(:ids)", ids=people.ids()[12:])
    assert [(await people.verify(method)).verdict for method in METHODS] == ["Different", "Unknown", "Unknown"]


@pytest.mark.parametrize("poison", ["missing-id", "empty-id", "not-an-object", "attributes-list", "wrong-record-type"])
async def test_a_record_that_cannot_be_stored_is_never_passed_over(people: MirroredList, poison: str) -> None:
    people.simulator.faults([{"kind": poison, "record_id": people.ids()[130], "permanent": True}])
    for method in ("sample", "full"):
        assert (await people.verify(method)).verdict in {"Incomplete", "Different"}, method


@pytest.mark.parametrize("poison", ["nul", "surrogate", "huge-integer", "impossible-date", "wrong-attribute-type"])
async def test_a_record_with_strange_values_is_compared_like_any_other(people: MirroredList, poison: str) -> None:
    people.simulator.faults([{"kind": poison, "record_id": people.ids()[130], "permanent": True}])
    for method in ("sample", "full"):
        assert (await people.verify(method)).verdict == "Different", method


@pytest.mark.parametrize("poison", ["number-id", "duplicate"])
async def test_an_id_that_is_a_number_and_a_record_shown_twice_are_no_difference(
    people: MirroredList, poison: str
) -> None:
    people.simulator.faults([{"kind": poison, "record_id": people.ids()[130], "permanent": True}])
    assert (await people.verify("full")).verdict == "Exact"


@pytest.mark.parametrize("method", ["sample", "full"])
async def test_a_listed_record_that_is_not_found_by_its_id_leaves_the_answer_open(
    people: MirroredList, method: Method
) -> None:
    """Perhaps it was deleted meanwhile, perhaps its id is not shown: nobody has seen that the mirror needs no row."""
    hidden = people.ids()[20]
    people.simulator.faults([{"kind": "404", "path": f"{PATH}/{hidden}", "permanent": True}])
    assert (await people.verify(method)).verdict in {"Exact", "SampleAgrees"}
    await people.sql("DELETE FROM TABLE WHERE id = :id", id=hidden)
    proof = await people.verify(method)
    assert proof.verdict == "Unknown", proof.message
    assert "1 listed record is not found by id" in proof.message


@pytest.mark.parametrize("method", ["sample", "full"])
async def test_where_all_records_are_newer_than_the_mirror_nothing_was_compared(
    people: MirroredList, method: Method
) -> None:
    """As after a month without a sync: each may differ, so none is proven to agree."""
    await people.sql("UPDATE sync.watermarks SET watermark = '1990-01-01T00:00:00Z'")
    await people.sql("UPDATE TABLE SET _content_hash = substring(sha256('another') FOR length(_content_hash))")
    proof = await people.verify(method)
    assert proof.verdict == "Unknown", proof.message
    assert "no record has the same content" in proof.message


async def test_answers_of_another_kind_are_never_proven(people: MirroredList) -> None:
    people.simulator.faults([{"kind": "wrong-type", "permanent": True}])
    for method in ("sample", "full"):
        assert (await people.verify(method)).verdict in {"Incomplete", "Different", "Unknown"}, method


async def test_a_page_that_names_no_next_one_does_not_end_the_list(people: MirroredList) -> None:
    people.simulator.faults([{"kind": "no-next-no-total", "permanent": True}])
    await people.sql("DELETE FROM TABLE WHERE id = :id", id=people.ids()[220])
    assert (await people.verify("full")).verdict == "Different"


async def test_a_list_that_shrinks_while_it_is_read_hides_nothing(moving: MirroredList) -> None:
    """Whatever is deleted from the first page moves a record from the second page to the first, which is read."""
    ids = moving.ids()
    unmirrored = ids[99:102]
    await moving.sql("DELETE FROM TABLE WHERE id = ANY(:ids)", ids=unmirrored)
    moving.delete(*ids[:3], after_request=1)
    proof = await moving.verify("full")
    assert proof.verdict == "Different"
    assert set(proof.facts["residuals"]["unmirrored"]) == set(unmirrored)


async def test_a_list_that_moves_all_the_time_is_unknown(moving: MirroredList) -> None:
    """The mirror has all that is left, but nobody can tell."""
    ids = moving.ids()
    moving.simulator.faults([{"kind": "no-total", "permanent": True}])
    moving.delete(*ids[:60], after_request=1)
    moving.delete(*ids[60:90], *ids[140:171], after_request=2)
    await moving.sql("DELETE FROM TABLE WHERE id = ANY(:ids)", ids=[*ids[:90], *ids[140:171]])
    proof = await moving.verify("full")
    assert proof.verdict == "Unknown"
    assert "changes faster than it can be read" in proof.message


async def test_records_created_while_the_list_is_read_are_newer(moving: MirroredList) -> None:
    moving.create(3, after_request=1)
    assert (await moving.verify("full")).verdict == "ExactAsOf"


async def test_rows_that_a_sync_writes_meanwhile_are_no_difference(moving: MirroredList) -> None:
    """The page was requested before; what the sync has stored since is younger."""
    later = "now() + interval '1 minute'"
    changed = moving.ids()[20]
    await moving.sql(
        f"UPDATE TABLE SET _synced_at = {later}, _content_hash = sha256('newer') WHERE id = :id", id=changed
    )
    await moving.sql(f"UPDATE TABLE SET _synced_at = {later}, id = '999999999999' WHERE id = :id", id=moving.ids()[21])
    moving.delete(moving.ids()[21])
    proof = await moving.verify("full")
    assert proof.facts["unmirrored"] == proof.facts["ghosts"] == 0
