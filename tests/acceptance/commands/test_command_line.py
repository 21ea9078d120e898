"""`python -m deployments`: what a person is told when something is missing or wrong, and what works."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from deployments.app import main
from deployments.exit_codes import USAGE
from embedded.server_process import free_port
from embedded.services import MIRROR_DATABASE
from pco_catalog.catalog import load_catalog
from tasks.credentials import UnknownOrganizationError
from tests.church import PEOPLE, Church
from tests.stack import Stack

pytestmark = pytest.mark.usefixtures("restored_signals")

CANARY = "the-password-of-redis"
SERVERS = ("PREFECT_API_URL", "PCO_SYNC_DATABASE_URL", "PCO_SYNC_REDIS_URL")


@pytest.fixture
def nothing_runs(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """An empty data folder, and an environment that names no server."""
    monkeypatch.setenv("PCO_SYNC_HOME", str(home / "empty"))
    for name in SERVERS:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("nothing_runs")
@pytest.mark.parametrize("command", [["sync", "grace", PEOPLE], ["connect", "grace"], ["deploy"], ["migrate"]])
def test_without_servers_it_is_said_how_to_start_them(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command) == 1
    told = capsys.readouterr().err
    assert told.startswith("error: PREFECT_API_URL, PCO_SYNC_DATABASE_URL, PCO_SYNC_REDIS_URL not set")
    assert "Start them with `make up`" in told


@pytest.mark.usefixtures("nothing_runs")
def test_the_status_of_nothing_is_said_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status"]) == 1
    assert capsys.readouterr().out == "nothing runs; `make up` starts the servers\n"


@pytest.mark.usefixtures("church")
@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["sync", "grace", "people.Persn"], "'people.Persn' is not in the catalogue; did you mean people.Person"),
        (["sync", "grace", "groups.Membership", "--mode", "delta"], "--mode cannot be given for groups.Membership"),
        (["sync", "Grace Church", PEOPLE], "org_id must be 1 to 63 lower-case letters, digits and dashes"),
        (["views", "Grace Church"], "org_id must be 1 to 63 lower-case letters, digits and dashes"),
        (["quarantine", "Grace Church"], "org_id must be 1 to 63 lower-case letters, digits and dashes"),
        (["replay-quarantine", "grace", "--entity", "people.Persn"], "did you mean people.Person"),
        (
            ["reproject", "--all", "--entity", "people.Organization"],
            "people.Organization is not mirrored: PCO lists it nowhere",
        ),
        (["replay", "grace", "groups.Membership", "--epoch", "nope"], "the ledger has no fan-out sync-children:grace"),
        (["connect", "Grace Church"], "org_id must be 1 to 63 lower-case letters, digits and dashes"),
    ],
)
def test_a_wrong_word_is_told_in_a_line(command: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command) == USAGE
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert told in said


def test_what_looks_at_the_database_only_works_without_prefect(
    church: Church, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["quarantine", church.org_id]) == 0
    assert main(["reproject", church.org_id]) == 0
    assert main(["reproject", "--all", "--entity", "groups.Membership"]) == 0
    nothing = "no value in extra has a column"
    assert capsys.readouterr().out.splitlines() == ["0 open in the quarantine of grace", nothing, nothing]


def test_a_prefect_server_that_is_away_is_told_with_its_address(
    church: Church, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}/api"
    monkeypatch.setenv("PREFECT_API_URL", nowhere)
    with temporary_settings({PREFECT_API_URL: nowhere}):
        assert main(["sync", church.org_id, PEOPLE]) == 1
        assert f"error: Prefect does not answer at {nowhere}" in capsys.readouterr().err
        assert main(["status"]) == 1
    assert f"trouble         Prefect: Prefect does not answer at {nowhere}" in capsys.readouterr().out


def test_a_redis_that_is_away_is_told_with_the_name_of_its_setting(
    church: Church, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PCO_SYNC_REDIS_URL", f"redis://:{CANARY}@127.0.0.1:{free_port()}/0")
    assert main(["status"]) == 1
    said = capsys.readouterr().out
    assert "trouble         Redis cannot be used (ConnectionError" in said
    assert "see PCO_SYNC_REDIS_URL" in said
    assert CANARY not in said


def test_status_and_env_say_where_the_servers_are(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PCO_SYNC_HOME", str(stack.home))
    for name in SERVERS:
        monkeypatch.setenv(name, "")
    stack.postgres.create_database(MIRROR_DATABASE)
    with temporary_settings({PREFECT_API_URL: stack.prefect.api_url}):
        assert main(["status"]) == 0
    told = capsys.readouterr().out
    assert stack.prefect.ui_url in told
    assert "no pco-sync tables yet; run `make migrate`" in told
    assert re.findall(r"^(\S.*\S) +answers$", told, flags=re.MULTILINE) == ["PostgreSQL", "Redis", "Prefect server"]
    assert str(stack.postgres.data) in told
    assert main(["env"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"export PREFECT_API_URL={stack.prefect.api_url}" in lines
    assert {line.split("=")[0] for line in lines} >= {f"export {name}" for name in SERVERS}


def test_connect_stores_a_token_that_pco_takes_and_the_church_can_be_synced(
    church: Church, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PCO_SYNC_ORG_ID", "connected")
    assert main(["connect", "connected", "--base-url", church.simulator.base_url]) == 0
    told = capsys.readouterr().out
    assert "connected: PCO knows this token as" in told
    assert "stored as the block pco-credentials/connected" in told
    (probe,) = church.simulator.access_log()
    assert (probe["path"], probe["version"]) == ("/people/v2", load_catalog().entity(PEOPLE).api_version)
    for name in ("PCO_SYNC_ORG_ID", "PCO_SYNC_APPLICATION_ID", "PCO_SYNC_SECRET"):
        monkeypatch.delenv(name)
    connected = replace(church, org_id="connected")
    connected.sync()
    assert connected.differences() == []


def test_connect_refuses_a_token_that_pco_does_not_take_and_stores_nothing(
    church: Church, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PCO_SYNC_ORG_ID", "turned-away")
    monkeypatch.setenv("PCO_SYNC_SECRET", "not-the-secret")
    assert main(["connect", "turned-away", "--base-url", church.simulator.base_url]) == 1
    told = capsys.readouterr().err
    assert "error: PCO does not accept the credential" in told
    assert "the client is invalid" in told
    assert "not-the-secret" not in told
    monkeypatch.delenv("PCO_SYNC_ORG_ID")
    with pytest.raises(UnknownOrganizationError, match="'turned-away': no credentials are known"):
        replace(church, org_id="turned-away").sync()
