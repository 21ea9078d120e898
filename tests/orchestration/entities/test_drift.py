"""PCO changes: what it does differently is told once, and what is stored already follows without a request."""

import asyncio

import pytest
from rich.console import Console

from deployments.operations.reproject import reproject
from pco_catalog.catalog import load_catalog
from tasks.reports.sync_summary import SyncSummary
from tests.church import PEOPLE, Church
from tests.simulators import SimulatorProcess

OLDEST = "2018-08-01"
FIELD_DATA = "people.FieldDatum"
EMAILS = "people.Email"
"""Nothing is included with them."""


def drifted(church: Church, caplog: pytest.LogCaptureFixture) -> tuple[SyncSummary, list[str]]:
    """A sync's summary, and its warnings."""
    caplog.clear()
    summary = church.sync(EMAILS)
    return summary, [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]


def test_another_version_and_records_that_were_not_asked_for_are_told_once(
    church: Church, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PCO_SYNC_PAGE_SIZE", "30")
    summary, warnings = drifted(church, caplog)
    assert (summary.processed_as_version, summary.included_ignored, warnings) == (None, 0, [])

    unasked = [{"kind": "included", "offset": offset, "permanent": True} for offset in (60, 90)]
    church.simulator.faults([*unasked, {"kind": "older-version", "permanent": True}])
    summary, warnings = drifted(church, caplog)
    assert (summary.processed_as_version, summary.included_ignored) == (OLDEST, 2)
    pinned = load_catalog().entity("people.Person").api_version
    told = f"PCO processed people as of version {OLDEST}, asked was {pinned}, the pinned one"
    assert [told in one for one in warnings] == [True, False]
    assert warnings[1] == "2 included records, which were not asked for, are ignored"
    assert church.differences(EMAILS) == []


def test_values_that_have_a_column_by_now_get_there_without_a_request(
    church: Church, capsys: pytest.CaptureFixture[str]
) -> None:
    church.sync()
    church.sql(
        "UPDATE people.person "
        "SET first_name = NULL, extra = extra || jsonb_build_object('first_name', first_name, 'grade', 'third')"
    )
    church.simulator.reset_log()

    assert _reproject(org_id=church.org_id, entity=PEOPLE) == 0

    (line,) = [one for one in capsys.readouterr().out.splitlines() if "people.person" in one]
    assert line.split()[1::2] == ["people.person", "120", "120", "120"], "looked at, moved, still misfits"
    assert {one["first_name"] is None for one in church.rows()} == {False}
    church.sql("UPDATE people.person SET extra = extra - 'grade'")
    assert church.differences() == []
    assert church.simulator.access_log() == []
    assert _reproject(org_id=None, entity=None) == 0
    assert "no value in extra has a column" in capsys.readouterr().out


def _reproject(org_id: str | None, entity: str | None) -> int:
    return asyncio.run(reproject(org_id, entity, Console(width=100), as_json=False))


def test_field_data_fit_their_columns_and_a_delta_finds_those_that_say_when_they_changed(
    church: Church, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Since version 2026-06-04 a field datum has times, and its file is an object."""
    with SimulatorProcess(people=30, groups=0) as world:
        monkeypatch.setenv("PCO_SYNC_PCO_BASE_URL", world.base_url)
        moving = church.served_by(world)
        full = moving.sync(FIELD_DATA)
        assert (full.records, full.misfits, full.unknown_attributes) == (120, 0, ())
        assert moving.differences(FIELD_DATA) == []

        told, quiet = (one["id"] for one in world.state(FIELD_DATA)[5:7])
        edit = {"operation": "edit", "entity": FIELD_DATA}
        values = {"value": "new", "file": {"url": "https://example.org/a.pdf"}}
        world.churn([edit | {"id": told, "attributes": values}])
        world.churn([edit | {"id": quiet, "attributes": {"value": "new"}, "quiet": True}])
        world.clock(ahead_seconds=10)
        assert moving.sync(FIELD_DATA, mode="delta").records == 1
        assert moving.differences(FIELD_DATA) == [f"{quiet}.value: 'new' is stored as {stored(moving, quiet)!r}"]
        assert moving.sync(FIELD_DATA).misfits == 0
        assert moving.differences(FIELD_DATA) == []


def stored(church: Church, identity: str) -> object:
    """The value of a field datum in the mirror."""
    return next(row["value"] for row in church.rows(FIELD_DATA) if row["id"] == identity)
