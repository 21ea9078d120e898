"""What exists in the simulated Planning Center: every collection of the catalogue, and the paths that lead to it."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from pco_catalog.catalog import Entity, load_catalog
from pco_simulator.contents.collection import Collection
from pco_simulator.contents.edges import Edges
from pco_simulator.contents.listing import ListFacts
from pco_simulator.contents.places import ListPlace, NoRecord, Place, RecordPlace
from pco_simulator.contents.records import ORGANIZATION, related_ids
from pco_simulator.invented.coherence import counts_of, is_rare, meant_by, numbers_of, rendered_type
from pco_simulator.invented.invention import Counts, seconds_of
from pco_simulator.invented.inventor import Inventor

FEW = 3
"""How many records an entity has of which nothing else is said."""
AS_FOLLOWS: Mapping[str, int] = MappingProxyType({})


class World:
    """The same one for the same seed, until it is changed.

    `now` is the time there at first: its calendar is of the weeks before and after. None: it is as late as here, and
    its calendar ended with 2024. `volunteers` and `plans` are those of its services, both or neither; without them it
    has as few as of anything else. `sizes` are numbers of records, by entity, where they shall be others than those
    that follow. `church` is what records name as their organization. Raises `UnknownEntity`.
    """

    def __init__(
        self,
        *,
        seed: int,
        people: int,
        groups: int,
        volunteers: int | None = None,
        plans: int | None = None,
        now: datetime | None = None,
        sizes: Mapping[str, int] = AS_FOLLOWS,
        church: Mapping[str, str] = ORGANIZATION,
    ) -> None:
        if (volunteers is None) != (plans is None):
            raise ValueError("a church has volunteers and plans, or neither")
        self.seed = seed
        self.church = church
        self.clock_ahead = 0.0
        self._began_ahead = timedelta() if now is None else now - datetime.now(UTC)
        catalog = load_catalog()
        self._counts = Counts(
            dict.fromkeys(catalog.by_name, FEW)
            | counts_of(people, groups, volunteers=volunteers, plans=plans)
            | {catalog.entity(name).name: size for name, size in sizes.items()}
        )
        self._counts.now = None if now is None else seconds_of(now.astimezone(UTC).replace(tzinfo=None).isoformat())
        self._kinds = {(one.product, one.resource): name for name, one in catalog.by_name.items()}
        self._inventors: dict[str, Inventor] = {}
        self._collections: dict[str, Collection] = {}
        self._lists: dict[str, Entity] = {}
        self._nested: list[tuple[re.Pattern[str], Entity, str]] = []
        self.edges = Edges(catalog, seed=seed)
        self.products = frozenset(one.product for one in catalog.by_name.values())
        for entity in catalog.entities():
            for path in entity.list_paths:
                if "{" not in path:
                    self._lists.setdefault(path, entity)
                else:
                    owner = re.findall(r"{(\w+)_id}", path)[-1]
                    self._nested.append((re.compile(re.sub(r"{\w+}", r"(\\d+)", path)), entity, owner))

    def now(self) -> datetime:
        """The time by PCO's clock, which may differ from this machine's."""
        return datetime.now(UTC) + self._began_ahead + timedelta(seconds=self.clock_ahead)

    def collection(self, name: str) -> Collection:
        """The collection of an entity. Raises `UnknownEntity`."""
        if name not in self._collections:
            load_catalog().entity(name)
            self._collections[name] = Collection(
                self._inventor(name), numbers_of(name, self._counts[name]), clock=self.now
            )
        return self._collections[name]

    @property
    def version(self) -> int:
        """Changes whenever any answer may change."""
        return sum(one.version for one in self._collections.values())

    def sizes(self) -> dict[str, int]:
        """How many records of every entity there are now."""
        return {name: len(self.collection(name).ids) for name in load_catalog().by_name}

    def state(self, name: str) -> list[dict[str, object]]:
        """Every record of an entity as it is now, in the order of the ids."""
        return list(self.collection(name).documents())

    def locate(self, path: str) -> Place | None:
        """What is at a path; None if PCO knows no such path."""
        return self._locate_list(path) or self._locate_record(path)

    def collection_of(self, product: str, resource: str) -> Collection | None:
        """The collection whose records a relationship in `product` calls `resource`."""
        name = self._kinds.get((product, meant_by(resource)))
        return self.collection(name) if name else None

    def belongings(self, owners: Collection) -> list[Collection]:
        """What exists at most once for each of these records, and with it only."""
        return [self.collection(one) for one in self.edges.belongings(owners.entity)]

    def equip(self, owners: Collection, owner: int) -> None:
        """Give a new record what each of its kind has."""
        for belonging in self.belongings(owners):
            if not is_rare(belonging.name):
                belonging.create({}, owner)
        for name, edge in self.edges.of(owners.entity).items():
            if edge.relationship and edge.target in self.edges.belongings(owners.entity):
                owners.edit(owner, {}, owners.references({name: owner}), quiet=True)

    def _inventor(self, name: str) -> Inventor:
        if name not in self._inventors:
            self._inventors[name] = Inventor(
                load_catalog().entity(name),
                seed=self.seed,
                counts=self._counts,
                kinds=self._kinds,
                church=self.church,
                peers=self._inventor,
                children=lambda child, relationship, owner: self.collection(child).children_of(relationship, owner),
            )
        return self._inventors[name]

    def _locate_list(self, path: str) -> ListPlace | NoRecord | None:
        entity = self._lists.get(path)
        if entity is not None:
            return self._list_place(entity, path, None, self.church)
        for pattern, nested, owner in self._nested:
            found = pattern.fullmatch(path)
            if found:
                return self._below(nested, owner, path, found[found.lastindex or 0])
        return None

    def _locate_record(self, path: str) -> Place | None:
        parent, _, last = path.rpartition("/")
        place = self._locate_list(parent)
        if not isinstance(place, ListPlace):
            return place
        listing = place.listing
        if not (isinstance(listing, Collection) and last.isascii() and last.isdecimal() and listing.holds(int(last))):
            return NoRecord()
        if place.ids is not None and int(last) not in place.ids:
            return NoRecord()
        return RecordPlace(listing=listing, facts=place.facts, id=int(last), type=place.type)

    def _list_place(self, entity: Entity, path: str, ids: Sequence[int] | None, parent: Mapping[str, str]) -> ListPlace:
        facts = ListFacts.of(entity, path, parent)
        return ListPlace(listing=self.collection(entity.name), facts=facts, ids=ids, type=entity.resource)

    def _below(self, entity: Entity, owner: str, path: str, owner_id: str) -> ListPlace | NoRecord:
        """The list below one parent."""
        owners = self.collection_of(entity.product, owner.title().replace("_", ""))
        if owners is None:
            return self._list_place(entity, path, (), self.church)
        if not owners.holds(int(owner_id)):
            return NoRecord()
        parent = {"id": owner_id, "type": owners.entity.resource}
        ids = self.ids_below(entity, owners, path.rsplit("/", 1)[1], int(owner_id))
        return self._list_place(entity, path, ids, parent)

    def ids_below(self, entity: Entity, owners: Collection, edge: str, owner: int) -> Sequence[int]:
        """The records below a parent: those that name it, or those that it names; if neither does, a share of them."""
        kind, collection = owners.entity.resource, self.collection(entity.name)
        for name, one in entity.relationships.items():
            shown_as = rendered_type(entity.name, name, one.resource)
            if name == owners.entity.table_name or (shown_as == kind and (one.many or shown_as != one.resource)):
                return collection.children_of(name, owner)
        if edge not in owners.entity.relationships:
            return collection.children_of(owners.entity.table_name, owner)
        related = related_ids(owners.record(owner).relationships.get(edge))
        return [int(one) for one in related if collection.holds(int(one))]

    def ids_through(self, entity: Entity, owners: Collection, edge: str, owner: int) -> Sequence[int]:
        """The records below what stands alone below an owner of its own: the parts of the refund of a donation."""
        holder = self.edges.holder(owners.entity)
        return self.ids_below(entity, self.collection(holder) if holder else owners, edge, owner)
