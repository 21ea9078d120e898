"""What comes with the records of a list is mirrored with them: one request, one transaction, the same guarantees."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State

from flows.replay_quarantine import replay_quarantine
from flows.sync_child import sync_child
from flows.sync_entity import NotIncludedError
from flows.sync_organization import sync_organization
from tests.church import Church
from tests.plain_http import NOBODY
from tests.simulators import SimulatorProcess

DONATIONS = "giving.Donation"
DESIGNATIONS = "giving.Designation"
KINDS = (DESIGNATIONS, "giving.Refund", "giving.Note", "giving.DesignationRefund")
PATH = "/giving/v2/donations"
INCLUDE = "include=designations,note,refund,refund.designation_refunds"
ALWAYS = {"permanent": True}


@pytest.fixture
def giving(church: Church, monkeypatch: pytest.MonkeyPatch) -> Iterator[Church]:
    """A church with 90 donations in pages of 30, in a world of its own."""
    with SimulatorProcess(people=90, groups=0) as world:
        monkeypatch.setenv("PCO_SYNC_PCO_BASE_URL", world.base_url)
        monkeypatch.setenv("PCO_SYNC_PAGE_SIZE", "30")
        monkeypatch.setenv("PCO_SYNC_RETRY_TOTAL_SECONDS", "1")
        yield church.served_by(world)


def lapse(giving: Church, kind: str, **rule: Any) -> None:
    giving.simulator.faults([{"kind": f"include-{kind}", "include": "designations", **rule}])


def differences(giving: Church) -> list[str]:
    """Of values, and of owners."""
    owners = {one["id"]: one["donation_id"] for one in giving.rows(DESIGNATIONS) if one["_deleted_at"] is None}
    others = [] if len(owners) > 1000 or owners == owners_now(giving) else ["the owners of some designations"]
    return [*others, *(one for kind in (DONATIONS, *KINDS) for one in giving.differences(kind))]


def asked(giving: Church, *, below: bool = False) -> list[str]:
    """The requests for donations, or for the lists below single ones."""
    paths = [f"{one['path']}?{one['query']}" for one in giving.simulator.access_log()]
    return [one for one in paths if one.startswith(f"{PATH}/" if below else f"{PATH}?")]


def designations_of(giving: Church, owner: str) -> list[str]:
    return [one["id"] for one in giving.rows(DESIGNATIONS) if one["donation_id"] == owner and not one["_deleted_at"]]


def owners_now(giving: Church) -> dict[str, str]:
    """Whose each designation is, by what the donations' own lists show."""
    world = giving.simulator
    found: dict[str, str] = {}
    with httpx.Client(
        verify=NOBODY, auth=(world.app_id, world.secret), base_url=world.base_url, trust_env=False
    ) as http:
        for donation in world.state(DONATIONS):
            answer = http.get(f"{PATH}/{donation['id']}/designations", params={"per_page": 100})
            found |= dict.fromkeys((one["id"] for one in answer.json()["data"]), donation["id"])
    giving.simulator.reset_log()
    return found


def owner_with(giving: Church, least: int) -> str:
    """A donation with so many designations at least."""
    owners = list(owners_now(giving).values())
    return next(one for one in owners if owners.count(one) >= least)


def ended(giving: Church, **parameters: Any) -> State[Any]:
    return giving.end(DONATIONS, **parameters)


def test_donations_bring_what_belongs_to_them(giving: Church) -> None:
    summary = giving.sync(DONATIONS)

    assert {INCLUDE in one for one in asked(giving)} == {True}
    assert differences(giving) == []
    assert {kind: one.outcome for kind, one in summary.brought.items()} == dict.fromkeys(sorted(KINDS), "completed")
    assert summary.brought[DESIGNATIONS].new == len(giving.rows(DESIGNATIONS)) > 90
    assert "Designation (" in summary.told
    runs = {run.entity: run.state for run in giving.sql("SELECT entity, state FROM sync.runs")}
    assert runs == dict.fromkeys([DONATIONS, *KINDS], "completed")

    again = giving.sync(DONATIONS)
    assert again.brought[DESIGNATIONS].unchanged == summary.brought[DESIGNATIONS].new
    assert (again.changed, again.brought[DESIGNATIONS].changed) == (0, 0)


def test_asked_for_alone_it_is_read_with_its_owners(giving: Church) -> None:
    summary = giving.sync(DESIGNATIONS)
    assert summary.key.startswith("sync-entity:grace:giving.Donation:")
    assert giving.differences(DESIGNATIONS) == []


def test_what_was_committed_is_not_asked_for_again(giving: Church) -> None:
    giving.simulator.faults([{"kind": "403", "path": PATH, "after": 2, **ALWAYS}])
    assert ended(giving).is_failed()
    first = giving.reads()
    assert giving.rows(DESIGNATIONS)

    giving.simulator.faults([])
    giving.simulator.reset_log()
    summary = giving.sync(DONATIONS)
    assert summary.continued
    assert first.keys() - giving.reads().keys(), "some pages were done"
    assert differences(giving) == []
    assert summary.brought[DESIGNATIONS].rows == len(giving.rows(DESIGNATIONS))


def test_a_delta_asks_for_the_same(giving: Church) -> None:
    giving.sync(DONATIONS)
    owner = owner_with(giving, 1)
    (made,) = giving.simulator.churn(
        [{"operation": "create", "entity": DESIGNATIONS, "relationships": {"donation": owner}}]
    )
    giving.simulator.churn([{"operation": "edit", "entity": DONATIONS, "id": owner, "attributes": {"fee_cents": 7}}])
    giving.simulator.clock(ahead_seconds=10)
    giving.simulator.reset_log()
    summary = giving.sync(DONATIONS, mode="delta")
    assert summary.records == 1
    assert str(made) in designations_of(giving, owner)
    assert {INCLUDE in one for one in asked(giving)} == {True}


def test_deleted_ones_get_their_tombstones_with_their_owners_and_without(giving: Church) -> None:
    giving.sync(DONATIONS)
    owner = owner_with(giving, 2)
    lone, *_ = designations_of(giving, owner)
    other = next(one["donation_id"] for one in giving.rows(DESIGNATIONS) if one["donation_id"] != owner)
    its = designations_of(giving, other)
    giving.simulator.churn([{"operation": "delete", "entity": DESIGNATIONS, "id": lone}])
    giving.simulator.churn([{"operation": "delete", "entity": DONATIONS, "id": other}])

    def dead() -> set[str]:
        return {one["id"] for one in giving.rows(DESIGNATIONS) if one["_deleted_at"]}

    summary = giving.sync(DONATIONS)
    assert dead() == set(its)
    assert (summary.deleted, summary.brought[DESIGNATIONS].deleted) == (1, len(its))
    assert summary.brought[DESIGNATIONS].missing == len(its)
    assert giving.sync(DONATIONS).brought[DESIGNATIONS].deleted == 1
    assert dead() == {lone, *its}, "it may have moved while the list was read, so it was left for the next turn"


def test_a_kind_of_which_an_owner_has_one_is_looked_for_by_its_id(giving: Church) -> None:
    giving.sync(DONATIONS)
    note = giving.rows("giving.Note")[0]
    giving.simulator.churn([{"operation": "delete", "entity": "giving.Note", "id": note["id"]}])
    giving.sync(DONATIONS)
    giving.sync(DONATIONS)
    assert [one["id"] for one in giving.rows("giving.Note") if one["_deleted_at"]] == [note["id"]]


def test_what_is_shown_with_owners_only_is_gone_when_none_has_shown_it_twice(
    church: Church, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SimulatorProcess(people=12, groups=8) as world:
        monkeypatch.setenv("PCO_SYNC_PCO_BASE_URL", world.base_url)
        groups = church.served_by(world)
        groups.sync("groups.Group")
        gone = groups.rows("groups.Location")[0]["id"]
        world.churn([{"operation": "delete", "entity": "groups.Location", "id": gone}])

        def buried() -> dict[str, str]:
            return {one["id"]: one["_deleted_reason"] for one in groups.rows("groups.Location") if one["_deleted_at"]}

        groups.sync("groups.Group")
        assert buried() == {}, "another group may have it, which was read before"
        summary = groups.sync("groups.Group")
        assert buried() == {gone: "shown by no owner"}
        assert summary.brought["groups.Location"].deleted == 1


def test_one_that_moves_to_an_owner_who_was_read_before_is_not_taken_for_deleted(
    giving: Church, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PCO_SYNC_PAGES_IN_FLIGHT", "1")
    giving.sync(DONATIONS)
    donations = [one["id"] for one in giving.simulator.state(DONATIONS)]
    moved, *_ = designations_of(giving, donations[45])
    requests = len(giving.simulator.access_log())
    # After the opening page and the last one, and before the page between them.
    giving.simulator.churn(
        [
            {
                "operation": "edit",
                "entity": DESIGNATIONS,
                "id": moved,
                "relationships": {"donation": donations[-1]},
                "after_request": requests + 2,
            }
        ]
    )

    summary = giving.sync(DONATIONS)

    ids = giving.sql(
        "SELECT unnest(ids) FROM sync.pages JOIN sync.runs USING (run_id) WHERE epoch = :epoch AND entity = :entity",
        epoch=summary.epoch,
        entity=DESIGNATIONS,
    )
    assert (moved,) not in ids, "no page has shown it"
    assert [one["_deleted_at"] for one in giving.rows(DESIGNATIONS) if one["id"] == moved] == [None]
    giving.sync(DONATIONS)
    assert differences(giving) == []


@pytest.mark.parametrize("kind", ["missing", "unshown"])
def test_where_one_owner_does_not_tell_everything_its_own_list_is_read(giving: Church, kind: str) -> None:
    owner = owner_with(giving, 2)
    lapse(giving, kind, record_id=owner, **ALWAYS)
    state = ended(giving)
    assert state.name == "Completed"
    assert any(f"/{owner}/designations" in one for one in asked(giving, below=True))
    giving.simulator.faults([])
    assert differences(giving) == []


def test_whose_it_is_that_nobody_names_is_learnt_from_parts_of_the_page(giving: Church) -> None:
    lapse(giving, "unnamed", record_id=owner_with(giving, 2), **ALWAYS)
    assert ended(giving).name == "Completed"
    sizes = [int(one.partition("per_page=")[2].partition("&")[0]) for one in asked(giving)]
    assert sizes.count(30) == 3
    assert 4 <= len([size for size in sizes if size < 30]) <= 6, "half of it, and half of that, until one stands alone"
    giving.simulator.faults([])
    assert differences(giving) == []


def test_a_page_that_names_the_owners_of_too_little_is_not_trusted(giving: Church) -> None:
    lapse(giving, "unnamed", **ALWAYS)
    state = ended(giving)
    assert state.name == "CompletedWithoutIncluded"
    assert "does not tell whose" in str(state.message)


def dropped(giving: Church) -> None:
    lapse(giving, "unknown", path=PATH, after=2, **ALWAYS)


def left_out(giving: Church) -> None:
    lapse(giving, "missing", **ALWAYS)


def left_out_of_pages_side_by_side(giving: Church) -> None:
    lapse(giving, "missing", path=PATH, after=1, **ALWAYS)


def cut(giving: Church) -> None:
    lapse(giving, "cut", number=1, **ALWAYS)


@pytest.mark.parametrize(
    ("fails", "why"),
    [
        (dropped, "does not offer designations"),
        (left_out, "does not tell all designations of"),
        (left_out_of_pages_side_by_side, "does not tell all designations of"),
        (cut, "designations of one record lacks"),
    ],
)
def test_an_include_that_is_not_kept_to_is_not_trusted_and_costs_no_row(
    giving: Church, fails: Callable[[Church], None], why: str
) -> None:
    giving.sync(DONATIONS)
    fails(giving)

    state = ended(giving)

    assert state.name == "CompletedWithoutIncluded"
    assert DESIGNATIONS in str(state.message)
    assert why in str(state.message)
    assert not [one for one in giving.rows(DESIGNATIONS) if one["_deleted_at"]]
    assert giving.differences(DONATIONS) == []
    ((error,),) = giving.sql(
        "SELECT error FROM sync.runs WHERE entity = :entity AND state = 'failed'", entity=DESIGNATIONS
    )
    assert why in error

    giving.simulator.reset_log()
    assert ended(giving).name == "Completed"
    assert {"designations," in one for one in asked(giving)} == {False}
    with pytest.raises(NotIncludedError, match="read one by one"):
        giving.sync(DESIGNATIONS)
    giving.sql(
        'UPDATE sync.list_traits SET distrusted = replace(distrusted::text, \'"at": "20\', \'"at": "19\')::jsonb'
    )
    giving.simulator.faults([])
    assert DESIGNATIONS in giving.sync(DESIGNATIONS).brought, "after a month it gets a chance"
    assert differences(giving) == []


def test_an_owner_of_thousands_is_read_alone_and_the_others_in_whole_pages(giving: Church) -> None:
    owner = owner_with(giving, 1)
    giving.simulator.churn(
        [{"operation": "create", "entity": DESIGNATIONS, "count": 3000, "relationships": {"donation": owner}}]
    )
    lapse(giving, "too-big", number=60, **ALWAYS)
    assert ended(giving).name == "Completed"
    assert len(designations_of(giving, owner)) > 3000
    assert differences(giving) == []
    assert giving.sql("SELECT page_size FROM sync.list_traits") == []


def test_pages_that_are_too_much_are_smaller_from_then_on(giving: Church) -> None:
    lapse(giving, "too-big", number=30, **ALWAYS)
    assert ended(giving).name == "Completed"
    ((size,),) = giving.sql("SELECT page_size FROM sync.list_traits")
    assert size < 30

    giving.simulator.reset_log()
    assert ended(giving).name == "Completed"
    assert not [one for one in giving.simulator.access_log() if one["status"] == 504]
    assert differences(giving) == []


def test_a_page_that_fails_for_another_reason_is_retried_as_ever(giving: Church) -> None:
    giving.simulator.faults([{"kind": "500", "path": PATH, "times": 1}])
    assert ended(giving).name == "Completed"
    assert giving.sql("SELECT count(*) FROM sync.list_traits")[0][0] == 0
    assert differences(giving) == []


def test_a_turn_that_an_older_version_has_opened_stays_what_it_was(giving: Church) -> None:
    giving.simulator.faults([{"kind": "403", "path": PATH, "after": 2, **ALWAYS}])
    assert ended(giving).is_failed()
    giving.sql("DELETE FROM sync.pages WHERE run_id IN (SELECT run_id FROM sync.runs WHERE read_with IS NOT NULL)")
    giving.sql("DELETE FROM sync.runs WHERE read_with IS NOT NULL")
    giving.sql("UPDATE sync.runs SET members = NULL")
    giving.simulator.faults([])
    giving.simulator.reset_log()
    summary = giving.sync(DONATIONS)
    assert summary.continued
    assert summary.brought == {}
    assert {"include" in one for one in asked(giving)} == {False}


def test_what_cannot_be_a_row_stands_aside_with_its_owner_and_is_replayed_there(giving: Church) -> None:
    owner = owner_with(giving, 2)
    lapse(giving, "spoilt", record_id=owner, **ALWAYS)
    state = ended(giving)
    assert state.name == "CompletedWithQuarantine"
    assert "giving.Designation: 1 record is in quarantine" in str(state.message)
    ((entity, bad, of),) = giving.sql("SELECT entity, record_id, owner FROM sync.quarantine")
    assert (entity, of) == (DESIGNATIONS, owner)
    assert bad not in designations_of(giving, owner)

    giving.simulator.reset_log()
    replayed = replay_quarantine(giving.org_id)
    assert (replayed.stored, replayed.still_open) == (1, 0)
    assert [one["path"] for one in giving.simulator.access_log()] == [f"{PATH}/{owner}/designations/{bad}"]
    assert differences(giving) == []


def test_what_belongs_to_a_record_that_stands_aside_is_mirrored(giving: Church) -> None:
    owner = owner_with(giving, 2)
    giving.simulator.faults([{"kind": "attributes-list", "record_id": owner, "path": PATH, **ALWAYS}])
    assert ended(giving).name == "CompletedWithQuarantine"
    assert giving.sql("SELECT entity, record_id FROM sync.quarantine WHERE resolved_at IS NULL") == [(DONATIONS, owner)]
    assert len(designations_of(giving, owner)) >= 2


def test_a_church_reads_below_each_owner_what_does_not_come_with_them(
    giving: Church, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PCO_SYNC_CHILD_DEPLOYMENT", f"{sync_child.name}/nobody-runs-it")
    asyncio.run(deploy(sync_child, "nobody-runs-it"))
    cut(giving)

    summary = sync_organization(giving.org_id, include=[DESIGNATIONS], wait=False)

    told = {one.entity: one.outcome for one in summary.entities}
    assert told == {DONATIONS: "completed", DESIGNATIONS: "spreading", **dict.fromkeys(KINDS[1:], "completed")}
    ((keys, scopes),) = giving.sql(
        "SELECT count(*), count(DISTINCT scope) FROM sync.runs WHERE parent_run_id IS NOT NULL AND entity = :entity",
        entity=DESIGNATIONS,
    )
    assert (keys, scopes) == (90, 90)


async def deploy(flow: Any, name: str) -> None:
    """A deployment without a work pool: its runs wait."""
    async with get_client() as client:
        await client.create_deployment(flow_id=await client.create_flow(flow), name=name)


@pytest.mark.parametrize("kind", ["403", "wrong-type"])
def test_an_own_list_that_is_not_shown_costs_the_include_and_not_the_owners(giving: Church, kind: str) -> None:
    """One donation's designations are included in part only, and below it Planning Center does not show them."""
    owner = owner_with(giving, 2)
    giving.simulator.faults(
        [
            {"kind": "include-unshown", "include": "designations", "record_id": owner, **ALWAYS},
            {"kind": kind, "path": f"{PATH}/{owner}/designations", **ALWAYS},
        ]
    )

    summary = giving.sync(DONATIONS)

    assert summary.outcome == "incomplete", summary.reason
    assert "came in part with a record whose own list is not shown" in summary.reason
    assert giving.differences(DONATIONS) == []


def test_own_lists_that_nobody_may_read_say_nothing_against_what_came_with_their_owners(giving: Church) -> None:
    giving.simulator.faults([{"kind": "403", "path": f"{PATH}/*/designations", **ALWAYS}])

    assert ended(giving).name == "Completed"

    giving.simulator.faults([])
    assert differences(giving) == []
