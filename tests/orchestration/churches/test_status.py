"""`status` answers whether the data is current, after real syncs: by its exit code, its lines and its document."""

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from prefect.states import Scheduled

from deployments.app import main
from deployments.churches.prefect_side import forget_church
from deployments.exit_codes import DONE, INCOMPLETE, USAGE
from deployments.provisioning.names import RECOVER_SYNCS, REMOVE_OLD, SYNC_ORGANIZATIONS, WORK_POOL
from deployments.provisioning.provision import save_credentials
from flows.sync_entity import sync_entity
from flows.sync_organization import EntitiesFailedError, sync_organization
from pco_client.errors import Unauthorized
from tests.church import Church
from tests.fleet import Fleet

pytestmark = pytest.mark.usefixtures("restored_signals")

SUFFIXES, CAMPUSES = "people.NameSuffix", "people.Campus"
Connect = Callable[..., None]


def told(church: Church, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    capsys.readouterr()
    code = main(["status", *words, "--json"])
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert document["exit_code"] == code
    return code, document


def test_status_is_zero_as_long_as_what_is_read_is_current(church: Church, capsys: pytest.CaptureFixture[str]) -> None:
    church.sync(SUFFIXES)
    code, document = told(church, capsys, church.org_id)
    assert code == DONE
    assert document["church"]["freshness"] == "current"
    (suffixes,) = [one for one in document["tables"] if one["freshness"] != "never_read"]
    assert (suffixes["entity"], suffixes["last_verdict"]) == (SUFFIXES, "complete")
    assert suffixes["complete_as_of"] is not None
    assert told(church, capsys)[1]["churches"] == [document["church"]]

    church.sql("UPDATE sync.watermarks SET watermark = watermark - interval '3 days'")
    code, document = told(church, capsys)
    assert code == INCOMPLETE
    assert document["churches"][0]["because"][0].startswith(f"{SUFFIXES}: changes were last seen")


def test_the_lines_say_the_same_and_name_what_keeps_it_from_being_current(
    church: Church, capsys: pytest.CaptureFixture[str]
) -> None:
    church.sync(SUFFIXES)
    church.sql('UPDATE sync.runs SET deletions = \'{"verdict": "too_many"}\'')
    assert main(["status", church.org_id]) == INCOMPLETE
    said = capsys.readouterr().out
    assert said.startswith(f"{church.org_id}           overdue: 1 overdue; 219 kinds never read")
    assert f"{SUFFIXES}: it was never read completely" in said
    assert "online on pco-sync" in said
    assert main(["status"]) == INCOMPLETE
    assert f"{SUFFIXES}: it was never read completely" in capsys.readouterr().out


def test_a_church_that_nobody_has_synced_is_not_current_and_one_that_was_mistyped_is_told(
    church: Church, capsys: pytest.CaptureFixture[str]
) -> None:
    code, document = told(church, capsys)
    assert (code, [one["freshness"] for one in document["churches"]]) == (INCOMPLETE, ["never_read"]), "it is connected"
    assert told(church, capsys, church.org_id)[0] == INCOMPLETE
    church.sync(SUFFIXES)
    assert main(["status", "grce"]) == USAGE
    assert "did you mean grace" in capsys.readouterr().err


@pytest.fixture
def connect(church: Church) -> Iterator[Connect]:
    """Give another church a block of its own; they are forgotten after the test."""
    names: list[str] = []

    def save(org_id: str, *, scheduled: bool) -> None:
        names.append(org_id)
        of = church.simulator
        token = {"application_id": of.app_id, "secret": of.secret, "base_url": of.base_url}
        asyncio.run(save_credentials(org_id, **token, scheduled=scheduled))

    yield save
    for name in names:
        asyncio.run(forget_church(name))


def test_a_church_that_is_connected_is_known_though_only_others_were_read(
    church: Church, connect: Connect, capsys: pytest.CaptureFixture[str]
) -> None:
    church.sync(SUFFIXES)
    connect("hope", scheduled=True)
    code, document = told(church, capsys, "hope")
    assert (code, document["church"]["freshness"], document["tables"]) == (INCOMPLETE, "never_read", [])
    assert main(["status", "hope"]) == INCOMPLETE
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["hope            never read: nothing is read", "nothing of it was read yet"]


def test_a_church_whose_first_sync_failed_before_any_list_is_told_why(
    church: Church, connect: Connect, capsys: pytest.CaptureFixture[str]
) -> None:
    church.sync(SUFFIXES)
    connect("hope", scheduled=True)
    church.simulator.faults([{"kind": "401", "permanent": True}])
    with pytest.raises(Unauthorized):
        sync_organization("hope", include=[CAMPUSES])
    asyncio.run(forget_church("hope"))
    code, document = told(church, capsys, "hope")
    first, last = document["church"]["because"]
    assert (code, first) == (INCOMPLETE, "its first sync is not over")
    assert "Unauthorized" in last


def test_a_paused_church_is_called_so_and_counts_only_where_it_is_named(
    church: Church, connect: Connect, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    connect("hope", scheduled=False)
    for org_id in (church.org_id, "hope"):
        sync_entity(org_id, SUFFIXES)
    church.sql("UPDATE sync.watermarks SET watermark = watermark - interval '3 days' WHERE org_id = 'hope'")
    code, document = told(church, capsys)
    assert code == DONE
    assert [(one["org_id"], one["freshness"], one["is_paused"]) for one in document["churches"]] == [
        ("grace", "current", False), ("hope", "overdue", True),
    ]  # fmt: skip
    assert main(["status"]) == DONE
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("hope ")]
    assert line.startswith("hope            overdue: 1 overdue")
    assert line.endswith(" (paused)")
    assert told(church, capsys, "hope")[0] == INCOMPLETE

    monkeypatch.delenv("PREFECT_API_URL")
    monkeypatch.setenv("PCO_SYNC_HOME", str(church.base["PREFECT_HOME"]) + "-none")
    code, document = told(church, capsys)
    assert (code, [one["is_paused"] for one in document["churches"]]) == (INCOMPLETE, [None, None])


def test_who_has_the_database_only_is_told_of_the_data(
    church: Church, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    church.sync(SUFFIXES)
    for name in ("PREFECT_API_URL", "PCO_SYNC_REDIS_URL"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("PCO_SYNC_HOME", str(church.base["PREFECT_HOME"]) + "-none")
    code, document = told(church, capsys, church.org_id)
    assert (code, document["church"]["freshness"]) == (DONE, "current")
    assert "workers" not in document


def test_a_token_that_was_revoked_is_the_reason_once_something_is_overdue(
    church: Church, capsys: pytest.CaptureFixture[str]
) -> None:
    sync_organization(church.org_id, include=[CAMPUSES])
    church.simulator.faults([{"kind": "401", "permanent": True}])
    with pytest.raises((Unauthorized, EntitiesFailedError)):
        sync_organization(church.org_id, mode="delta", include=[CAMPUSES])
    church.simulator.faults([])
    assert told(church, capsys, church.org_id)[1]["church"]["because"] == [], "it is as current as it should be"
    church.sql("UPDATE sync.watermarks SET watermark = watermark - interval '3 days'")
    code, document = told(church, capsys, church.org_id)
    first, last = document["church"]["because"]
    assert code == INCOMPLETE
    assert first.startswith(f"{CAMPUSES}: changes were last seen")
    assert last.startswith("its last sync has not ended: ")
    assert "Unauthorized" in last


def keep_workers(*names: str) -> None:
    """Prefect knows of these workers of our pool, which were there a moment ago, and of no others."""

    async def keep() -> None:
        async with get_client() as client:
            for one in await client.read_workers_for_work_pool(WORK_POOL):
                named = {"work_pool_name": WORK_POOL, "name": one.name}
                await client.request("DELETE", "/work_pools/{work_pool_name}/workers/{name}", path_params=named)
            for name in names:
                await client.send_worker_heartbeat(WORK_POOL, name)

    asyncio.run(keep())


def make_scheduled_runs() -> None:
    """As Prefect's scheduler does once a minute."""

    async def make() -> None:
        async with get_client() as client:
            for name in (SYNC_ORGANIZATIONS, RECOVER_SYNCS, REMOVE_OLD):
                deployment = await client.read_deployment_by_name(name)
                await client.request("POST", "/deployments/{id}/schedule", path_params={"id": deployment.id}, json={})

    asyncio.run(make())


def switch(is_active: bool) -> None:
    """All schedules of the deployment that starts the churches."""

    async def set_all() -> None:
        async with get_client() as client:
            deployment = await client.read_deployment_by_name(SYNC_ORGANIZATIONS)
            for one in deployment.schedules:
                await client.update_deployment_schedule(deployment.id, one.id, active=is_active)

    asyncio.run(set_all())


@pytest.mark.parametrize("words", [(), ("grace",)], ids=["all", "one"])
def test_workers_schedules_and_what_keeps_syncs_from_running_are_told(
    fleet: Fleet, church: Church, capsys: pytest.CaptureFixture[str], words: Sequence[str]
) -> None:
    fleet.keep_workers(0)
    church.sync(SUFFIXES)

    keep_workers("this-one", "another")
    make_scheduled_runs()
    code, document = told(church, capsys, *words)
    assert all(one["next_at"] for one in document["scheduled"])
    assert (document["workers"], document["troubles"]) == ({WORK_POOL: 2}, [])
    scheduled = {one["deployment"]: (one["active"], one["schedules"]) for one in document["scheduled"]}
    assert scheduled == {"sync-all-churches": (3, 3), "continue-dead-syncs": (1, 1), "remove-what-is-over": (1, 1)}

    keep_workers()
    switch(False)
    try:
        again, document = told(church, capsys, *words)
    finally:
        switch(True)
    assert document["workers"] == {WORK_POOL: 0}
    assert document["troubles"] == [
        f"no worker is online on the work pool {WORK_POOL}", "all schedules of sync-all-churches are off",
    ]  # fmt: skip
    assert again == code, "what they should have done and did not is seen in the data"


def late_run() -> UUID:
    """A run of a schedule that no worker has taken in its minute."""

    async def make() -> UUID:
        async with get_client() as client:
            deployment = await client.read_deployment_by_name(REMOVE_OLD)
            at = datetime.now(UTC) - timedelta(minutes=1)
            run = await client.create_flow_run_from_deployment(deployment.id, state=Scheduled(scheduled_time=at))
            return run.id

    return asyncio.run(make())


def delete(flow_run: UUID) -> None:
    async def ask() -> None:
        async with get_client() as client:
            await client.delete_flow_run(flow_run)

    asyncio.run(ask())


def test_a_run_that_is_late_is_not_the_next_one(
    fleet: Fleet, church: Church, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet.keep_workers(0)
    make_scheduled_runs()
    late = late_run()
    try:
        _, document = told(church, capsys)
    finally:
        delete(late)
    assert min(datetime.fromisoformat(one["next_at"]) for one in document["scheduled"]) > datetime.now(UTC)
