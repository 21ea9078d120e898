"""A whole church in one epoch: every list that its credential may read, each by its way, with one summary."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from prefect.client.schemas.objects import State

from flows.sync_organization import sync_organization
from pco_catalog.catalog import load_catalog
from pco_store.database import Database
from pco_store.ledger.leases import open_run
from pco_store.ledger.openings import ORGANIZATION, RunRequest
from pco_store.ledger.runs import RunWindow
from tasks.reports.organization_summary import OrganizationSummary
from tests.church import Church
from tests.simulators import SimulatorProcess

CATALOG = load_catalog()
CHOSEN = ("people.Campus", "people.PersonMerger", "people.Address", "people.NameSuffix", "groups.GroupType")
LISTS = {"include": CHOSEN}


@pytest.fixture
def world() -> Iterator[SimulatorProcess]:
    """A church that a test may change."""
    with SimulatorProcess(people=30, groups=5) as simulator:
        yield simulator


@pytest.fixture
def moving(church: Church, world: SimulatorProcess, monkeypatch: pytest.MonkeyPatch) -> Church:
    """The church in that world."""
    monkeypatch.setenv("PCO_SYNC_PCO_BASE_URL", world.base_url)
    return church.served_by(world)


def sync(church: Church, **parameters: Any) -> OrganizationSummary:
    """Run the flow as a plain script does."""
    summary: OrganizationSummary = sync_organization(church.org_id, **parameters)
    return summary


def end(church: Church, **parameters: Any) -> State[Any]:
    """Its final state."""
    state: State[Any] = sync_organization(church.org_id, return_state=True, **parameters)
    return state


def outcomes(summary: OrganizationSummary) -> dict[str, str]:
    """How each list ended."""
    return {one.entity: one.outcome for one in summary.entities if CATALOG.entity(one.entity).list_path is not None}


def brought(summary: OrganizationSummary) -> dict[str, str]:
    """How each kind ended that came with a list."""
    return {one.entity: one.outcome for one in summary.entities if CATALOG.entity(one.entity).sideload is not None}


def test_every_list_that_is_chosen_is_mirrored_in_one_epoch(moving: Church, world: SimulatorProcess) -> None:
    summary = sync(moving, **LISTS)

    assert outcomes(summary) == dict.fromkeys(CHOSEN, "completed")
    for entity in CHOSEN:
        assert moving.differences(entity) == []
    assert brought(summary) == {"people.ServiceTime": "completed"}
    assert {run.epoch for run in moving.runs()} == {"organization-1"} == {summary.epoch}
    assert {run.key for run in moving.runs() if run.entity == "organization"} == {
        "sync-organization:grace:organization-1"
    }
    pages = [one for one in world.access_log() if "per_page" in one["query"]]
    assert summary.probes == 2, "each product is asked for once whether it may be read"
    assert summary.requests == len(world.access_log()) == len(pages) + 2


def test_without_its_epoch_a_second_run_opens_another_one(moving: Church) -> None:
    sync(moving, **LISTS)
    assert sync(moving, **LISTS).epoch == "organization-2"


def test_a_named_epoch_is_run_once(moving: Church) -> None:
    sync(moving, epoch="e", **LISTS)
    ended = end(moving, epoch="e", **LISTS)
    assert ended.name == "AlreadyCompleted"


def test_a_tick_that_finds_the_last_one_still_running_joins_it(moving: Church, world: SimulatorProcess) -> None:
    request = RunRequest(
        org_id=moving.org_id,
        entity=ORGANIZATION,
        mode="delta",
        on_conflict="join",
        window=RunWindow(attribute=None, since=None, until=None),
        page_size=100,
        owner="the last tick",
        flow_run_id=None,
        lease_seconds=600,
        plan={"include": list(CHOSEN)},
    )
    database = Database(moving.database_url, pool_size=1)
    with asyncio.Runner() as runner:
        _, lease = runner.run(open_run(database, request))
        assert lease is not None
        ended = end(moving, mode="delta", **LISTS)
        runner.run(lease.release())
        runner.run(database.aclose())
    assert ended.name == "AlreadyRunning"
    assert world.access_log() == []
    assert len(moving.runs()) == 1


def test_a_product_that_may_not_be_read_is_reported_and_left_out(moving: Church, world: SimulatorProcess) -> None:
    world.forbid(["groups"])
    summary = sync(moving, **LISTS)
    assert outcomes(summary) == {**dict.fromkeys(CHOSEN, "completed"), "groups.GroupType": "unreadable"}
    (left_out,) = summary.of("unreadable")
    assert "no permission" in left_out.reason
    assert (summary.outcome, summary.state_name) == ("incomplete", "CompletedIncomplete")
    assert moving.rows("groups.GroupType") == []


def test_a_product_that_does_not_say_whether_it_may_be_read_keeps_no_other_from_being_read(
    moving: Church, world: SimulatorProcess
) -> None:
    world.faults(
        [{"kind": "503", "path": path, "permanent": True} for path in ("/groups/v2", "/groups/v2/group_types")]
    )
    ended = end(moving, **LISTS)
    assert ended.is_failed()
    assert "groups.GroupType: " in str(ended.message)
    assert {one: bool(moving.rows(one)) for one in CHOSEN[2:]} == {
        "people.Address": True,
        "people.NameSuffix": True,
        "groups.GroupType": False,
    }


def test_a_list_that_may_not_be_read_is_reported_and_the_others_are_mirrored(
    moving: Church, world: SimulatorProcess
) -> None:
    world.faults([{"kind": "403", "path": "/people/v2/addresses", "permanent": True}])
    summary = sync(moving, **LISTS)
    assert outcomes(summary) == {**dict.fromkeys(CHOSEN, "completed"), "people.Address": "unreadable"}


def test_a_product_that_refuses_in_the_middle_is_named_to_whoever_asks_with_how_far_it_was_read(
    moving: Church, world: SimulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PCO_SYNC_PAGE_SIZE", "5")
    world.faults([{"kind": "403", "path": "/people/v2/people", "offset": 5, "permanent": True}])
    chosen = ["people.Person", "people.Campus"]

    ended = end(moving, epoch="e", include=chosen)

    for state in (ended, end(moving, epoch="e", include=chosen)):
        summary = asyncio.run(state.aresult())
        assert (state.name, summary.outcome) == ("CompletedIncomplete", "incomplete")
        assert outcomes(summary) == {"people.Person": "unreadable", "people.Campus": "completed"}
        refused, *_ = summary.of("unreadable")
        assert refused.entity == "people.Person", "what comes with it cannot be read either, and stands behind it"
        assert refused.reason.startswith(f"refused after {refused.pages} pages: Forbidden")
        assert 0 < refused.rows < 30
        assert "unreadable: people.Person" in str(state.message)


def test_what_fails_keeps_nothing_else_from_being_read_and_is_continued_in_its_epoch(
    moving: Church, world: SimulatorProcess
) -> None:
    world.faults([{"kind": "422", "path": "/people/v2/addresses", "permanent": True}])
    ended = end(moving, **LISTS)
    assert ended.is_failed()
    assert "people.Address: BadRequest" in str(ended.message)
    world.faults([])
    world.reset_log()

    summary = sync(moving, **LISTS)

    assert summary.epoch == "organization-1"
    assert outcomes(summary) == dict.fromkeys(CHOSEN, "completed")
    assert {one["path"] for one in world.access_log() if "per_page" in one["query"]} == {"/people/v2/addresses"}


def broken(world: SimulatorProcess) -> None:
    world.faults([{"kind": "422", "path": "/people/v2/addresses", "permanent": True}])


@pytest.mark.parametrize(
    "other", [{"include": ["people.Campus"]}, {"exclude": ["people.Campus"]}, {"many_deletions": "accept"}]
)
def test_another_plan_is_another_turn_and_the_unfinished_one_stays(
    moving: Church, world: SimulatorProcess, other: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    begun = {"include": ["people.Campus", "people.Address"]}
    broken(world)
    assert end(moving, **begun).is_failed()
    world.faults([])

    assert sync(moving, **{**begun, **other}).epoch == "organization-2"

    (name,) = other
    assert f"organization-1 is unfinished and was begun with {name} " in caplog.text
    assert "its epoch organization-1 continues it" in caplog.text
    assert sync(moving, epoch="organization-1", **begun).epoch == "organization-1"
    assert {run.state for run in moving.runs()} == {"completed"}


def test_a_named_epoch_with_another_plan_is_refused_in_words_that_help_and_restart_replaces_it(
    moving: Church, world: SimulatorProcess
) -> None:
    begun = {"include": ["people.Campus", "people.Address"], "epoch": "e"}
    broken(world)
    assert end(moving, **begun).is_failed()
    world.faults([])

    refused = end(moving, **{**begun, "include": ["people.Campus"]})

    assert refused.is_failed()
    assert (
        "sync-organization:grace:e was begun with include [people.Address, people.Campus] and not [people.Campus]; "
        "name another epoch" in str(refused.message)
    )
    again = sync(moving, **begun, many_deletions="accept", on_conflict="restart")
    assert outcomes(again) == {"people.Campus": "completed", "people.Address": "completed"}
    assert [
        run.plan["many_deletions"] for run in moving.runs() if run.state == "completed" and run.read_with is None
    ] == ["accept"] * 3


def test_how_it_is_read_may_change_from_one_start_to_the_next(moving: Church, world: SimulatorProcess) -> None:
    begun = {"include": ["people.Campus", "people.Address"]}
    broken(world)
    assert end(moving, **begun, groups_per_run=7).is_failed()
    world.faults([])

    assert sync(moving, **begun, groups_per_run=9).epoch == "organization-1"

    (run,) = [run for run in moving.runs() if run.entity == "organization"]
    assert run.plan["groups_per_run"] == 9


def test_a_permission_that_is_lost_between_two_runs_takes_no_row_away(moving: Church, world: SimulatorProcess) -> None:
    sync(moving, **LISTS)
    world.forbid(["groups", "people"])
    assert end(moving, **LISTS).is_completed()
    for entity in CHOSEN:
        assert moving.differences(entity) == []


def test_a_delta_reads_what_changed_and_the_rest_what_no_delta_can_tell(
    moving: Church, world: SimulatorProcess
) -> None:
    sync(moving, **LISTS)
    world.reset_log()
    changed = sync(moving, mode="delta", **LISTS)
    assert set(outcomes(changed)) == {"people.Campus", "people.PersonMerger", "people.Address"}
    assert changed.requests == 3
    world.reset_log()
    rest = sync(moving, mode="rest", **LISTS)
    assert set(outcomes(rest)) == {"people.NameSuffix", "groups.GroupType"}
    assert rest.requests == len(world.access_log())
    assert {one["path"] for one in world.access_log()} == {"/people/v2/name_suffixes", "/groups/v2/group_types"}, (
        "whether a product may be read that was read a moment ago nobody asks"
    )


def test_the_weekly_turn_marks_what_is_gone_at_top_level_and_what_came_with_it(
    moving: Church, world: SimulatorProcess
) -> None:
    chosen = {"include": ["people.Campus"]}
    sync(moving, **chosen)
    times = moving.rows("people.ServiceTime")
    campus = times[0]["campus_id"]
    with_it = {one["id"] for one in times if one["campus_id"] == campus}
    alone = next(one["id"] for one in times if one["campus_id"] != campus)
    world.churn(
        [
            {"operation": "delete", "entity": "people.Campus", "id": campus},
            {"operation": "delete", "entity": "people.ServiceTime", "id": alone},
        ]
    )

    def gone(entity: str) -> set[str]:
        return {one["id"] for one in moving.rows(entity) if one["_deleted_at"] is not None}

    world.reset_log()
    weekly = sync(moving, mode="lists", **chosen)
    assert weekly.requests == len(world.access_log())
    assert (gone("people.Campus"), gone("people.ServiceTime")) == ({campus}, with_it)

    sync(moving, mode="lists", **chosen)
    assert gone("people.ServiceTime") == {alone, *with_it}, "no full reading of two has shown it"


def test_a_delta_reads_in_full_what_was_never_read(moving: Church) -> None:
    summary = sync(moving, mode="delta", **LISTS)
    assert set(outcomes(summary)) == {"people.Campus", "people.PersonMerger", "people.Address"}
    assert moving.differences("people.Campus") == []


def test_ids_are_the_products_own(moving: Church, world: SimulatorProcess) -> None:
    """The simulator numbers every entity alike: groups.Person and people.Person have the same ids, and two tables."""
    sync(moving, include=["*.Tag*", "people.Person", "groups.Person"], exclude=["services", "groups.Tag"])
    assert moving.differences("people.Person") == []
    assert {row["id"] for row in moving.rows("people.Person")} == {one["id"] for one in world.state("people.Person")}


def test_patterns_that_fit_nothing_are_refused_before_anything_is_done(moving: Church, world: SimulatorProcess) -> None:
    with pytest.raises(Exception, match=r"'peple\.\*' fits nothing in the catalogue; did you mean"):
        sync(moving, include=["peple.*"])
    assert world.access_log() == []
    assert moving.runs() == []


PRODUCTS = sorted({one.product for one in load_catalog().entities(top_level_only=True)})
LONG = {"calendar", "people"}
"""Half of all lists; the night has the time for them."""


@pytest.mark.parametrize(
    "product", [pytest.param(one, marks=[pytest.mark.nightly] if one in LONG else []) for one in PRODUCTS]
)
def test_every_list_of_every_product_can_be_mirrored(moving: Church, product: str) -> None:
    listed = [one.name for one in load_catalog().entities(top_level_only=True) if one.product == product]
    summary = sync(moving, include=listed)
    assert outcomes(summary) == dict.fromkeys(listed, "completed")
    kinds = [one.entity for name in listed for one in CATALOG.brought_by(name)]
    assert brought(summary) == dict.fromkeys(sorted(kinds), "completed")
    for entity in (*listed, *kinds):
        assert moving.differences(entity) == []
