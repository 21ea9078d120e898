"""Settings come from the environment; what is wrong with them is told by name, never by value."""

import os

import pytest

from tasks.settings import SettingsError, read_settings

COMPLETE = {
    "PCO_SYNC_DATABASE_URL": "postgresql://someone:canary@db/pco",
    "PCO_SYNC_REDIS_URL": "redis://:canary@cache/0",
}


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [one for one in os.environ if one.startswith("PCO_SYNC_")]:
        monkeypatch.delenv(name)


def given_environment(monkeypatch: pytest.MonkeyPatch, **more: str) -> None:
    for name, value in {**COMPLETE, **more}.items():
        monkeypatch.setenv(name, value)


def test_two_addresses_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    given_environment(monkeypatch)
    settings = read_settings()
    assert settings.database_url.get_secret_value() == COMPLETE["PCO_SYNC_DATABASE_URL"]
    assert settings.pco_base_url == "https://api.planningcenteronline.com"
    assert (settings.page_size, settings.retry_total_seconds) == (100, 300.0)


def test_every_missing_variable_is_named_together_with_what_to_do() -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings()
    message = str(caught.value)
    assert "PCO_SYNC_DATABASE_URL: is not set" in message
    assert "PCO_SYNC_REDIS_URL: is not set" in message
    assert "make up" in message
    assert "docs/settings.md" in message


def test_an_empty_variable_is_a_missing_one(monkeypatch: pytest.MonkeyPatch) -> None:
    given_environment(monkeypatch, PCO_SYNC_REDIS_URL="")
    with pytest.raises(SettingsError, match="PCO_SYNC_REDIS_URL: is not set"):
        read_settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PCO_SYNC_PAGE_SIZE", "canary"),
        ("PCO_SYNC_PAGE_SIZE", "0"),
        ("PCO_SYNC_PAGE_SIZE", "101"),
        ("PCO_SYNC_PAGES_IN_FLIGHT", "0"),
        ("PCO_SYNC_LEASE_SECONDS", "-1"),
        ("PCO_SYNC_RETRY_TOTAL_SECONDS", "canary"),
        ("PCO_SYNC_REQUEST_TIMEOUT_SECONDS", "0"),
    ],
)
def test_a_wrong_value_is_refused_by_name_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    given_environment(monkeypatch, **{name: value})
    with pytest.raises(SettingsError, match=f"{name}: Input should be") as caught:
        read_settings()
    assert "canary" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_secrets_do_not_show_when_settings_are_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    given_environment(monkeypatch, PCO_SYNC_APPLICATION_ID="canary", PCO_SYNC_SECRET="canary", PCO_SYNC_ORG_ID="grace")
    assert "canary" not in repr(read_settings())
    assert "canary" not in str(read_settings().model_dump())


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("DATABASE_URL", "postgresql://u:canary@h/db?foo=1", "the parameter foo of PCO_SYNC_DATABASE_URL is not"),
        ("REDIS_URL", "http://:canary@h", "PCO_SYNC_REDIS_URL must begin with redis://"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_without_its_value(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str
) -> None:
    given_environment(monkeypatch, **{f"PCO_SYNC_{name}": value})
    with pytest.raises(SettingsError, match=told) as refused:
        read_settings()
    assert "canary" not in str(refused.value)
