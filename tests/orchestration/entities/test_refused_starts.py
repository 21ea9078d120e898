"""What cannot work is refused by one clear error, before a row is written or a request is sent."""

import re

import pytest
from prefect.exceptions import ParameterTypeError

from embedded.server_process import free_port
from flows.sync_entity import sync_entity
from pco_store.errors import SchemaMissing, SchemaNewer, SchemaOutdated, StoreUnavailable
from pco_walks.window import ModeNotPossibleError
from tasks.credentials import UnknownOrganizationError
from tasks.settings import SettingsError
from tests.church import PEOPLE, Church

IMPOSSIBLE = {
    "org_id must be 1 to 63 lower-case letters": {"org_id": "Grace Church"},
    "'people.Persn' is not in the catalogue; did you mean people.Person": {"entity": "people.Persn"},
    "groups.Membership is not listed at top level": {"entity": "groups.Membership"},
    "epoch must be 1 to 64 letters": {"epoch": "a b"},
    "Input should be 'full' or 'delta'": {"mode": "partial"},
    "Input should be 'join', 'reject' or 'restart'": {"on_conflict": "wait"},
}


def test_a_parameter_that_cannot_be_is_named_with_what_is_allowed(church: Church) -> None:
    for told, parameters in IMPOSSIBLE.items():
        with pytest.raises(ParameterTypeError, match=re.escape(told)):
            sync_entity(**{"org_id": "grace", "entity": PEOPLE, **parameters})
    _nothing_happened(church)


def test_an_unknown_church_is_answered_with_those_that_are_known(church: Church) -> None:
    with pytest.raises(UnknownOrganizationError, match=r"'mercy': no credentials .*known: .*grace.*PCO_SYNC_SECRET"):
        sync_entity("mercy", PEOPLE)
    _nothing_happened(church)


def test_a_delta_before_any_full_sync_is_told_to_wait_for_one(church: Church) -> None:
    with pytest.raises(ModeNotPossibleError, match="no watermark yet; let one sync with mode 'full' complete first"):
        church.sync(mode="delta")
    _nothing_happened(church)


def test_a_delta_of_what_has_no_such_filter_is_told_to_be_full(church: Church) -> None:
    with pytest.raises(ModeNotPossibleError, match=r"PCO can neither filter groups\.GroupType by a time of change"):
        church.sync("groups.GroupType", mode="delta")
    _nothing_happened(church)


def test_settings_that_are_missing_or_wrong_are_named_all_at_once(
    church: Church, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PCO_SYNC_REDIS_URL")
    monkeypatch.setenv("PCO_SYNC_PAGE_SIZE", "500")
    with pytest.raises(SettingsError) as refused:
        church.sync()
    assert "PCO_SYNC_REDIS_URL: is not set" in str(refused.value)
    assert "PCO_SYNC_PAGE_SIZE: Input should be less than or equal to 100" in str(refused.value)
    _nothing_happened(church)


def test_a_database_that_is_away_is_told_as_such(church: Church, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PCO_SYNC_DATABASE_URL", f"postgresql://postgres:hush@127.0.0.1:{free_port()}/pco")
    with pytest.raises(StoreUnavailable, match="the database cannot be reached") as refused:
        church.sync()
    assert "hush" not in str(refused.value)
    _nothing_happened(church)


def test_a_database_without_tables_is_told_to_be_migrated(
    church: Church, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PCO_SYNC_DATABASE_URL", empty_database_url)
    with pytest.raises(SchemaMissing, match="run `make migrate`"):
        church.sync()
    _nothing_happened(church)


def test_an_old_and_a_newer_schema_are_told_apart(church: Church) -> None:
    church.sql("UPDATE sync.migrations SET version_num = '0001'")
    with pytest.raises(SchemaOutdated, match=r"at migration 0001, this program needs .*; run `make migrate`"):
        church.sync()
    church.sql("UPDATE sync.migrations SET version_num = '9999', oldest_program = '9998'")
    with pytest.raises(SchemaNewer, match=r"at migration 9999, which this program .* does not know; update pco-sync"):
        church.sync()
    _nothing_happened(church)


def test_a_schema_that_was_tampered_with_stops_the_sync_and_stores_nothing(church: Church) -> None:
    church.sql("ALTER TABLE people.person DROP COLUMN nickname")
    state = church.end()
    assert state.is_failed()
    assert "the database refused: column" in str(state.message)
    assert church.committed() == set()
    assert [run.state for run in church.runs()] == ["failed"]


def _nothing_happened(church: Church) -> None:
    assert church.simulator.access_log() == []
    assert church.runs() == []
