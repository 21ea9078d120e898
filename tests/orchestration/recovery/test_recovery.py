"""The recovery on a real Prefect server: every abandoned run on its own, with a wait that doubles, and with an end."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prefect.client.schemas.objects import StateType
from prefect.states import Cancelled, Cancelling, Completed, Failed, Running

from pco_store.ledger.openings import FAN_OUT_SCOPE, ORGANIZATION
from tasks.deployment_runs import start_sync
from tasks.recovery.restarting import MOST_RESTARTS
from tasks.recovery.sweep import Recovered
from tests.church import PEOPLE, Church
from tests.crash.sync_process import SyncProcess
from tests.orchestration.recovery.recovering import DEPLOYMENT, abandon, be_due, let, row_of, runs_of, sweep
from tests.simulators import SimulatorProcess
from tests.stack import wait_until

HEALTHY = 100
AT_ONCE = 20
"""Requests to Prefect that one sweep may have in flight."""
PER_START = 2
"""Requests: whether there is a flow run of that key, and the new one."""


@dataclass
class Requests:
    """To Prefect's server: time depends on the machine, this does not."""

    made: int = 0
    in_flight: int = 0
    most_at_once: int = 0


@contextmanager
def counted_requests(monkeypatch: pytest.MonkeyPatch) -> Iterator[Requests]:
    """Those of the block."""
    requests, send = Requests(), httpx.AsyncClient.send

    async def counting(client: httpx.AsyncClient, request: httpx.Request, **options: Any) -> httpx.Response:
        requests.made += 1
        requests.in_flight += 1
        requests.most_at_once = max(requests.most_at_once, requests.in_flight)
        try:
            return await send(client, request, **options)
        finally:
            requests.in_flight -= 1

    with monkeypatch.context() as patch:
        patch.setattr(httpx.AsyncClient, "send", counting)
        yield requests


def test_ten_poisoned_runs_of_ten_kinds_do_not_keep_a_hundred_healthy_ones_from_beginning_again(
    deployed: Church, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What Prefect refuses, what this program cannot read, what was started too often, what has no deployment, …"""
    church_run: dict[str, Any] = {"entity": ORGANIZATION}
    poisoned: list[dict[str, Any]] = [
        {"entity": "people.Gone"},
        {"entity": "groups.Membership", "scope": FAN_OUT_SCOPE, "fan_out": '{"below": ["groups.Group"]}'},
        {"entity": "groups.Gone", "scope": FAN_OUT_SCOPE, "fan_out": '{"from": "a newer program"}'},
        {**church_run, "plan": '{"wait": "perhaps"}'},
        {**church_run, "plan": '{"org_id": "another"}'},
        {**church_run, "plan": '{"mode": "sideways"}'},
        {**church_run, "plan": '["no", "object"]'},
        {**church_run, "plan": '{"most_under_way": -1}'},
        {"restarts": MOST_RESTARTS},
        {**church_run, "plan": '{"include": "people.*"}'},
    ]
    kinds = [abandon(deployed, **one) for one in poisoned]  # they were abandoned first
    healthy = [abandon(deployed) for _ in range(HEALTHY - 3)]
    healthy += [abandon(deployed, flow_run_id=None), abandon(deployed, flow_run_id="no id")]
    healthy.append(abandon(deployed, **church_run, plan='{"mode": "full", "include": ["giving"]}'))

    with counted_requests(monkeypatch) as requests:
        found = sweep()

    assert requests.made <= PER_START * (HEALTHY + len(kinds)) + AT_ONCE, "it takes 30 s at most where one takes 0.1 s"
    assert 1 < requests.most_at_once <= AT_ONCE
    assert found == Recovered(syncs_started=HEALTHY, syncs_put_aside=9, syncs_given_up=1, fan_outs_seen=0)
    assert sum(len(runs_of(key)) for key in healthy) == HEALTHY
    assert [key for key in kinds if runs_of(key)] == []
    for key in kinds:
        row = row_of(deployed, key)
        assert row.error, key
        assert row.state == "failed" or row.wait >= 10
    assert "sync-children/nowhere" in row_of(deployed, kinds[1]).error


def test_a_run_that_is_started_in_vain_waits_longer_each_time_and_has_failed_in_the_end(deployed: Church) -> None:
    """Its credentials were only in the environment of the process that was killed."""
    key = abandon(deployed)
    waits = []
    for _ in range(MOST_RESTARTS):
        assert sweep().syncs_started == 1
        assert sweep() == Recovered()
        waits.append(round(row_of(deployed, key).wait / 10))
        let(runs_of(key)[-1].id, Failed(message="UnknownOrganizationError: org_id 'grace'"))
        be_due(deployed)

    assert sweep().syncs_given_up == 1

    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 180, 180]
    row = row_of(deployed, key)
    assert (row.state, row.restarts) == ("failed", 0)
    assert row.error == "started 10 times in vain, the last time: Failed: UnknownOrganizationError: org_id 'grace'"
    be_due(deployed)
    assert sweep() == Recovered()
    assert len(runs_of(key)) == MOST_RESTARTS


def test_a_start_that_waits_for_a_worker_is_not_in_vain(deployed: Church) -> None:
    key = abandon(deployed)
    sweep()
    for _ in range(3):
        be_due(deployed)
        assert sweep().syncs_waiting == 1
    assert (len(runs_of(key)), row_of(deployed, key).restarts) == (1, 1)


def test_a_start_whose_worker_dies_before_it_holds_the_run_is_made_again(deployed: Church) -> None:
    key = abandon(deployed)
    sweep()
    let(runs_of(key)[0].id, Running())
    be_due(deployed)
    assert sweep().syncs_started == 1
    assert [one.state_name for one in runs_of(key)] == ["Crashed", "Scheduled"]


def test_a_page_that_was_committed_gives_a_run_all_its_starts_again(deployed: Church) -> None:
    key = abandon(deployed)
    for _ in range(3):
        sweep()
        let(runs_of(key)[-1].id, Failed(message="again"))
        be_due(deployed)
    assert row_of(deployed, key).restarts == 3
    deployed.sql(
        'INSERT INTO sync.pages (run_id, reading, "offset", page_size, rows, new, changed, unchanged, stale, misfits, '
        "quarantined, requests, waited_seconds, ids, digest, fence) VALUES (:run_id, 1, 0, 100, 0, 0, 0, 0, 0, 0, 0, "
        "1, 0, '{}', '', 1)",
        run_id=row_of(deployed, key).run_id,
    )

    sweep()

    assert row_of(deployed, key).restarts == 1


def test_a_list_of_a_church_that_goes_on_is_left_to_whoever_continues_the_church(deployed: Church) -> None:
    plan = '{"mode": "delta", "include": ["people.Person"]}'
    church = abandon(deployed, entity=ORGANIZATION, mode="delta", plan=plan)
    of_church = abandon(deployed, epoch_of=church, mode="delta", plan='{"is_of_church": true}')
    by_itself = abandon(deployed, epoch_of=church, entity="people.Email")

    assert sweep().syncs_started == 2
    assert [len(runs_of(key)) for key in (church, by_itself, of_church)] == [1, 1, 0]

    deployed.sql("UPDATE sync.runs SET state = 'failed' WHERE key = :key", key=church)
    assert sweep().syncs_started == 1
    assert len(runs_of(of_church)) == 1, "nobody else will continue it"


def test_what_a_person_cancelled_is_not_started_again(deployed: Church) -> None:
    key = abandon(deployed)
    sweep()
    let(runs_of(key)[0].id, Cancelled())
    be_due(deployed)

    sweep()

    assert (row_of(deployed, key).state, len(runs_of(key))) == ("cancelled", 1)


def test_what_a_person_is_cancelling_is_not_continued_though_its_process_is_dead(deployed: Church) -> None:
    key = abandon(deployed)
    sweep()
    (run,) = runs_of(key)
    let(run.id, Running())
    let(run.id, Cancelling())
    be_due(deployed)

    sweep()

    assert (row_of(deployed, key).state, len(runs_of(key))) == ("cancelled", 1)
    assert runs_of(key)[0].state_type == StateType.CANCELLED


def test_the_ledger_knows_what_a_killed_sync_was_told_about_many_deletions(deployed: Church) -> None:
    deployed.sync(epoch="monday", many_deletions="accept")
    deployed.sql("UPDATE sync.runs SET state = 'running', lease_until = now() - interval '1 s'")

    sweep()

    (started,) = runs_of("sync-entity:grace:people.Person:monday")
    assert started.parameters["many_deletions"] == "accept"


def test_many_deletions_that_were_accepted_stay_so_when_the_process_is_killed_while_it_asks(
    deployed: Church, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with SimulatorProcess(people=120, groups=0) as world:
        monkeypatch.setenv("PCO_SYNC_PCO_BASE_URL", world.base_url)
        church = deployed.served_by(world)
        church.sync(epoch="before")
        gone = [str(one["id"]) for one in world.state(PEOPLE)][:60]
        world.churn([{"operation": "delete", "entity": PEOPLE, "id": one} for one in gone])
        asked = {f"/people/v2/people/{one}" for one in gone}
        world.latency(400)
        parameters = {"org_id": "grace", "entity": PEOPLE, "epoch": "monday", "many_deletions": "accept"}
        with SyncProcess(church.environment(), tmp_path, **parameters) as process:
            wait_until(lambda: any(one["path"] in asked for one in world.access_log()), "it asks for who is gone")
            with church.silence():
                process.kill()
        world.latency(0)
        church.sql("UPDATE sync.runs SET lease_until = now() - interval '1 s' WHERE state = 'running'")
        assert [run.state for run in church.runs()] == ["completed", "running"]
        assert not any(row["_deleted_at"] for row in church.rows())

        assert sweep().syncs_started == 1

        (started,) = runs_of("sync-entity:grace:people.Person:monday")
        told = {name: value for name, value in started.parameters.items() if name not in ("org_id", "entity")}
        assert church.sync(**told).deleted == 60
        assert church.differences() == []


def test_a_start_under_a_key_that_stands_for_another_result_is_refused(deployed: Church) -> None:
    async def start(**parameters: Any) -> bool:
        started = await start_sync("grace", PEOPLE, deployment=f"sync-entity/{DEPLOYMENT}", epoch="e", **parameters)
        return started.is_new

    assert asyncio.run(start(many_deletions="accept"))
    assert not asyncio.run(start(many_deletions="accept"))
    with pytest.raises(Exception, match="many_deletions 'accept' and not 'stop'; name another epoch"):
        asyncio.run(start())
    assert asyncio.run(start(on_conflict="restart"))


def test_a_flow_run_that_completed_is_joined_only_if_the_ledger_knows_of_it(deployed: Church) -> None:
    """It may have left its work to others; or the database is an older copy, and Prefect remembers what it does not."""
    epoch = f"monday-{uuid4().hex[:12]}"

    def start() -> Any:
        return asyncio.run(start_sync("grace", PEOPLE, deployment=f"sync-entity/{DEPLOYMENT}", epoch=epoch))

    first = start()
    let(first.flow_run.id, Completed())
    second = start()
    assert (second.is_new, second.flow_run.id == first.flow_run.id) == (True, False)
    let(second.flow_run.id, Completed())

    deployed.sync(epoch=epoch)

    assert (start().is_new, start().flow_run.id) == (False, first.flow_run.id)
