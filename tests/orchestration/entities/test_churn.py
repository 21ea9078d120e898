"""Nothing is missed and nothing is doubled though records are created, changed and deleted while the walk runs."""

import random

import pytest

from tests.church import Church
from tests.simulators import SimulatorProcess

PAGES = 20


@pytest.mark.parametrize(("entity", "seed"), [("people.Person", 1), ("people.Person", 2), ("groups.Group", 3)])
def test_everybody_who_lived_all_the_while_is_mirrored_once_with_the_latest_value_read(
    church: Church, monkeypatch: pytest.MonkeyPatch, entity: str, seed: int
) -> None:
    """People are read in a window with an upper bound, many pages at a time; groups have no such window."""
    monkeypatch.setenv("PCO_SYNC_PAGE_SIZE", "6")
    chance = random.Random(seed)
    with SimulatorProcess(people=PAGES * 6, groups=PAGES * 6, seed=seed) as world:
        monkeypatch.setenv("PCO_SYNC_PCO_BASE_URL", world.base_url)
        moving = church.served_by(world)
        before = {one["id"]: one for one in world.state(entity)}
        world.churn(
            [
                {
                    "operation": chance.choice(["create", "edit", "edit", "delete", "delete"]),
                    "entity": entity,
                    "place": chance.randrange(PAGES * 3),
                    "attributes": {"name": f"Changed {number}"},
                    "after_request": chance.randint(1, PAGES),
                }
                for number in range(30)
            ]
        )
        summary = moving.sync(entity)
        stats = world.stats()
        assert (stats["churn_waiting"], stats["churn_failures"]) == (0, [])
        after = {one["id"]: one for one in world.state(entity)}
        rows = {row["id"]: row for row in moving.rows(entity)}
        assert before.keys() & after.keys() <= rows.keys(), "who lived all the while is there"
        assert rows.keys() <= before.keys() | after.keys()
        assert summary.records == len(rows) == len(moving.rows(entity))
        untouched = {identity for identity in rows if before.get(identity) == after.get(identity)}
        assert not [told for told in moving.differences(entity) if told.split(".")[0] in untouched]
        world.clock(ahead_seconds=10)
        moving.sync(entity)
        assert moving.differences(entity) == [], "a second walk over a world at rest brings the rest, deletions too"
