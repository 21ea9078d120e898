"""The lists of a whole church are read in its own flow run, and each of them is a run of the ledger as ever."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import State

from flows.sync_entity import sync_entity
from flows.sync_organization import sync_organization
from pco_catalog.catalog import load_catalog
from tasks.lifespan import opened_resources
from tasks.lists.church_lists import LISTS_AT_A_TIME, LISTS_IN_VAIN
from tasks.reports.organization_summary import OrganizationSummary
from tasks.settings import read_settings
from tests.church import PEOPLE, Church
from tests.simulators import SimulatorProcess
from tests.stack import wait_until

CHOSEN = ("people.Campus", "people.PersonMerger", "people.Address", "calendar.Event")
PEOPLE_COUNT = 30


@pytest.fixture
def world() -> Iterator[SimulatorProcess]:
    """A church that a test may change."""
    with SimulatorProcess(people=PEOPLE_COUNT, groups=5) as simulator:
        yield simulator


@pytest.fixture
def moving(church: Church, world: SimulatorProcess, monkeypatch: pytest.MonkeyPatch) -> Church:
    """The church in that world."""
    monkeypatch.setenv("PCO_SYNC_PCO_BASE_URL", world.base_url)
    return church.served_by(world)


@pytest.fixture
def known(moving: Church, world: SimulatorProcess) -> Church:
    """The church, of which everything that is chosen was read before."""
    delta(moving)
    world.reset_log()
    return moving


def delta(church: Church, *include: str, **parameters: Any) -> OrganizationSummary:
    """One delta, as a plain script runs it."""
    summary: OrganizationSummary = sync_organization(
        church.org_id, mode="delta", include=list(include or CHOSEN), **parameters
    )
    return summary


def end(church: Church, *include: str, **parameters: Any) -> State[Any]:
    """Its final state."""
    state: State[Any] = sync_organization(
        church.org_id, mode="delta", include=list(include or CHOSEN), return_state=True, **parameters
    )
    return state


def outcomes(summary: OrganizationSummary) -> dict[str, str]:
    """How each list ended."""
    listed = {one.name for one in load_catalog().entities(top_level_only=True)}
    return {one.entity: one.outcome for one in summary.entities if one.entity in listed}


def runs_of(church: Church, epoch: str) -> dict[str, Any]:
    """The ledger's runs of an epoch, by entity."""
    return {run.entity: run for run in church.runs() if run.epoch == epoch}


def task_runs(flow_run_id: str) -> list[str]:
    """The names of a flow run's task runs, once Prefect has them."""

    async def read() -> list[str]:
        async with get_client() as client:
            of_it = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id]))
            return sorted(one.name for one in await client.read_task_runs(flow_run_filter=of_it))

    return asyncio.run(read())


def artifacts(flow_run_id: str) -> list[str]:
    """The keys of a flow run's artifacts."""

    async def read() -> list[str]:
        async with get_client() as client:
            of_it = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run_id]))
            return sorted(str(one.key) for one in await client.read_artifacts(artifact_filter=of_it))

    return asyncio.run(read())


def test_a_quiet_delta_is_one_flow_run_and_a_request_for_each_list(known: Church, world: SimulatorProcess) -> None:
    summary = delta(known)

    assert outcomes(summary) == dict.fromkeys(CHOSEN, "completed")
    assert len(world.access_log()) == len(CHOSEN) == summary.requests, "no product is asked for"
    runs = runs_of(known, "organization-2")
    assert {run.flow_run_id for run in runs.values()} == {runs["organization"].flow_run_id}
    assert {name: run.key for name, run in runs.items() if name in CHOSEN} == {
        name: f"sync-entity:grace:{name}:organization-2" for name in CHOSEN
    }
    assert {run.state for run in runs.values()} == {"completed"}
    assert artifacts(runs["organization"].flow_run_id) == ["organization-grace-delta"]
    watermarks = known.sql("SELECT w.entity, r.epoch FROM sync.watermarks AS w JOIN sync.runs AS r USING (run_id)")
    assert {one.entity for one in watermarks} == set(CHOSEN)
    assert {one.epoch for one in watermarks} <= {"organization-1", "organization-2"}, "within one second none moves"


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_wrong_clock_is_found_by_all_lists_and_learned_once(
    known: Church, world: SimulatorProcess, hours: int
) -> None:
    """Each list found what all had learned before it, and added it: an hour became years within some deltas."""
    world.clock(ahead_seconds=3600 * hours)

    async def deltas() -> timedelta:
        async with opened_resources(read_settings()) as resources:
            await sync_organization(known.org_id, mode="delta", include=list(CHOSEN))
            world.reset_log()
            await sync_organization(known.org_id, mode="delta", include=list(CHOSEN))
            return resources.pco_ahead[known.org_id]

    assert abs(asyncio.run(deltas()) - timedelta(hours=hours)) < timedelta(minutes=1)
    assert len(world.access_log()) == len(CHOSEN), "no list is read again"


def test_a_list_is_read_directly_until_there_is_a_second_page(
    moving: Church, world: SimulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PCO_SYNC_PAGE_SIZE", "10")
    delta(moving, PEOPLE, "people.Campus")
    (run,) = [run for run in moving.runs() if run.entity == "organization"]
    wait_until(lambda: len(task_runs(run.flow_run_id)) >= 2, "Prefect knows the pages behind the first")
    assert task_runs(run.flow_run_id) == [f"{PEOPLE} org=grace offset={offset}" for offset in (10, 20)]
    assert moving.differences() == []
    assert moving.differences("people.Campus") == []


def test_a_full_reads_what_is_wanted_first_before_the_other_lists(
    moving: Church, world: SimulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the alphabet, calendar's lists and check-ins are read before groups."""
    monkeypatch.setattr("tasks.lists.church_lists.LISTS_AT_A_TIME", 1)
    lists = ["calendar.Event", "check-ins.CheckIn", "giving.Fund", "groups.Event", "groups.Group", "people.Campus"]
    sync_organization(moving.org_id, mode="full", include=lists, wait=False)
    pages = [one["path"] for one in world.access_log() if "per_page" in one["query"]]
    assert list(dict.fromkeys(path for path in pages if path.count("/") == 3)) == [
        "/groups/v2/groups",
        "/groups/v2/events",
        "/giving/v2/funds",
        "/people/v2/campuses",
        "/calendar/v2/events",
        "/check-ins/v2/check_ins",
    ]


def test_what_changed_is_mirrored_and_the_table_of_the_church_shows_it(known: Church, world: SimulatorProcess) -> None:
    at = (datetime.now(UTC) - timedelta(seconds=10)).strftime("%Y-%m-%dT%H:%M:%SZ")
    edited = {"operation": "edit", "entity": "calendar.Event", "attributes": {"name": "Choir", "updated_at": at}}
    world.churn([{**edited, "place": place} for place in (0, 1)])

    summary = delta(known)

    assert {one.entity: one.changed for one in summary.entities if one.changed} == {"calendar.Event": 2}
    assert known.differences("calendar.Event") == []


def test_a_church_that_falls_silent_costs_a_delta_its_first_lists_and_no_more(
    moving: Church, world: SimulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = load_catalog().entities(top_level_only=True)
    lists = [one.name for one in known if one.product in ("people", "groups", "giving", "calendar")][:14]
    delta(moving, *lists)
    world.reset_log()
    world.faults([{"kind": "hang", "permanent": True}])
    with monkeypatch.context() as hasty:
        hasty.setenv("PCO_SYNC_REQUEST_TIMEOUT_SECONDS", "0.3")
        hasty.setenv("PCO_SYNC_RETRY_FIRST_SECONDS", "0")
        state = end(moving, *lists)
    assert (state.name, "no answer from PCO" in str(state.message)) == ("Failed", True)
    assert len(world.access_log()) < LISTS_AT_A_TIME + LISTS_IN_VAIN < len(lists)
    open_runs = [run.entity for run in moving.runs() if run.epoch == "organization-2" and run.state == "running"]
    assert open_runs == []

    world.faults([])
    assert set(outcomes(delta(moving, *lists)).values()) == {"completed"}, "the next one reads them all"


def test_one_silent_product_keeps_no_other_from_being_read(
    moving: Church, world: SimulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = load_catalog().entities(top_level_only=True)
    lists = [one.name for one in known if one.product == "calendar"] + ["people.Campus", "people.PersonMerger"]
    delta(moving, *lists)
    world.faults([{"kind": "hang", "permanent": True, "product": "calendar"}])
    monkeypatch.setenv("PCO_SYNC_REQUEST_TIMEOUT_SECONDS", "1")
    monkeypatch.setenv("PCO_SYNC_RETRY_FIRST_SECONDS", "0")
    assert end(moving, *lists).name == "Failed"
    runs = runs_of(moving, "organization-2")
    done = {name for name, run in runs.items() if run.state == "completed"}
    assert {"people.Campus", "people.PersonMerger"} <= done


def test_a_list_that_may_not_be_read_any_more_is_reported_and_the_others_are_read(
    known: Church, world: SimulatorProcess
) -> None:
    world.forbid(["calendar"])
    summary = delta(known)
    assert outcomes(summary) == {**dict.fromkeys(CHOSEN, "completed"), "calendar.Event": "unreadable"}
    assert {one["path"] for one in world.access_log()} >= {"/calendar/v2/events"}
    assert [one["path"] for one in world.access_log() if one["path"] == "/calendar/v2"] == []
    assert known.differences("calendar.Event") == []


def test_a_product_that_answers_401_is_told_from_a_credential_that_is_not_accepted(
    known: Church, world: SimulatorProcess
) -> None:
    world.faults([{"kind": "401", "product": "calendar", "permanent": True}])
    assert outcomes(delta(known)) == {**dict.fromkeys(CHOSEN, "completed"), "calendar.Event": "unreadable"}

    world.faults([{"kind": "401", "permanent": True}])
    ended = end(known)

    assert ended.is_failed()
    assert "Unauthorized" in str(ended.message)
    runs = runs_of(known, "organization-3")
    assert {run.state for run in runs.values()} == {"failed"}, "nobody holds any of them"
    assert len(runs) == len(CHOSEN) + 1


async def until_opened(church: Church, epoch: str, *entities: str) -> None:
    """Wait until the ledger has a run of each of them."""
    async with asyncio.timeout(30):
        while not set(entities) <= (await asyncio.to_thread(runs_of, church, epoch)).keys():  # noqa: ASYNC110 - others act
            await asyncio.sleep(0.01)


def test_one_list_of_the_epoch_that_somebody_else_reads_is_waited_for_and_not_read_twice(known: Church) -> None:
    async def main() -> tuple[State[Any], OrganizationSummary]:
        with known.silence():
            alone = asyncio.create_task(
                sync_entity("grace", "calendar.Event", epoch="e", mode="delta", return_state=True)
            )
            await until_opened(known, "e", "calendar.Event")
            church = asyncio.create_task(
                sync_organization("grace", mode="delta", include=list(CHOSEN), epoch="e", return_state=True)
            )
            await until_opened(known, "e", *CHOSEN)
        return await alone, await (await church).aresult()

    alone, church = asyncio.run(main())

    assert (alone.name, outcomes(church)) == ("Completed", dict.fromkeys(CHOSEN, "completed"))
    assert set(known.reads().values()) == {1}
    assert runs_of(known, "e")["calendar.Event"].fence == 1


def test_a_second_delta_of_the_church_joins_the_first(known: Church, world: SimulatorProcess) -> None:
    async def main() -> tuple[State[Any], State[Any]]:
        with known.silence():
            first = asyncio.create_task(
                sync_organization("grace", mode="delta", include=list(CHOSEN), return_state=True)
            )
            await until_opened(known, "organization-2", *CHOSEN)
            second = await sync_organization("grace", mode="delta", include=list(CHOSEN), return_state=True)
        return await first, second

    first, second = asyncio.run(main())

    assert (first.name, second.name) == ("Completed", "AlreadyRunning")
    assert len(world.access_log()) == len(CHOSEN)


def test_a_delta_that_is_interrupted_leaves_no_list_held_and_is_continued(
    known: Church, world: SimulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.lists.church_lists.LISTS_AT_A_TIME", 2)  # the others wait for their turn

    async def main() -> None:
        with known.silence():
            running = asyncio.create_task(
                sync_organization("grace", mode="delta", include=list(CHOSEN), return_state=True)
            )
            await until_opened(known, "organization-2", *CHOSEN)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running

    asyncio.run(main())
    assert {run.state for run in runs_of(known, "organization-2").values()} == {"cancelled"}

    world.reset_log()
    summary = delta(known)

    assert (summary.epoch, outcomes(summary)) == ("organization-2", dict.fromkeys(CHOSEN, "completed"))
    assert len(known.reads()) == len(CHOSEN)
    assert {run.fence for run in runs_of(known, "organization-2").values()} == {2}
