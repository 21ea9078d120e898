"""What could not be stored is tried again: with today's code, with what PCO says now, and by the next full sync."""

import asyncio
import json
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from rich.console import Console

from deployments.operations.quarantine import show_quarantine
from flows.replay_quarantine import replay_quarantine
from tasks.reports.replay_summary import ReplaySummary
from tests.church import PEOPLE, Church


def poison(church: Church, *kinds: str) -> dict[str, str]:
    """A person for each kind of poison, by kind."""
    people = [str(one["id"]) for one in church.simulator.state(PEOPLE)]
    poisons = dict(zip(kinds, people[10::8], strict=False))
    church.simulator.faults(
        [{"kind": kind, "record_id": person, "permanent": True} for kind, person in poisons.items()]
    )
    return poisons


def replayed(church: Church, **parameters: Any) -> tuple[str, ReplaySummary]:
    """The name of the end of a replay, and its summary."""
    state = replay_quarantine(church.org_id, return_state=True, **parameters)
    summary: ReplaySummary = asyncio.run(state.aresult())
    return str(state.name), summary


def told(summary: ReplaySummary) -> dict[str, int]:
    """The numbers that are not 0."""
    return {name: number for name, number in summary.model_dump(exclude={"org_id", "entity"}).items() if number}


def open_items(church: Church) -> int:
    return len(church.sql("SELECT 1 FROM sync.quarantine WHERE resolved_at IS NULL"))


def kinds_in_quarantine(church: Church, identity: str) -> set[str]:
    """Of which kinds a record with this id is in quarantine."""
    opened = "SELECT entity FROM sync.quarantine WHERE resolved_at IS NULL AND record_id = :id"
    return {row.entity for row in church.sql(opened, id=identity)}


def test_a_healed_source_is_asked_for_what_has_an_id_and_the_next_full_sync_settles_the_rest(
    church: Church, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PCO_SYNC_PAGE_SIZE", "8")
    poison(church, "wrong-record-type", "attributes-list", "missing-id", "empty-id", "not-an-object", "500")
    assert church.end().name == "CompletedWithQuarantine"
    assert open_items(church) == 6
    church.simulator.reset_log()

    name, still_ill = replayed(church)
    assert name == "CompletedWithQuarantine"
    assert told(still_ill) == {"looked_at": 6, "still_open": 5, "places": 1, "requests": 2}

    church.simulator.faults([])
    name, healed = replayed(church, entity=PEOPLE)
    assert name == "CompletedWithQuarantine"
    assert told(healed) == {"looked_at": 6, "stored": 2, "still_open": 3, "places": 1, "requests": 2}
    assert len(church.simulator.access_log()) == 4
    assert len(church.differences()) == 4
    (shown,) = tables(church, "replay-grace-people-person")
    assert shown["stored"] == "2"

    assert church.end(mode="delta").is_completed()
    assert open_items(church) == 4, "a delta does not read them again"
    church.sql("UPDATE sync.quarantine SET created_at = created_at - interval '10 seconds'")  # windows end in the past
    church.sync()
    assert open_items(church) == 0
    assert church.differences() == []
    assert told(replayed(church)[1]) == {}


def test_whoever_joins_a_run_is_told_of_its_quarantine_until_that_is_resolved(church: Church) -> None:
    poison(church, "wrong-record-type")
    assert church.end(epoch="monday").name == "CompletedWithQuarantine"
    church.simulator.reset_log()

    joined = church.end(epoch="monday")

    summary = asyncio.run(joined.aresult())
    assert (joined.name, summary.outcome, summary.quarantined) == ("CompletedWithQuarantine", "incomplete", 1)
    assert (summary.records, summary.new) == (119, 119), "what the other run had written down"
    assert church.simulator.access_log() == []
    church.simulator.faults([])
    replayed(church)
    assert church.end(epoch="monday").name == "AlreadyCompleted"


def test_what_fits_by_now_is_stored_without_a_request_as_of_when_it_was_seen(church: Church) -> None:
    ill = poison(church, "wrong-record-type")["wrong-record-type"]
    church.sync()
    (seen,) = church.sql("SELECT created_at FROM sync.quarantine")
    church.sql("UPDATE sync.quarantine SET raw = replace(raw, 'SomethingElse', 'Person')")  # a word that is known now
    church.simulator.reset_log()

    name, summary = replayed(church)

    assert (name, told(summary)) == ("Completed", {"looked_at": 1, "stored": 1})
    assert church.simulator.access_log() == []
    assert church.differences() == []
    (row,) = [one for one in church.rows() if one["id"] == ill]
    assert (row["_synced_at"], row["_epoch"]) == (seen.created_at, "turn-1")


def test_a_replay_brings_back_nothing_that_is_older_than_the_mirror(church: Church) -> None:
    ill = poison(church, "wrong-record-type")["wrong-record-type"]
    church.sync()
    church.sql(
        """
        UPDATE sync.quarantine
        SET raw = jsonb_set(replace(raw, 'SomethingElse', 'Person')::jsonb, '{attributes,first_name}', '"Old"')::text
        """
    )
    church.simulator.faults([])
    church.sync()
    church.sql("UPDATE sync.quarantine SET resolved_at = NULL")

    name, summary = replayed(church)

    assert (name, told(summary)) == ("Completed", {"looked_at": 1, "already_newer": 1})
    assert church.differences() == []
    assert ill in {one["id"] for one in church.rows()}


def test_two_kinds_with_one_id_are_each_brought_back_as_what_they_are(church: Church) -> None:
    """Each product numbers its own: a person of groups and one of people may have the same id."""
    kinds = (PEOPLE, "groups.Person")
    ids = [{str(one["id"]) for one in church.simulator.state(kind)} for kind in kinds]
    shared = min(ids[0] & ids[1], key=int)
    lists = ("/people/v2/people", "/groups/v2/people")
    spoilt = {"kind": "wrong-record-type", "record_id": shared, "permanent": True}
    church.simulator.faults([{**spoilt, "path": path} for path in lists])
    assert [church.end(kind).name for kind in kinds] == ["CompletedWithQuarantine"] * 2
    assert kinds_in_quarantine(church, shared) == set(kinds)
    church.simulator.faults([])

    name, one = replayed(church, entity="groups.Person")

    assert (name, told(one)) == ("Completed", {"looked_at": 1, "stored": 1, "requests": 1})
    assert church.differences("groups.Person") == []
    assert kinds_in_quarantine(church, shared) == {PEOPLE}
    assert len(church.differences()) == 1, "the other kind still lacks it"
    assert told(replayed(church)[1]) == {"looked_at": 1, "stored": 1, "requests": 1}
    assert [church.differences(kind) for kind in kinds] == [[], []]


def test_the_open_ones_are_listed_without_what_they_hold(church: Church, capsys: pytest.CaptureFixture[str]) -> None:
    poisons = poison(church, "attributes-list", "missing-id")
    church.sync()
    names = {str(one["attributes"]["last_name"]) for one in church.simulator.state(PEOPLE)}
    for entity, count in ((None, 2), ("groups.Group", 0)):
        assert asyncio.run(show_quarantine(church.org_id, entity, Console(width=200), as_json=False)) == 0
        said = capsys.readouterr().out
        assert f"{count} open in the quarantine of grace" in said
        assert (f"record {poisons['attributes-list']}  since 2" in said) == bool(count)
        assert ("the record has no id" in said) == bool(count)
        assert not any(name in said for name in names)


def tables(church: Church, key: str) -> list[dict[str, str]]:
    """The tables with this key of the church's newest runs, the last one only."""

    async def read() -> Any:
        async with get_client() as client:
            wanted = ArtifactFilter(key=ArtifactFilterKey(any_=[key]))
            return await client.read_artifacts(artifact_filter=wanted, limit=1)

    return [{row["what"]: row["value"] for row in json.loads(str(one.data))} for one in asyncio.run(read())]
