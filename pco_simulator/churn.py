"""Changes to the world while it is read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pco_simulator.world import World

OPERATIONS: Final = ("create", "edit", "delete", "merge", "poison")


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """One change, before the answer to request number `after_request` + 1, or at once if that is 0.

    `merge` deletes `id` and edits `into`, as PCO does with two people; `place` names a record by its place in the list.
    """

    operation: str
    entity: str
    id: int | None = None
    place: int | None = None
    into: int | None = None
    count: int = 1
    kind: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    after_request: int = 0

    def __post_init__(self) -> None:
        if self.operation not in OPERATIONS:
            raise ValueError(f"unknown operation {self.operation!r}; known: {', '.join(OPERATIONS)}")

    def apply(self, world: World) -> None:
        """Do it. Raises `ValueError` when the record is not there."""
        collection = world.collection(self.entity)
        if self.operation == "create":
            collection.create(self.count)
            return
        record_id = self.id if self.id is not None else collection.ids[self.place or 0]
        if not collection.holds(record_id):
            raise ValueError(f"{self.entity} {record_id} does not exist")
        match self.operation:
            case "edit":
                collection.edit(record_id, self.attributes)
            case "poison":
                collection.poison(record_id, self.kind)
            case "delete" | "merge":
                collection.delete(record_id)
                if self.into is not None:
                    collection.edit(self.into, self.attributes)


@dataclass(kw_only=True)
class Churn:
    """Changes that wait for their request."""

    waiting: list[Change] = field(default_factory=list)

    def apply_due(self, world: World, served: int) -> None:
        """Apply what is due before the next answer."""
        if not self.waiting:
            return
        due = [change for change in self.waiting if change.after_request <= served]
        self.waiting = [change for change in self.waiting if change.after_request > served]
        for change in due:
            change.apply(world)
