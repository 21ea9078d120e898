"""PCO changes: what it does differently is told once, and what is stored already follows without a request."""

import argparse
import asyncio

import pytest
from rich.console import Console

from deployments.reproject import reproject
from pco_catalog.catalog import load_catalog
from tasks.summary import SyncSummary
from tests.church import PEOPLE, Church

OLDEST = "2018-08-01"


def drifted(church: Church, caplog: pytest.LogCaptureFixture) -> tuple[SyncSummary, list[str]]:
    """A sync's summary, and its warnings."""
    caplog.clear()
    summary = church.sync()
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
    assert church.differences() == []


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


def _reproject(**options: str | None) -> int:
    return asyncio.run(reproject(argparse.Namespace(**options), Console(width=100)))
