"""Parents of two kinds may have the same id: nothing of what is below one of them is taken for the other's."""

from collections.abc import Iterator

import pytest

from flows.sync_children import sync_children
from pco_store.errors import PlanDiffers
from tests.fleet import MEMBERSHIPS, FanOuts, Fleet
from tests.simulators import SimulatorProcess

IN_HOUSEHOLDS = "people.HouseholdMembership"
TAGS = "services.Tag"


@pytest.fixture
def world() -> Iterator[SimulatorProcess]:
    """A church of a few groups, households, songs and people."""
    with SimulatorProcess(people=9, groups=3) as simulator:
        yield simulator


def ids(world: SimulatorProcess, kind: str) -> list[str]:
    return [str(one["id"]) for one in world.state(kind)]


def read(fan_out: FanOuts, entity: str, *, epoch: str, below: list[str] | None = None) -> None:
    """A fan-out in bundles, to its end."""
    sync_children(fan_out.church.org_id, entity, epoch=epoch, below=below, groups_per_run=2, wait=True)
    assert set(fan_out.tally(entity, epoch=epoch)) == {"completed"}


def buried(fan_out: FanOuts, entity: str) -> set[str]:
    return {str(row["id"]) for row in fan_out.church.rows(entity) if row["_deleted_at"] is not None}


def test_two_fan_outs_of_one_epoch_below_parents_with_the_same_ids(fleet: Fleet, world: SimulatorProcess) -> None:
    parent = ids(world, "groups.Group")[0]
    gone = ids(world, MEMBERSHIPS)[0]
    assert parent in ids(world, "people.Household")
    assert gone in ids(world, IN_HOUSEHOLDS)
    fan_out = fleet.church("same-ids", world)
    for entity in (MEMBERSHIPS, IN_HOUSEHOLDS):
        read(fan_out, entity, epoch="e")

    for entity, kind in ((MEMBERSHIPS, "groups.Group"), (IN_HOUSEHOLDS, "people.Household")):
        assert sorted(one.scope for one in fan_out.children(entity)) == sorted(ids(world, kind))
        assert fan_out.church.differences(entity) == []
        pages = fan_out.church.sql(
            "SELECT entity, unnest(ids) AS id FROM sync.pages JOIN sync.runs USING (run_id) WHERE parent_run_id = :id",
            id=fan_out.root(entity).run_id,
        )
        assert {row.entity for row in pages} == {entity}
        assert sorted(row.id for row in pages) == sorted(ids(world, entity))
    assert max(fan_out.church.reads().values()) == 1

    world.churn([{"operation": "delete", "entity": MEMBERSHIPS, "id": gone}])
    for entity in (MEMBERSHIPS, IN_HOUSEHOLDS):
        read(fan_out, entity, epoch="second")
    assert (buried(fan_out, MEMBERSHIPS), buried(fan_out, IN_HOUSEHOLDS)) == ({gone}, set())


def test_one_kind_below_two_kinds_of_parents_with_the_same_ids(fleet: Fleet, world: SimulatorProcess) -> None:
    tag, parent = ids(world, TAGS)[0], ids(world, "services.Song")[0]
    assert parent in ids(world, "services.Person")
    for kind in ("song", "person"):
        share = {"operation": "edit", "entity": TAGS, "id": tag, "relationships": {kind: [parent]}}
        world.churn([share])
    fan_out = fleet.church("same-parents", world)
    read(fan_out, TAGS, epoch="songs", below=["services.Song"])
    with pytest.raises(PlanDiffers, match=r"services\.Song"):
        read(fan_out, TAGS, epoch="songs", below=["services.Person"])
    read(fan_out, TAGS, epoch="people", below=["services.Person"])
    assert links(fan_out, tag) == {("song", parent), ("person", parent)}

    world.churn([{"operation": "edit", "entity": TAGS, "id": tag, "relationships": {"song": []}}])
    read(fan_out, TAGS, epoch="songs-again", below=["services.Song"])
    assert links(fan_out, tag) == {("person", parent)}
    assert buried(fan_out, TAGS) == set()


def links(fan_out: FanOuts, one: str) -> set[tuple[str, str]]:
    """The kinds and ids of the parents that list a record."""
    found = fan_out.church.sql(
        "SELECT parent, scope FROM sync.links WHERE org_id = :org AND id = :id AND unlisted_at IS NULL",
        org=fan_out.church.org_id,
        id=one,
    )
    return {(row.parent, row.scope) for row in found}
