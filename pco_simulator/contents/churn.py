"""Changes to the world while it is read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pco_simulator.contents.collection import Collection
from pco_simulator.contents.counting import owners_of, recount, recount_visits, visitors_of
from pco_simulator.contents.gifts import give, refund
from pco_simulator.contents.world import World
from pco_simulator.invented.inventor import Named

OPERATIONS: Final = ("create", "edit", "delete", "restore", "merge", "give", "refund")
_MOVED_BY_A_MERGE: Final = ("people.Email", "people.PhoneNumber")


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """One change: at once, or after `after_request` requests and before the answer to the next one.

    `create`: `count` records, or one with the id `id`; `attributes` are set, and `relationships` (to an id, or to
    several).
    `edit`: the same, and `updated_at` becomes now unless it is among them, or the edit is `quiet`: PCO, too, changes
    records without moving it (#1253).
    `delete`, `restore`: the record is gone, or back. What exists with its owner only, such as the enrollment of a
    group, comes and goes with it; a new donation has no refund and no note.
    `merge`: `id` is gone, `into` stays and is edited; of people there is a PersonMerger, and emails and phone numbers
    move to the survivor with their ids.
    `give`: `count` donations with their designations; `refund`: all of a donation.
    Counts that owners have of what is changed move with it (`counting.py`).
    A record is named by `id`, or by its `place` in the list of its entity at that time. Raises `ValueError`.
    """

    operation: str
    entity: str
    id: int | str | None = None
    place: int | None = None
    into: int | str | None = None
    count: int = 1
    attributes: Mapping[str, Any] = field(default_factory=dict)
    relationships: Mapping[str, Named] = field(default_factory=dict)
    quiet: bool = False
    after_request: int = 0

    def __post_init__(self) -> None:
        if self.operation not in OPERATIONS:
            raise ValueError(f"unknown operation {self.operation!r}; known: {', '.join(OPERATIONS)}")
        if self.operation == "merge" and self.into is None:
            raise ValueError("a merge needs `into`, the id of the record that stays")
        if self.operation in ("give", "refund") and self.entity != "giving.Donation":
            raise ValueError(f"{self.operation!r} is about giving.Donation, not about {self.entity}")
        if self.operation not in ("create", "give") and self.id is None and self.place is None:
            raise ValueError(f"{self.operation!r} needs the id or the place of a record")

    def apply(self, world: World) -> list[int]:
        """Do it, and return the ids of the records it was done to. Raises `ValueError` when one is not there."""
        collection = world.collection(self.entity)
        touched = [] if self.operation in ("create", "give") else [self._identifier(collection)]
        owners, visitors = owners_of(collection, touched), visitors_of(world, collection, touched)
        ids = self._change(world, collection, *touched)
        recount(world, owners | owners_of(collection, ids))
        recount_visits(world, visitors | visitors_of(world, collection, ids))
        return ids

    def _change(self, world: World, collection: Collection, identifier: int = 0) -> list[int]:
        related = collection.references(self.relationships)
        if self.operation == "create":
            ids = [None] * self.count if self.id is None else [int(self.id)]
            made = [collection.create(self.attributes, one, related) for one in ids]
            for one in made:
                world.equip(collection, one)
            return made
        match self.operation:
            case "give":
                return [give(world, self.attributes, self.relationships) for _ in range(self.count)]
            case "refund":
                refund(world, identifier)
            case "restore":
                collection.restore(identifier)
                for belonging in world.belongings(collection):
                    if identifier in belonging.deleted_ids:
                        belonging.restore(identifier)
            case "edit":
                collection.edit(identifier, self.attributes, related, quiet=self.quiet)
            case "delete":
                _delete(world, collection, identifier)
            case "merge":
                self._merge(world, collection, identifier)
        return [identifier]

    def _identifier(self, collection: Collection) -> int:
        if self.id is None:
            place = self.place or 0
            if not -len(collection.ids) <= place < len(collection.ids):
                raise ValueError(f"{self.entity} has no place {place}")
            return collection.ids[place]
        identifier = int(self.id)
        if self.operation != "restore" and not collection.holds(identifier):
            raise ValueError(f"{self.entity} {identifier} does not exist")
        return identifier

    def _merge(self, world: World, collection: Collection, gone: int) -> None:
        kept = int(self.into or 0)
        if not collection.holds(kept) or kept == gone:
            raise ValueError(f"{self.entity} {gone} cannot be merged into {kept}")
        _delete(world, collection, gone)
        collection.edit(kept, self.attributes)
        if self.entity != "people.Person":
            return
        world.collection("people.PersonMerger").create({"person_to_keep_id": kept, "person_to_remove_id": gone})
        owner = {"person": {"data": {"type": "Person", "id": str(kept)}}}
        for name in _MOVED_BY_A_MERGE:
            moved = world.collection(name)
            for identifier in list(moved.children_of("person", gone)):
                moved.edit(identifier, {}, owner)


def _delete(world: World, collection: Collection, identifier: int) -> None:
    collection.delete(identifier)
    for belonging in world.belongings(collection):
        if belonging.holds(identifier):
            belonging.delete(identifier)


class Churn:
    """Changes that wait for their request. One that cannot be made when its time has come is kept in `failures`."""

    def __init__(self) -> None:
        self.waiting: list[Change] = []
        self.failures: list[str] = []

    def apply_due(self, world: World, requests: int) -> None:
        """Make the changes that are due after so many requests."""
        if not self.waiting:
            return
        due = [change for change in self.waiting if change.after_request <= requests]
        self.waiting = [change for change in self.waiting if change.after_request > requests]
        for change in due:
            try:
                change.apply(world)
            except ValueError as error:
                self.failures.append(str(error))
