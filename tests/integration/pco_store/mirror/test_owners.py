"""Which owners are worth a second look."""

from sqlalchemy import text

from pco_catalog.catalog import load_catalog
from pco_store.database import Database
from pco_store.mirror.owners import owners_by_chance, owners_that_do_not_add_up
from pco_store.mirror.tables import mirror_table

DONATION = load_catalog().entity("giving.Donation")
DONATIONS = mirror_table(DONATION)
DESIGNATIONS = mirror_table(load_catalog().entity("giving.Designation"))


async def give(store: Database, donation: str, amount: int, *parts: int) -> None:
    async with store.transaction() as connection:
        await connection.execute(
            text(
                "INSERT INTO giving.donation (org_id, id, amount_cents, _content_hash, _synced_at, _epoch) "
                "VALUES ('grace', :id, :amount, '', now(), 'e')"
            ),
            {"id": donation, "amount": amount},
        )
        await connection.execute(
            text(
                "INSERT INTO giving.designation (org_id, id, donation_id, amount_cents, _content_hash, _synced_at, "
                "_epoch) SELECT 'grace', :id || '-' || place, :id, amount, '', now(), 'e' "
                "FROM unnest(CAST(:parts AS bigint[])) WITH ORDINALITY AS part(amount, place)"
            ),
            {"id": donation, "parts": list(parts)},
        )


async def not_adding_up(store: Database, seed: str) -> list[str]:
    async with store.transaction() as connection:
        found = await owners_that_do_not_add_up(
            connection, "grace", DONATIONS, DESIGNATIONS, "donation_id", amount="amount_cents", seed=seed, limit=2
        )
    return list(found)


async def test_an_owner_without_any_children_adds_up_to_nothing(store: Database) -> None:
    await give(store, "1", 300, 100, 200)
    await give(store, "2", 300)
    await give(store, "3", 0)
    await give(store, "4", 300, 100)
    assert sorted(await not_adding_up(store, "any")) == ["2", "4"]


async def test_no_owner_that_never_adds_up_keeps_others_from_being_looked_at(store: Database) -> None:
    for donation in "12345":
        await give(store, donation, 300, 100)
    assert await not_adding_up(store, "one") == await not_adding_up(store, "one")
    assert {one for seed in range(40) for one in await not_adding_up(store, str(seed))} == set("12345")


async def by_chance(store: Database, seed: str) -> list[str]:
    path = "/giving/v2/donations/{donation_id}/designations"
    async with store.transaction() as connection:
        return list(await owners_by_chance(connection, "grace", DONATION, path, seed=seed, limit=2))


async def test_by_chance_each_owner_is_looked_at_sooner_or_later_also_without_children(store: Database) -> None:
    for donation in "12345":
        await give(store, donation, 300, *[100] * (int(donation) - 1))
    assert await by_chance(store, "one") == await by_chance(store, "one")
    assert {one for seed in range(40) for one in await by_chance(store, str(seed))} == set("12345")
