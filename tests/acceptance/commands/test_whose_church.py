"""No consent and no token of another church is stored under the name of one that is connected or mirrored already."""

import asyncio
from collections.abc import Callable

import pytest

from deployments.app import main
from deployments.exit_codes import DONE, FAILED
from deployments.provisioning.provision import save_credentials
from tests.acceptance.commands.test_connect_by_oauth import SECOND, rows
from tests.church import Church
from tests.connections.consenting import FIRST

pytestmark = pytest.mark.usefixtures("restored_signals")

NO_PEOPLE = [{"kind": "404", "path": "/people/v2/people/*", "permanent": True}]


def test_no_other_organization_can_be_named_for_a_church_that_has_consented(
    unconnected: Church, browser: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    browser()
    assert main(["connect", "grace", "--oauth"]) == DONE
    asked = unconnected.simulator.oauth()["requests"]
    browser(organization=SECOND)
    assert main(["connect", "grace", "--oauth", "--organization", SECOND]) == FAILED
    assert f"grace is organization {FIRST}, and --organization names {SECOND}" in capsys.readouterr().err
    assert unconnected.simulator.oauth()["requests"] == asked, "nobody consents in vain"
    browser()
    assert main(["connect", "grace", "--oauth", "--organization", FIRST]) == DONE
    assert rows(unconnected) == [("grace", FIRST, "active", 2)]


def test_a_church_that_is_only_named_has_to_show_people_who_are_mirrored(
    unconnected: Church, browser: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    world = unconnected.simulator
    asyncio.run(save_credentials("grace", application_id=world.app_id, secret=world.secret, base_url=world.base_url))
    browser(organization=SECOND)
    assert main(["connect", "grace", "--oauth", "--organization", SECOND]) == FAILED
    assert f"grace is organization {FIRST}, and --organization names {SECOND}" in capsys.readouterr().err, (
        "by its token"
    )

    unconnected.sync()
    world.faults([{"kind": "401", "permanent": True}])
    other = world.church(1)
    other.faults(NO_PEOPLE)
    browser(organization=SECOND)
    assert main(["connect", "grace", "--oauth", "--organization", SECOND]) == FAILED
    assert f"this is another church (organization {SECOND}) than the one that is known as grace" in (
        capsys.readouterr().err
    )
    assert rows(unconnected) == []
    assert world.oauth()["alive"][SECOND] == 0
    other.faults([])
    world.faults([])
    browser()
    assert main(["connect", "grace", "--oauth", "--organization", FIRST]) == DONE


def test_a_church_that_is_named_and_opens_no_people_is_believed(
    unconnected: Church, browser: Callable[..., list[str]]
) -> None:
    world = unconnected.simulator
    asyncio.run(save_credentials("grace", application_id=world.app_id, secret=world.secret, base_url=world.base_url))
    unconnected.sync()
    browser()
    assert main(["connect", "grace", "--oauth", "--organization", FIRST, "--product", "groups"]) == DONE


def test_a_token_of_another_church_does_not_replace_a_consent_though_no_people_are_mirrored(
    unconnected: Church,
    browser: Callable[..., list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    browser()
    assert main(["connect", "grace", "--oauth", "--product", "groups"]) == DONE
    other = unconnected.simulator.church(1)
    monkeypatch.setenv("PCO_SYNC_APPLICATION_ID", other.app_id)
    monkeypatch.setenv("PCO_SYNC_SECRET", other.secret)
    assert main(["connect", "grace"]) == FAILED
    assert f"this is another church (organization {SECOND}) than the one that is known as grace" in (
        capsys.readouterr().err
    )
    assert rows(unconnected) == [("grace", FIRST, "active", 1)]
