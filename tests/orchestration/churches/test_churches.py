"""Churches as things, on real servers: listed, renamed, paused, added from a file, and removed without a trace."""

import asyncio
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.schedules import IntervalSchedule
from redis import Redis

from deployments.app import main
from deployments.exit_codes import DONE, USAGE
from deployments.provisioning.names import TAG
from deployments.provisioning.provision import find_block, save_credentials
from flows.sync_child import sync_child
from pco_store.errors import ChurchRemoved
from tasks.credentials import UnknownOrganizationError, scheduled_organizations
from tasks.reports.events import LEFT_OUT
from tasks.settings import PCO_BASE_URL, read_settings
from tests.church import Church
from tests.orchestration.churches.test_events import events
from tests.stack import Stack, wait_until

pytestmark = pytest.mark.usefixtures("restored_signals")

SUFFIXES = "people.NameSuffix"
Tell = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def stored(church: Church, monkeypatch: pytest.MonkeyPatch) -> Iterator[Church]:
    """The church `grace` alone, whose token stands in its block and not in the environment."""
    for name in ("ORG_ID", "APPLICATION_ID", "SECRET"):
        monkeypatch.delenv(f"PCO_SYNC_{name}")
    run(
        save_credentials(
            "grace",
            application_id=church.simulator.app_id,
            secret=church.simulator.secret,
            base_url=church.simulator.base_url,
            scheduled=True,
        )
    )
    run(_forget_blocks(but="grace"))  # other tests leave theirs
    yield church
    run(_forget_blocks())


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Tell:
    """Run `churches …` for a program; its exit code and document."""

    def told(*words: str) -> tuple[int, dict[str, Any]]:
        capsys.readouterr()
        code = main(["churches", *words, "--json"])
        out = capsys.readouterr().out
        return code, json.loads(out) if out else {}

    return told


def run(coroutine: Any) -> Any:
    """Run it to its end."""

    return asyncio.run(coroutine)


async def _forget_blocks(*, but: str | None = None) -> None:
    async with get_client() as client:
        for one in await client.read_block_documents_by_type("pco-credentials", include_secrets=False):
            if one.name != but:
                await client.delete_block_document(one.id)


def test_a_church_is_listed_renamed_paused_and_resumed(
    stored: Church, tell: Tell, capsys: pytest.CaptureFixture[str]
) -> None:
    code, document = tell()
    assert code == DONE
    (church,) = document["churches"]
    assert (church["org_id"], church["connected"], church["is_paused"]) == ("grace", "token", False)
    assert church["complete_as_of"] is None
    stored.sync(SUFFIXES)
    assert tell("rename", "grace", "  Grace   Church [of] Springfield ")[0] == DONE
    assert tell("pause", "grace")[0] == DONE
    assert run(scheduled_organizations(read_settings())) == {}
    (church,) = tell()[1]["churches"]
    assert church["name"] == "Grace Church [of] Springfield"
    assert church["is_paused"]
    assert church["complete_as_of"] is not None
    assert church["freshness"] == "current"
    assert main(["churches"]) == DONE
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert any("paused" in line and "token" in line for line in lines)
    assert tell("resume", "grace")[0] == DONE
    assert run(scheduled_organizations(read_settings())) == {"grace": False}
    block = run(find_block("grace"))
    assert block.secret.get_secret_value() == stored.simulator.secret, "to pause it changes nothing else"
    assert stored.simulator.secret not in json.dumps(document)


def test_resume_switches_on_what_pause_has_switched_off_and_nothing_else(stored: Church, tell: Tell) -> None:
    hourly = IntervalSchedule(interval=timedelta(hours=1))

    async def deploy() -> UUID:
        async with get_client() as client:
            flow_id = await client.create_flow_from_name("sync-organization")
            schedules = [
                DeploymentScheduleCreate(schedule=hourly, active=is_active, slug=slug, parameters={"org_id": org_id})
                for slug, org_id, is_active in (("on", "grace", True), ("off", "grace", False), ("other", "hope", True))
            ]
            return await client.create_deployment(
                flow_id, "own-schedules", tags=[TAG], entrypoint="x.py:x", schedules=schedules
            )

    async def active() -> set[str]:
        async with get_client() as client:
            found = await client.read_deployment(deployment)
            assert {str(one.slug): one.parameters for one in found.schedules} == {
                "on": {"org_id": "grace"},
                "off": {"org_id": "grace"},
                "other": {"org_id": "hope"},
            }
            return {str(one.slug) for one in found.schedules if one.active}

    async def delete() -> None:
        async with get_client() as client:
            await client.delete_deployment(deployment)

    deployment = run(deploy())
    try:
        assert tell("pause", "grace")[1]["own_schedules"] == 1
        assert tell("pause", "grace")[1]["own_schedules"] == 0, "it is paused already"
        assert run(active()) == {"other"}
        assert tell("resume", "grace")[1]["own_schedules"] == 1
        assert run(active()) == {"on", "other"}
        assert tell("resume", "grace")[1]["own_schedules"] == 0
    finally:
        run(delete())


def test_another_token_leaves_it_to_pause_and_resume_whether_schedules_sync_a_church(
    stored: Church, tell: Tell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator, file = stored.simulator, tmp_path / "churches.json"
    token = {"application_id": simulator.app_id, "secret": simulator.secret, "base_url": simulator.base_url}
    monkeypatch.setenv("PCO_SYNC_APPLICATION_ID", simulator.app_id)
    monkeypatch.setenv("PCO_SYNC_SECRET", simulator.secret)

    def add(**more: str) -> None:
        file.write_text(json.dumps([{"org_id": "grace", **token, **more}]))
        assert tell("add", str(file))[0] == DONE

    def scheduled() -> bool:
        return bool(run(find_block("grace")).scheduled)

    for word, expected in (("resume", True), ("pause", False)):
        assert tell(word, "grace")[0] == DONE
        assert main(["connect", "grace", "--base-url", simulator.base_url]) == DONE
        assert scheduled() is expected
        add(paused="false")
        assert scheduled() is expected
    assert tell("resume", "grace")[0] == DONE
    add(paused="true")
    assert not scheduled()


def test_at_another_address_schedules_sync_a_church_as_they_do_a_new_one(stored: Church) -> None:
    simulator = stored.simulator
    for said, base_url, expected in (
        (False, PCO_BASE_URL, False),
        (None, PCO_BASE_URL, False),
        (None, simulator.base_url, False),
        (True, simulator.base_url, True),
        (None, simulator.base_url, True),
        (None, f"{PCO_BASE_URL}/", True),
    ):
        run(save_credentials("hope", application_id="x", secret="x", base_url=base_url, scheduled=said))
        assert run(find_block("hope")).scheduled is expected


def test_a_church_that_was_mistyped_is_told(stored: Church, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["rename", "grce", "x"], ["pause", "grce"], ["remove", "grce"], ["remove", "grce", "--yes"]):
        assert main(["churches", *words]) == USAGE
        assert "did you mean grace" in capsys.readouterr().err


def test_many_are_added_from_a_file_and_none_if_a_row_is_wrong(
    stored: Church, tell: Tell, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    simulator = stored.simulator
    file = tmp_path / "churches.csv"
    file.write_text(
        "org_id,application_id,secret,display_name,base_url,paused\n"
        "Hope Church,a,topsecret1,,,\n"
        "mercy,,topsecret2,,,perhaps\n"
        f"faith,{simulator.app_id},{simulator.secret},Faith,{simulator.base_url},\n"
    )
    assert main(["churches", "add", str(file)]) == USAGE
    said = capsys.readouterr().err
    assert "row 1: org_id must be" in said
    assert "row 2: application_id is missing" in said
    assert "row 2: paused is true or false" in said
    assert "secret1" not in said

    file.write_text(
        json.dumps(
            [
                {"org_id": "hope", "application_id": "wrong", "secret": "topsecret", "base_url": simulator.base_url},
                {"org_id": "grace", "application_id": "another", "secret": "x", "base_url": simulator.base_url},
            ]
        )
    )
    assert main(["churches", "add", str(file)]) == USAGE
    said = capsys.readouterr().err
    assert "hope: " in said
    assert "401" in said
    assert "grace: it is connected already" in said
    assert "topsecret" not in said
    assert run(find_block("hope")) is None

    one = {"application_id": simulator.app_id, "secret": simulator.secret, "base_url": simulator.base_url}
    file.write_text(json.dumps([{"org_id": "faith", "display_name": "Faith", **one}]))
    code, document = tell("add", str(file))
    assert (code, document["churches"]) == (DONE, {"faith": "Faith"})
    assert {church["org_id"]: church["name"] for church in tell()[1]["churches"]} == {"faith": "Faith", "grace": None}


def test_an_open_quote_makes_no_name_of_the_secrets_behind_it(
    stored: Church, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    simulator = stored.simulator
    head, row = "org_id,application_id,secret,base_url,display_name\n", f"{simulator.app_id},{simulator.secret}"
    file = tmp_path / "churches.csv"
    file.write_text(f'{head}faith,{row},{simulator.base_url},"Faith\nhope,an-id,topsecret1,,Hope\n')
    assert main(["churches", "add", str(file)]) == USAGE
    said = capsys.readouterr().err
    assert "error: this is not CSV (unexpected end of data): is a quote left open?" in said
    assert "topsecret1" not in said
    file.write_text(f'{head}faith,{row},{simulator.base_url},"Faith {"x" * 200}"\n')
    assert main(["churches", "add", str(file)]) == USAGE
    assert "row 1: a display name has 1 to 200 characters" in capsys.readouterr().err
    assert run(find_block("faith")) is None


def test_the_token_of_another_church_is_not_stored_under_the_name_of_one_that_is_mirrored(
    stored: Church, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    simulator = stored.simulator
    stored.sync()
    monkeypatch.setenv("PCO_SYNC_APPLICATION_ID", simulator.app_id)
    monkeypatch.setenv("PCO_SYNC_SECRET", simulator.secret)
    simulator.faults([{"kind": "404", "path": "/people/v2/people/*", "permanent": True}])
    for name in ("grace", "hope"):
        run(save_credentials(name, application_id="x", secret="x", base_url=simulator.base_url, scheduled=True))
    assert main(["connect", "grace", "--base-url", simulator.base_url]) == 1
    assert "than the one that is known as grace; nothing was stored" in capsys.readouterr().err
    assert run(find_block("grace")).application_id.get_secret_value() == "x"
    assert main(["connect", "hope", "--base-url", simulator.base_url]) == DONE, "nobody is mirrored as hope"
    simulator.faults([])
    assert main(["connect", "grace", "--base-url", simulator.base_url]) == DONE


def test_the_same_organization_is_not_added_twice(
    stored: Church, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = {"secret": stored.simulator.secret, "base_url": stored.simulator.base_url}
    file = tmp_path / "churches.json"
    file.write_text(json.dumps([{"org_id": name, "application_id": stored.simulator.app_id, **one} for name in "ab"]))
    assert main(["churches", "add", str(file)]) == USAGE
    assert "b: the same token stands there twice, first for a" in capsys.readouterr().err
    assert run(find_block("a")) is None


def test_a_removed_church_leaves_no_key_row_or_block_and_cannot_be_synced_until_it_is_connected(
    stored: Church, tell: Tell, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stored.sync()
    other = Church(**{**vars_of(stored), "org_id": "hope"})
    monkeypatch.setenv("PCO_SYNC_ORG_ID", "hope")
    monkeypatch.setenv("PCO_SYNC_APPLICATION_ID", stored.simulator.app_id)
    monkeypatch.setenv("PCO_SYNC_SECRET", stored.simulator.secret)
    other.sync(SUFFIXES)
    for name in ("ORG_ID", "APPLICATION_ID", "SECRET"):
        monkeypatch.delenv(f"PCO_SYNC_{name}")
    with Redis.from_url(stored.redis_url) as redis:
        assert [key for key in redis.scan_iter() if b"grace" in key]

        code, document = tell("remove", "grace")
        assert code == DONE
        assert document["is_removed"] is False
        assert document["rows"]["people.person"] == 120
        assert document["has_block"]
        assert stored.rows(), "it was shown only"
        assert main(["churches", "remove", "grace"]) == DONE
        lines = capsys.readouterr().out
        assert "nothing was removed; to remove all of this for good: pco-sync churches remove grace --yes" in lines

        code, document = tell("remove", "grace", "--yes")
        assert (code, document["is_removed"]) == (DONE, True)
        assert document["rows"]["people.person"] == 120
        assert document["flow_runs_left_to_prefect"] >= 1
        assert "never" in document["prefect_deletes_them"] or "days" in document["prefect_deletes_them"]
        left = list(redis.scan_iter())
        assert [key for key in left if b"grace" in key] == []
        assert [key for key in left if b"hope" in key]
    assert stored.rows() == []
    assert other.rows(SUFFIXES) != []
    assert run(find_block("grace")) is None
    wait_until(lambda: bool(events(LEFT_OUT, "pco-sync.church.grace")), "nobody waits for news of it")
    assert tell("remove", "grace", "--yes")[0] == USAGE, "there is nothing of it"
    with pytest.raises(UnknownOrganizationError):
        stored.sync(SUFFIXES)
    for name, value in stored.environment().items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ChurchRemoved, match="grace was removed"):
        stored.sync(SUFFIXES)
    with pytest.raises(ChurchRemoved, match="grace was removed"):
        sync_child("grace", "groups.Membership", ["1"], epoch="turn-1")
    assert main(["churches", "rename", "grace", "x"]) == USAGE
    assert main(["connect", "grace"]) == DONE
    assert stored.sync(SUFFIXES).rows > 0


def vars_of(church: Church) -> dict[str, Any]:
    return {name: getattr(church, name) for name in Church.__dataclass_fields__}


def test_a_church_of_the_environment_cannot_be_paused(church: Church, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["churches", "pause", church.org_id]) == USAGE
    assert "read with the token of the environment (PCO_SYNC_ORG_ID)" in capsys.readouterr().err


def test_a_reader_is_shown_its_address_once(
    stack: Stack, church: Church, tell: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    church.sync(SUFFIXES)
    monkeypatch.setenv("PCO_SYNC_HOME", str(stack.home))
    code, document = tell("reader", church.org_id)
    assert code == DONE
    assert document["user"].startswith("reader_grace_")
    assert document["password"] in document["url"]
    assert (document["host"], document["port"]) == ("127.0.0.1", stack.postgres.port)
    assert f"@127.0.0.1:{stack.postgres.port}/" in document["url"]
    assert tell("reader", "grce")[0] == USAGE
