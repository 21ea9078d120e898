"""`connect --oauth`: from the consent page to a sync that reads with the church's tokens, and what goes wrong there."""

import asyncio
import io
import json
import os
import signal
import socket
import webbrowser
from collections.abc import Callable
from contextlib import ExitStack

import pytest
from cryptography.fernet import Fernet
from prefect.client.orchestration import get_client

from deployments.app import main
from deployments.connecting.loopback import PORTS
from deployments.exit_codes import DONE, FAILED, INCOMPLETE, INTERRUPTED, USAGE
from deployments.provisioning.provision import save_credentials
from flows.sync_organizations import sync_organizations
from tests.church import Church
from tests.connections.consenting import FIRST, consent
from tests.stack import wait_until

pytestmark = pytest.mark.usefixtures("restored_signals")

SECOND = "263469"
OTHER_KEY = Fernet.generate_key().decode()
REFUSED_DELETES = (
    "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN RAISE EXCEPTION 'not now' USING ERRCODE = '53100'; END $$",
    "CREATE TRIGGER refusing BEFORE DELETE ON sync.connections FOR EACH ROW EXECUTE FUNCTION refuse()",
)


def rows(church: Church) -> list[tuple[str, str, str, int]]:
    found = church.sql("SELECT org_id, organization_id, state, version FROM sync.connections ORDER BY 1")
    return [tuple(row) for row in found]


def test_a_church_that_consents_is_synced_with_its_tokens(
    unconnected: Church, browser: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    pages = browser()
    assert main(["connect", "grace", "--oauth", "--product", "people", "groups"]) == DONE
    printed = capsys.readouterr()
    wait_until(lambda: len(pages) == 2, "the browser has shown both pages")
    assert "This is not the answer to the link that is open" in pages[0]
    assert "Thank you" in pages[1]
    assert "connected: Simulated Church (organization 263468) as grace" in printed.out
    assert "canary" not in printed.out + printed.err
    assert "demo-client-secret" not in printed.out + printed.err
    assert rows(unconnected) == [("grace", FIRST, "active", 1)]

    unconnected.simulator.reset_log()
    assert unconnected.sync().rows == 30
    users = {one["credential"] for one in unconnected.simulator.access_log()}
    assert users == {f"user-{FIRST}-9{FIRST}"}


def test_a_machine_without_a_browser_takes_the_pasted_answer(
    unconnected: Church, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def paste() -> str:
        (link,) = [one for one in capsys.readouterr().err.split() if one.startswith("http://") and "authorize" in one]
        return f"  {consent(link)} "

    monkeypatch.setattr("builtins.input", paste)
    command = ["connect", "grace", "--oauth", "--no-browser", "--product", "people", "--json"]
    assert main(command) == DONE
    told = json.loads(capsys.readouterr().out)
    assert told["granted"] == ["openid", "people"]
    assert told["organization_id"] == FIRST
    assert rows(unconnected) == [("grace", FIRST, "active", 1)]


def test_a_code_that_went_to_another_port_than_the_one_that_waits_is_refused(
    unconnected: Church, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def paste() -> str:
        (link,) = [one for one in capsys.readouterr().out.split() if one.startswith("http://") and "authorize" in one]
        return consent(link.replace(str(PORTS[0]), str(PORTS[1])))

    monkeypatch.setattr("builtins.input", paste)
    assert main(["connect", "grace", "--oauth", "--no-browser"]) == FAILED
    assert "PCO takes this code or refresh token no more" in " ".join(capsys.readouterr().err.split())
    assert rows(unconnected) == []


@pytest.mark.parametrize(
    ("pasted", "told"),
    [
        ("http://127.0.0.1:8127/callback?code=x&state=other", "does not belong to the link that was shown"),
        ("nonsense", "does not belong to the link that was shown"),
    ],
)
def test_an_answer_to_another_link_is_refused(
    unconnected: Church,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    pasted: str,
    told: str,
) -> None:
    monkeypatch.setattr("builtins.input", lambda: pasted)
    assert main(["connect", "grace", "--oauth", "--no-browser"]) == FAILED
    assert told in capsys.readouterr().err
    assert unconnected.simulator.oauth()["requests"] == []


def test_a_wrong_address_can_be_pasted_again(
    unconnected: Church, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    links: list[str] = []

    def paste() -> str:
        out = capsys.readouterr().out.split()
        links.extend(one for one in out if one.startswith("http://") and "authorize" in one)
        pastes.append("Paste the one" in " ".join(out))
        return consent(links[0]) if pastes[-1] else links[0]

    pastes: list[bool] = []
    monkeypatch.setattr("builtins.input", paste)
    assert main(["connect", "grace", "--oauth", "--no-browser", "--product", "people"]) == DONE
    assert pastes == [False, True]
    assert rows(unconnected) == [("grace", FIRST, "active", 1)]


def test_a_machine_that_cannot_open_a_page_asks_for_the_address(
    unconnected: Church, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A browser for terminals would take this one, and one of another machine cannot reach this one's loopback."""
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("webbrowser.open", pytest.fail)
    monkeypatch.setattr("builtins.input", lambda: "nonsense")
    assert main(["connect", "grace", "--oauth"]) == FAILED
    assert "paste it here" in " ".join(capsys.readouterr().out.split())


def test_a_program_finds_no_question_on_standard_output(
    unconnected: Church, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert main(["connect", "grace", "--oauth", "--no-browser", "--json"]) == FAILED
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "the input ended before an address was pasted" in printed.err


def test_whoever_gives_up_waiting_has_stored_nothing(
    unconnected: Church,
    browser: Callable[..., list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    restored_signals: None,
) -> None:
    browser()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's `&` switches it off
    monkeypatch.setattr(webbrowser, "open", lambda _: os.kill(os.getpid(), signal.SIGINT))
    assert main(["connect", "grace", "--oauth"]) == INTERRUPTED
    assert capsys.readouterr().err.strip() == "interrupted; nothing was stored"
    assert rows(unconnected) == []


def test_a_user_who_cancels_leaves_nothing_behind(
    unconnected: Church, browser: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    browser(cancel=True)
    assert main(["connect", "grace", "--oauth"]) == FAILED
    assert "error: the consent was refused at Planning Center; nothing was stored" in capsys.readouterr().err
    assert rows(unconnected) == []


def test_scopes_that_were_not_granted_are_shown_beside_the_chosen_products(
    unconnected: Church, browser: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    unconnected.simulator.oauth(withheld=["giving", "check_ins"])
    browser()
    assert main(["connect", "grace", "--oauth"]) == INCOMPLETE
    out = capsys.readouterr().out
    assert "not granted: check-ins, giving; they are left out of every sync" in out
    rows_shown = [line.split("│") for line in out.splitlines() if line.startswith("│")]
    assert [row[3].strip() for row in rows_shown if row[2].strip() == "check_ins"] == ["no"]


def test_another_church_that_consents_is_refused_and_its_tokens_are_revoked(
    unconnected: Church, browser: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    browser()
    assert main(["connect", "grace", "--oauth"]) == DONE
    browser(organization=SECOND)
    assert main(["connect", "grace", "--oauth"]) == FAILED
    assert f"(organization {SECOND}), and grace is organization {FIRST}; nothing was stored" in capsys.readouterr().err
    assert rows(unconnected) == [("grace", FIRST, "active", 1)]
    assert unconnected.simulator.oauth()["alive"] == {FIRST: 1, SECOND: 0}


def test_the_church_that_a_token_has_read_is_the_one_that_has_to_consent(
    unconnected: Church, browser: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    world = unconnected.simulator
    asyncio.run(save_credentials("grace", application_id=world.app_id, secret=world.secret, base_url=world.base_url))
    browser(organization=SECOND)
    assert main(["connect", "grace", "--oauth"]) == FAILED
    assert f"grace is organization {FIRST}" in capsys.readouterr().err
    browser()
    assert main(["connect", "grace", "--oauth"]) == DONE

    asyncio.run(save_credentials("hope", application_id=world.app_id, secret="revoked", base_url=world.base_url))
    assert main(["connect", "hope", "--oauth"]) == FAILED
    assert "name it: --organization" in capsys.readouterr().err
    browser(organization=SECOND)
    assert main(["connect", "hope", "--oauth", "--organization", SECOND]) == DONE


def test_an_organization_is_connected_under_one_name(
    unconnected: Church, browser: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    browser()
    assert main(["connect", "grace", "--oauth"]) == DONE
    assert main(["connect", "twin", "--oauth"]) == FAILED
    assert f"organization {FIRST} is connected already, as 'grace'" in capsys.readouterr().err
    assert main(["connect", "grace", "--oauth"]) == DONE, "a consent can be renewed"
    assert rows(unconnected) == [("grace", FIRST, "active", 2)]


def test_what_is_missing_is_said_before_anybody_consents(
    unconnected: Church, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PCO_SYNC_TOKEN_KEYS", "not-a-key")
    assert main(["connect", "grace", "--oauth"]) == FAILED
    assert "PCO_SYNC_TOKEN_KEYS: key 1 of 1 is no key" in capsys.readouterr().err
    monkeypatch.delenv("PCO_SYNC_TOKEN_KEYS")
    assert main(["connect", "grace", "--oauth"]) == FAILED
    assert "PCO_SYNC_TOKEN_KEYS is not set" in capsys.readouterr().err
    assert main(["connect", "grace", "--no-browser"]) == USAGE
    assert main(["connect", "grace", "--oauth", "--product", "poeple"]) == USAGE
    assert "unknown product 'poeple'; known: api, calendar" in capsys.readouterr().err


def test_a_wrong_client_secret_is_said(
    unconnected: Church,
    browser: Callable[..., list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PCO_SYNC_CLIENT_SECRET", "canary-mistyped")
    browser()
    assert main(["connect", "grace", "--oauth"]) == FAILED
    err = capsys.readouterr().err
    assert "PCO does not accept the OAuth client id and secret" in err
    assert "they are those of PCO_SYNC_CLIENT_ID and PCO_SYNC_CLIENT_SECRET; nothing was stored" in err
    assert "canary" not in err
    assert rows(unconnected) == []


def test_ports_that_are_taken_are_named(unconnected: Church, capsys: pytest.CaptureFixture[str]) -> None:
    with ExitStack() as taken:
        for port in PORTS:
            taken.enter_context(socket.create_server(("127.0.0.1", port)))
        assert main(["connect", "grace", "--oauth"]) == FAILED
    assert "the ports 8127, 8128, 8129 are all taken" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["connect", "grace"], ["churches", "remove", "grace", "--yes"]])
@pytest.mark.parametrize(
    ("changed", "said", "alive"),
    [
        ({}, "its OAuth tokens are revoked at Planning Center, and deleted", 0),
        ({"PCO_SYNC_TOKEN_KEYS": Fernet.generate_key().decode()}, "lacks the key", 1),
        ({"PCO_SYNC_TOKEN_KEYS": ""}, "PCO_SYNC_TOKEN_KEYS", 1),
        ({"PCO_SYNC_CLIENT_SECRET": "mistyped"}, "does not accept the OAuth client", 1),
        ({"PCO_SYNC_CLIENT_ID": "demo-public-client"}, "the OAuth application demo-client", 1),
    ],
)
def test_a_token_instead_and_a_removal_revoke_the_tokens_or_say_why_not_and_delete_them_in_any_case(
    unconnected: Church,
    browser: Callable[..., list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    changed: dict[str, str],
    said: str,
    alive: int,
    command: list[str],
) -> None:
    browser()
    assert main(["connect", "grace", "--oauth"]) == DONE
    assert unconnected.simulator.oauth()["alive"][FIRST] == 1
    for name, value in changed.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PCO_SYNC_APPLICATION_ID", unconnected.simulator.app_id)
    monkeypatch.setenv("PCO_SYNC_SECRET", unconnected.simulator.secret)
    capsys.readouterr()
    assert main(command) == DONE
    assert said in " ".join(capsys.readouterr().out.split())
    assert unconnected.simulator.oauth()["alive"][FIRST] == alive
    assert rows(unconnected) == []


def test_a_token_is_stored_before_the_tokens_of_the_consent_end_which_is_safe_to_repeat(
    unconnected: Church, browser: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    browser()
    assert main(["connect", "grace", "--oauth"]) == DONE
    monkeypatch.setenv("PCO_SYNC_APPLICATION_ID", unconnected.simulator.app_id)
    monkeypatch.setenv("PCO_SYNC_SECRET", unconnected.simulator.secret)
    for statement in REFUSED_DELETES:
        unconnected.sql(statement)
    assert main(["connect", "grace"]) == FAILED
    assert rows(unconnected) == [("grace", FIRST, "active", 1)]
    unconnected.simulator.reset_log()
    assert unconnected.sync().rows == 30
    assert {one["credential"] for one in unconnected.simulator.access_log()} == {unconnected.simulator.app_id}
    unconnected.sql("DROP FUNCTION refuse() CASCADE")
    assert main(["connect", "grace"]) == DONE
    assert rows(unconnected) == []
    assert unconnected.simulator.oauth()["alive"][FIRST] == 0


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("", "PCO_SYNC_TOKEN_KEYS is not set"),
        ("not-a-key", "PCO_SYNC_TOKEN_KEYS: key 1 of 1 is no key"),
        (OTHER_KEY, "PCO_SYNC_TOKEN_KEYS lacks the key"),
        (f"{OTHER_KEY},{{}}", None),
    ],
    ids=["missing", "no key", "another", "rotated"],
)
def test_a_key_that_is_missing_wrong_or_rotated_is_said_in_a_line_by_a_sync_status_and_the_list(
    unconnected: Church,
    browser: Callable[..., list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    keys: str,
    said: str | None,
) -> None:
    browser()
    assert main(["connect", "grace", "--oauth", "--product", "people"]) == DONE
    monkeypatch.setenv("PCO_SYNC_TOKEN_KEYS", keys.format(os.environ["PCO_SYNC_TOKEN_KEYS"]))
    ended = unconnected.end()
    capsys.readouterr()
    lines = {}
    for command in ("churches", "status"):
        main([command])
        out = capsys.readouterr().out
        lines[command] = [one for one in out.splitlines() if "cannot be opened here: PCO_SYNC_TOKEN_KEYS" in one]
    if said is None:
        assert ended.is_completed()
        assert lines == {"churches": [], "status": []}
    else:
        assert ended.name == "Failed"
        assert said in str(ended.message)
        assert "\n" not in str(ended.message)
        for found in lines.values():
            (line,) = found
            assert "grace" in line
            assert said in line
    assert [one["outcome"] for one in unconnected.simulator.oauth()["requests"]] == ["granted"], "no token was spent"
    assert rows(unconnected) == [("grace", FIRST, "active", 1)]


def test_a_church_whose_tokens_are_dead_is_skipped_by_schedules_with_one_event(
    unconnected: Church, browser: Callable[..., list[str]]
) -> None:
    browser()
    assert main(["connect", "grace", "--oauth"]) == DONE
    unconnected.sql("UPDATE sync.connections SET refresh_issued_at = refresh_issued_at - interval '1 hour'")
    unconnected.simulator.oauth(revoke="")
    for _ in range(3):
        ended = unconnected.end()
        assert ended.name == "Failed"
        assert "grace has to be connected again (pco-sync connect grace --oauth)" in str(ended.message)
    assert [one["outcome"] for one in unconnected.simulator.oauth()["requests"]][1:] == ["invalid_grant"]
    unconnected.sql("UPDATE sync.connections SET base_url = base_url")
    asyncio.run(_schedule("grace", True))
    try:
        assert sync_organizations(include=["people.Person"]) == []
    finally:
        asyncio.run(_schedule("grace", False))
    wait_until(lambda: asyncio.run(_events("grace")) == 1, "the event came")


def test_the_schedule_keeps_the_tokens_of_a_paused_church_alive_and_encrypts_with_the_newest_key(
    unconnected: Church, browser: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    browser()
    assert main(["connect", "grace", "--oauth", "--product", "people"]) == DONE
    for days, version in ((27, 1), (2, 2)):
        unconnected.sql(f"UPDATE sync.connections SET refresh_issued_at = refresh_issued_at - interval '{days} days'")
        assert sync_organizations() == [], "schedules leave the church of a simulator out"
        assert rows(unconnected) == [("grace", FIRST, "active", version)]
    monkeypatch.setenv("PCO_SYNC_TOKEN_KEYS", f"{OTHER_KEY},{os.environ['PCO_SYNC_TOKEN_KEYS']}")
    assert sync_organizations() == []
    monkeypatch.setenv("PCO_SYNC_TOKEN_KEYS", OTHER_KEY)
    assert unconnected.sync().rows == 30, "the old key can be taken out"
    assert rows(unconnected) == [("grace", FIRST, "active", 2)]


async def _schedule(org_id: str, scheduled: bool) -> None:
    from deployments.provisioning.provision import find_block

    block = await find_block(org_id)
    assert block is not None
    block.scheduled = scheduled
    await block.save(org_id, overwrite=True)


async def _events(org_id: str) -> int:
    async with get_client() as client:
        asked = {
            "filter": {
                "event": {"name": ["pco-sync.connection.needs-authorisation"]},
                "resource": {"id": [f"pco-sync.connection.{org_id}"]},
            }
        }
        answer = await client._client.post("/events/filter", json=asked)
        return len(answer.json()["events"])
