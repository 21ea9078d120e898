"""Nights of a church in the ledger alone: the parents are written by hand, and a list that is chosen counts as read."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text

from pco_catalog.catalog import load_catalog
from pco_catalog.due_lists import cheapest_chain
from pco_store.database import Database
from pco_store.due.choosing import Waiting, choose_lists, share_night, waiting_lists, wanted_lists
from pco_store.due.lists import DueKind, due_kind_of, refresh_lists

ORG = "grace"
EVERYTHING = (
    "groups.Membership",
    "groups.Attendance",
    "groups.EventNote",
    "groups.RSVP",
    "people.HouseholdMembership",
    "people.ConnectedPerson",
    "people.WorkflowAssigneeWorkflowSummary",
    "giving.PaymentMethod",
)
DAY = timedelta(days=1)


@dataclass
class Nights:
    """A church at 1:30 of one night after another; `requests` are those of each night, by entity."""

    store: Database
    entities: Sequence[str] = EVERYTHING
    now: datetime = datetime(2026, 11, 1, 1, 30, tzinfo=UTC)
    requests: list[Counter[str]] = field(default_factory=list)

    @property
    def kinds(self) -> list[DueKind]:
        catalog = load_catalog()
        return [due_kind_of(cheapest_chain(catalog, catalog.entity(one), {})) for one in self.entities]

    async def sql(self, statement: str, **values: Any) -> Any:
        async with self.store.transaction() as connection:
            moment = statement.replace(":now", "CAST(:now AS timestamptz)")
            result = await connection.execute(text(moment), {"org": ORG, "now": self.now, **values})
            return result.all() if result.returns_rows else []

    async def add(self, table: str, first: int, count: int, **columns: str) -> None:
        """Rows of the mirror with the ids from `first` on; the columns are SQL over the id `n`."""
        names = "".join(f", {name}" for name in columns)
        values = "".join(f", {value}" for value in columns.values())
        await self.sql(
            f"INSERT INTO {table} (org_id, id, _synced_at, _epoch, _content_hash{names}) "
            f"SELECT :org, n::text, :now, 'e', ''{values} FROM generate_series(CAST(:first AS int), :last) AS n",
            first=first,
            last=first + count - 1,
        )

    async def settle_in(self, *, people: int, groups: int, past_events: int, weekly_events: int) -> None:
        """A church whose groups have met for long, and meet four weeks ahead; everything was read this night."""
        for table in ("people.person", "giving.person"):
            await self.add(table, 1, people)
        await self.add("people.household", 1, people // 3, member_count="3")
        await self.add("groups.group", 1, groups, memberships_count="15")
        await self.add("groups.event", 1, past_events, starts_at=":now - interval '28 days' - n * interval '1 hour'")
        ahead = 8 * weekly_events
        spread = f"(n - {past_events + 1}) * interval '56 days' / {ahead}"
        await self.add("groups.event", past_events + 1, ahead, starts_at=f":now - interval '28 days' + {spread}")
        await self.refresh()

    async def read_everything(self) -> None:
        await self.sql("UPDATE sync.lists SET last_read_at = :now")
        await self.refresh()

    async def refresh(self) -> None:
        async with self.store.transaction() as connection:
            for kind in self.kinds:
                await refresh_lists(connection, ORG, kind, self.now)

    async def chosen(self, budget: int) -> dict[str, tuple[str, ...]]:
        """The scopes of this night, by path."""
        await self.refresh()
        async with self.store.transaction() as connection:
            shares = await share_night(connection, ORG, self.kinds, now=self.now, budget=budget)
            return {
                kind.path: await choose_lists(
                    connection, ORG, kind, now=self.now, budget=shares[kind.entity.name].requests
                )
                for kind in self.kinds
                if kind.entity.name in shares
            }

    async def wanted(self) -> set[str]:
        """The scopes that a full sync would read of the only kind."""
        await self.refresh()
        (kind,) = self.kinds
        async with self.store.transaction() as connection:
            return set(await wanted_lists(connection, ORG, kind, now=self.now))

    async def night(self, budget: int = 1_000_000) -> Waiting:
        """Read what this night reads, and sleep till the next; what waits in the morning."""
        spent: Counter[str] = Counter()
        entities = {kind.path: kind.entity.name for kind in self.kinds}
        for path, scopes in (await self.chosen(budget)).items():
            read = await self.sql(
                "UPDATE sync.lists SET last_read_at = :now WHERE org_id = :org AND path = :path "
                "AND scope = ANY(:scopes) RETURNING requests",
                path=path,
                scopes=list(scopes),
            )
            spent[entities[path]] += sum(row.requests for row in read)
        self.requests.append(spent)
        await self.refresh()
        async with self.store.transaction() as connection:
            waiting = await waiting_lists(connection, ORG, self.kinds, now=self.now)
        self.now += DAY
        return waiting

    async def oldest(self, entity: str) -> timedelta:
        """How old the oldest reading of a kind is."""
        (row,) = await self.sql("SELECT min(last_read_at) AS at FROM sync.lists WHERE entity = :entity", entity=entity)
        age: timedelta = self.now - row.at
        return age
