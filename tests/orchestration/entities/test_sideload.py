"""What comes with the records of a list is mirrored with them: one request, one transaction, the same guarantees."""

import pytest

from flows.replay_quarantine import replay_quarantine
from flows.sync_entity import NotIncludedError
from tests.church import Church
from tests.orchestration.entities.sideloads import (
    ALWAYS,
    DESIGNATIONS,
    DONATIONS,
    INCLUDE,
    KINDS,
    PATH,
    asked,
    designations_of,
    differences,
    ended,
    lapse,
    owner_with,
)
from tests.simulators import SimulatorProcess


def test_donations_bring_what_belongs_to_them(giving: Church) -> None:
    summary = giving.sync(DONATIONS)

    assert {INCLUDE in one for one in asked(giving)} == {True}
    assert differences(giving) == []
    assert {kind: one.outcome for kind, one in summary.brought.items()} == dict.fromkeys(sorted(KINDS), "completed")
    assert summary.brought[DESIGNATIONS].new == len(giving.rows(DESIGNATIONS)) > 90
    assert "Designation (" in summary.told
    runs = {run.entity: run.state for run in giving.sql("SELECT entity, state FROM sync.runs")}
    assert runs == dict.fromkeys([DONATIONS, *KINDS], "completed")

    again = giving.sync(DONATIONS)
    assert again.brought[DESIGNATIONS].unchanged == summary.brought[DESIGNATIONS].new
    assert (again.changed, again.brought[DESIGNATIONS].changed) == (0, 0)


def test_an_owner_of_thousands_brings_them_all_with_its_page(giving: Church) -> None:
    owner = owner_with(giving, 1)
    giving.simulator.churn(
        [{"operation": "create", "entity": DESIGNATIONS, "count": 3000, "relationships": {"donation": owner}}]
    )

    summary = giving.sync(DONATIONS)

    assert summary.brought[DESIGNATIONS].new > 3000
    assert len(asked(giving)) == 3, "each page was asked for once"
    assert len(designations_of(giving, owner)) > 3000
    assert differences(giving) == []


def test_asked_for_alone_it_is_read_with_its_owners(giving: Church) -> None:
    summary = giving.sync(DESIGNATIONS)
    assert summary.key.startswith("sync-entity:grace:giving.Donation:")
    assert giving.differences(DESIGNATIONS) == []


def test_what_was_committed_is_not_asked_for_again(giving: Church) -> None:
    giving.simulator.faults([{"kind": "403", "path": PATH, "after": 2, **ALWAYS}])
    assert ended(giving).is_failed()
    first = giving.reads()
    assert giving.rows(DESIGNATIONS)

    giving.simulator.faults([])
    giving.simulator.reset_log()
    summary = giving.sync(DONATIONS)
    assert summary.continued
    assert first.keys() - giving.reads().keys(), "some pages were done"
    assert differences(giving) == []
    assert summary.brought[DESIGNATIONS].rows == len(giving.rows(DESIGNATIONS))


def test_a_delta_asks_for_the_same(giving: Church) -> None:
    giving.sync(DONATIONS)
    owner = owner_with(giving, 1)
    (made,) = giving.simulator.churn(
        [{"operation": "create", "entity": DESIGNATIONS, "relationships": {"donation": owner}}]
    )
    giving.simulator.churn([{"operation": "edit", "entity": DONATIONS, "id": owner, "attributes": {"fee_cents": 7}}])
    giving.simulator.clock(ahead_seconds=10)
    giving.simulator.reset_log()
    summary = giving.sync(DONATIONS, mode="delta")
    assert summary.records == 1
    assert str(made) in designations_of(giving, owner)
    assert {INCLUDE in one for one in asked(giving)} == {True}


def test_deleted_ones_get_their_tombstones_with_their_owners_and_without(giving: Church) -> None:
    giving.sync(DONATIONS)
    owner = owner_with(giving, 2)
    lone, *_ = designations_of(giving, owner)
    other = next(one["donation_id"] for one in giving.rows(DESIGNATIONS) if one["donation_id"] != owner)
    its = designations_of(giving, other)
    giving.simulator.churn([{"operation": "delete", "entity": DESIGNATIONS, "id": lone}])
    giving.simulator.churn([{"operation": "delete", "entity": DONATIONS, "id": other}])

    def dead() -> set[str]:
        return {one["id"] for one in giving.rows(DESIGNATIONS) if one["_deleted_at"]}

    summary = giving.sync(DONATIONS)
    assert dead() == set(its)
    assert (summary.deleted, summary.brought[DESIGNATIONS].deleted) == (1, len(its))
    assert summary.brought[DESIGNATIONS].missing == len(its)
    assert giving.sync(DONATIONS).brought[DESIGNATIONS].deleted == 1
    assert dead() == {lone, *its}, "it may have moved while the list was read, so it was left for the next turn"


@pytest.mark.parametrize("place", [2, 45])
def test_an_owner_that_is_deleted_between_two_pages_takes_with_it_what_belonged_to_it_and_nothing_else(
    giving: Church, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    """Its page was read before it went, or is read without it; what stood behind it moves to the page before."""
    monkeypatch.setenv("PCO_SYNC_PAGES_IN_FLIGHT", "1")
    giving.sync(DONATIONS)
    owner = giving.simulator.state(DONATIONS)[place]["id"]
    its = designations_of(giving, owner)
    assert its
    # After the opening page and the last one, and before the page between them.
    requests = len(giving.simulator.access_log())
    change = {"operation": "delete", "entity": DONATIONS, "id": owner, "after_request": requests + 2}
    giving.simulator.churn([change])

    giving.sync(DONATIONS)
    assert owner not in {one["id"] for one in giving.simulator.state(DONATIONS)}
    giving.sync(DONATIONS)

    assert differences(giving) == []
    reasons = {one["id"]: one["_deleted_reason"] for one in giving.rows(DESIGNATIONS) if one["_deleted_at"]}
    assert reasons == dict.fromkeys(its, "with its owner")
    assert [one["id"] for one in giving.rows(DONATIONS) if one["_deleted_at"]] == [owner]


def test_however_many_belonged_to_a_deleted_owner_they_go_with_it(giving: Church) -> None:
    owner = owner_with(giving, 1)
    giving.simulator.churn(
        [{"operation": "create", "entity": DESIGNATIONS, "count": 60, "relationships": {"donation": owner}}]
    )
    giving.sync(DONATIONS)
    giving.simulator.churn([{"operation": "delete", "entity": DONATIONS, "id": owner}])

    summary = giving.sync(DONATIONS)

    assert summary.outcome == "completed", summary.reason
    assert summary.brought[DESIGNATIONS].deleted > 60
    assert designations_of(giving, owner) == []


def test_what_belonged_to_a_deleted_owner_goes_with_it_though_of_others_too_many_are_missing(giving: Church) -> None:
    gone = owner_with(giving, 1)
    other = next(one["id"] for one in giving.simulator.state(DONATIONS) if one["id"] != gone)
    made = giving.simulator.churn(
        [{"operation": "create", "entity": DESIGNATIONS, "count": 60, "relationships": {"donation": other}}]
    )
    giving.sync(DONATIONS)
    its = designations_of(giving, gone)
    giving.simulator.churn([{"operation": "delete", "entity": DESIGNATIONS, "id": str(one)} for one in made])
    giving.simulator.churn([{"operation": "delete", "entity": DONATIONS, "id": gone}])

    summary = giving.sync(DONATIONS)

    assert summary.outcome == "incomplete"
    assert (summary.brought[DESIGNATIONS].missing, summary.brought[DESIGNATIONS].deleted) == (60 + len(its), len(its))
    assert designations_of(giving, gone) == []
    assert len(designations_of(giving, other)) >= 60, "a person decides about them"


def test_a_kind_of_which_an_owner_has_one_is_looked_for_by_its_id(giving: Church) -> None:
    giving.sync(DONATIONS)
    note = giving.rows("giving.Note")[0]
    giving.simulator.churn([{"operation": "delete", "entity": "giving.Note", "id": note["id"]}])
    giving.sync(DONATIONS)
    giving.sync(DONATIONS)
    assert [one["id"] for one in giving.rows("giving.Note") if one["_deleted_at"]] == [note["id"]]


def test_what_is_shown_with_owners_only_is_gone_when_none_has_shown_it_twice(
    church: Church, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SimulatorProcess(people=12, groups=8) as world:
        monkeypatch.setenv("PCO_SYNC_PCO_BASE_URL", world.base_url)
        groups = church.served_by(world)
        groups.sync("groups.Group")
        gone = groups.rows("groups.Location")[0]["id"]
        world.churn([{"operation": "delete", "entity": "groups.Location", "id": gone}])

        def buried() -> dict[str, str]:
            return {one["id"]: one["_deleted_reason"] for one in groups.rows("groups.Location") if one["_deleted_at"]}

        groups.sync("groups.Group")
        assert buried() == {}, "another group may have it, which was read before"
        summary = groups.sync("groups.Group")
        assert buried() == {gone: "shown by no owner"}
        assert summary.brought["groups.Location"].deleted == 1


def test_what_no_owner_ever_named_is_gone_when_none_has_shown_it_twice(giving: Church) -> None:
    """Its row names nobody below whom it could be asked for."""
    giving.sync(DONATIONS)
    ghost = giving.rows(DESIGNATIONS)[0]["id"]
    giving.simulator.churn([{"operation": "delete", "entity": DESIGNATIONS, "id": ghost}])
    giving.sql(f"UPDATE giving.designation SET donation_id = NULL WHERE id = '{ghost}'")

    def dead() -> list[tuple[str, str]]:
        return [(one["id"], one["_deleted_reason"]) for one in giving.rows(DESIGNATIONS) if one["_deleted_at"]]

    giving.sync(DONATIONS)
    assert dead() == [], "it may have moved to an owner that was read before"
    told = giving.sql(
        "SELECT deletions -> 'unplaced' FROM sync.runs WHERE entity = :kind ORDER BY turn", kind=DESIGNATIONS
    )
    assert told == [(None,), (1,)]
    giving.sync(DONATIONS)
    assert dead() == [(ghost, "shown by no owner")]


def test_what_an_owner_points_to_that_its_list_leaves_out_is_not_gone(
    church: Church, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planning Center does not list archived groups, and shows them by their id."""
    with SimulatorProcess(people=12, groups=8) as world:
        monkeypatch.setenv("PCO_SYNC_PCO_BASE_URL", world.base_url)
        groups = church.served_by(world)
        groups.sync("groups.Group")
        known = [(one["id"], one["location_id"]) for one in groups.rows("groups.Group") if one["location_id"]]
        group, location = next((own, at) for own, at in known if [one for _, one in known].count(at) == 1)
        archived = {"archived_at": "2026-06-01T00:00:00Z"}
        world.churn([{"operation": "edit", "entity": "groups.Group", "id": group, "attributes": archived}])
        for _ in range(3):
            groups.sync("groups.Group")
        assert [one["id"] for one in groups.rows("groups.Group") if one["_deleted_at"]] == []
        assert [one["id"] for one in groups.rows("groups.Group") if one["archived_at"]] == [group], "it is as it is now"
        assert groups.differences("groups.Group") == []
        assert [one["id"] for one in groups.rows("groups.Location") if one["_deleted_at"]] == []
        assert location in {one["id"] for one in groups.rows("groups.Location")}


def test_one_that_moves_to_an_owner_who_was_read_before_is_not_taken_for_deleted(
    giving: Church, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PCO_SYNC_PAGES_IN_FLIGHT", "1")
    giving.sync(DONATIONS)
    donations = [one["id"] for one in giving.simulator.state(DONATIONS)]
    moved, *_ = designations_of(giving, donations[45])
    requests = len(giving.simulator.access_log())
    # After the opening page and the last one, and before the page between them.
    giving.simulator.churn(
        [
            {
                "operation": "edit",
                "entity": DESIGNATIONS,
                "id": moved,
                "relationships": {"donation": donations[-1]},
                "after_request": requests + 2,
            }
        ]
    )

    summary = giving.sync(DONATIONS)

    ids = giving.sql(
        "SELECT unnest(ids) FROM sync.pages JOIN sync.runs USING (run_id) WHERE epoch = :epoch AND entity = :entity",
        epoch=summary.epoch,
        entity=DESIGNATIONS,
    )
    assert (moved,) not in ids, "no page has shown it"
    assert [one["_deleted_at"] for one in giving.rows(DESIGNATIONS) if one["id"] == moved] == [None]
    giving.sync(DONATIONS)
    assert differences(giving) == []


def test_a_turn_that_an_older_version_has_opened_stays_what_it_was(giving: Church) -> None:
    giving.simulator.faults([{"kind": "403", "path": PATH, "after": 2, **ALWAYS}])
    assert ended(giving).is_failed()
    giving.sql("DELETE FROM sync.pages WHERE run_id IN (SELECT run_id FROM sync.runs WHERE read_with IS NOT NULL)")
    giving.sql("DELETE FROM sync.runs WHERE read_with IS NOT NULL")
    giving.sql("UPDATE sync.runs SET members = NULL")
    giving.simulator.faults([])
    giving.simulator.reset_log()
    summary = giving.sync(DONATIONS)
    assert summary.continued
    assert summary.brought == {}
    assert {"include" in one for one in asked(giving)} == {False}
    assert giving.differences(DONATIONS) == []

    assert giving.sync(DONATIONS).brought.keys() == {*KINDS}, "the next turn is this version's"
    assert differences(giving) == []


def test_a_turn_that_was_opened_without_a_kind_does_not_pass_for_a_reading_of_it(giving: Church) -> None:
    giving.simulator.faults([{"kind": "403", "path": PATH, "after": 2, **ALWAYS}])
    assert ended(giving).is_failed()
    giving.sql("DELETE FROM sync.pages WHERE run_id IN (SELECT run_id FROM sync.runs WHERE read_with IS NOT NULL)")
    giving.sql("DELETE FROM sync.runs WHERE read_with IS NOT NULL")
    giving.sql("UPDATE sync.runs SET members = NULL")
    giving.simulator.faults([])

    with pytest.raises(NotIncludedError, match=r"turn-1 was opened without giving\.Designation"):
        giving.sync(DESIGNATIONS)
    assert giving.sync(DONATIONS).continued
    with pytest.raises(NotIncludedError, match=r"turn-1 was opened without giving\.Designation"):
        giving.sync(DESIGNATIONS, epoch="turn-1")

    assert giving.sync(DESIGNATIONS).brought[DESIGNATIONS].rows > 90
    assert differences(giving) == []


def test_what_cannot_be_a_row_stands_aside_with_its_owner_and_is_replayed_there(giving: Church) -> None:
    owner = owner_with(giving, 2)
    lapse(giving, "spoilt", record_id=owner, **ALWAYS)
    state = ended(giving)
    assert state.name == "CompletedWithQuarantine"
    assert "giving.Designation: 1 record is in quarantine" in str(state.message)
    ((entity, bad, of),) = giving.sql("SELECT entity, record_id, owner FROM sync.quarantine")
    assert (entity, of) == (DESIGNATIONS, owner)
    assert bad not in designations_of(giving, owner)

    giving.simulator.reset_log()
    replayed = replay_quarantine(giving.org_id)
    assert (replayed.stored, replayed.still_open) == (1, 0)
    assert [one["path"] for one in giving.simulator.access_log()] == [f"{PATH}/{owner}/designations/{bad}"]
    assert differences(giving) == []


def test_what_belongs_to_a_record_that_stands_aside_is_mirrored(giving: Church) -> None:
    owner = owner_with(giving, 2)
    giving.simulator.faults([{"kind": "attributes-list", "record_id": owner, "path": PATH, **ALWAYS}])
    assert ended(giving).name == "CompletedWithQuarantine"
    assert giving.sql("SELECT entity, record_id FROM sync.quarantine WHERE resolved_at IS NULL") == [(DONATIONS, owner)]
    its = designations_of(giving, owner)
    assert len(its) >= 2

    for _ in range(2):
        assert ended(giving).name == "CompletedWithQuarantine"
    assert designations_of(giving, owner) == its, "two full readings that show its owner to nobody bury none of it"
    giving.simulator.faults([])
    giving.sql("UPDATE sync.quarantine SET created_at = created_at - interval '1 minute'")
    assert ended(giving).name == "Completed"
    assert giving.sql("SELECT entity FROM sync.quarantine WHERE resolved_at IS NULL") == []
    assert differences(giving) == []
