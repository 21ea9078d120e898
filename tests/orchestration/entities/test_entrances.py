"""A sync from Python: in a plain script, and where an event loop runs already. Deployments: tests/acceptance."""

import asyncio
import json
from pathlib import Path

import pytest

from flows.sync_entity import sync_entity
from pco_catalog.catalog import load_catalog
from tasks.reports.sync_summary import SyncSummary
from tests.church import PEOPLE, Church
from tests.likeness import differences
from tests.simulators import SimulatorProcess

RECORDING = Path(__file__).parents[2] / "recordings" / "people.json"

FIRST_ENTITIES = (
    PEOPLE,
    "people.Email",
    "people.PhoneNumber",
    "people.Campus",
    "people.Household",
    "groups.Group",
    "groups.GroupType",
)


def test_a_plain_script_mirrors_every_value_of_every_person(church: Church) -> None:
    summary: SyncSummary = sync_entity("grace", "people.Person")
    assert (summary.outcome, summary.records, summary.new, summary.pages) == ("completed", 120, 120, 2)
    assert church.differences() == []


def test_the_first_entities_are_mirrored_side_by_side_where_a_loop_runs(church: Church) -> None:
    async def main() -> list[SyncSummary]:
        summaries: list[SyncSummary] = await asyncio.gather(*(sync_entity("grace", one) for one in FIRST_ENTITIES))
        return summaries

    for summary in asyncio.run(main()):
        assert (summary.outcome, summary.records) == ("completed", len(church.simulator.state(summary.entity)))
    assert [told for entity in FIRST_ENTITIES for told in church.differences(entity)] == []


def test_the_comparison_sees_a_wrong_a_missing_and_a_surplus_value(church: Church) -> None:
    church.sync("people.Campus")
    first, second, third, fourth = (row["id"] for row in church.rows("people.Campus"))
    church.sql("UPDATE people.campus SET name = name || '!' WHERE id = :id", id=first)
    church.sql("UPDATE people.campus SET organization_id = NULL WHERE id = :id", id=second)
    church.sql("""UPDATE people.campus SET extra = extra || '{"more": 1}' WHERE id = :id""", id=third)
    church.sql("DELETE FROM people.campus WHERE id = :id", id=fourth)
    told = church.differences("people.Campus")
    assert [one.split(":")[0] for one in told] == sorted(
        [f"{first}.name", f"{second}.organization", f"{third}.more", fourth]
    )


def test_the_page_size_changes_the_requests_and_nothing_else(church: Church, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PCO_SYNC_PAGE_SIZE", "7")
    church.sync()
    assert church.differences() == []
    assert sorted(church.reads().values()) == [1] * 18


def test_recorded_answers_are_mirrored_value_by_value(church: Church, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PCO_SYNC_PAGE_SIZE", "2")
    with SimulatorProcess(replay=RECORDING) as recorded:
        monkeypatch.setenv("PCO_SYNC_PCO_BASE_URL", recorded.base_url)
        elsewhere = church.served_by(recorded)
        people = [one for capture in json.loads(RECORDING.read_text()) for one in capture["body"]["data"]]
        assert elsewhere.sync().records == len({one["id"] for one in people}) > 2
        assert differences(people, elsewhere.rows(), load_catalog().entity(PEOPLE)) == []
