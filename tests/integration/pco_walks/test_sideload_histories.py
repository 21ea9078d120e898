"""Whatever happens to donations and to what comes with them: what was there all the while is there, with its owner.

The walk is exact for the list's own records; of what belongs to them it has to be as exact, although a designation may
come and go, and move from one donation to another, between any two pages.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from pco_catalog.catalog import load_catalog
from pco_simulator.contents.churn import Change
from pco_store.database import Database
from tasks.lifespan import Resources, opened_resources
from tasks.pages.own_list import read_own_list
from tasks.settings import SyncSettings
from tests.histories import histories
from tests.integration.moving_church import ON_ONE_DATABASE, RECORDS, Church, Walked, church
from tests.likeness import differences, record_differences

DONATIONS = Walked("giving.Donation", "full")
DONATION = load_catalog().entity("giving.Donation")
DESIGNATION = load_catalog().entity("giving.Designation")
PATH = "/giving/v2/donations/{donation_id}/designations"

CHANGES = st.tuples(
    st.sampled_from(["add", "move", "edit", "remove", "owner comes", "owner goes", "owner changes"]),
    st.integers(0, 200),
    st.integers(1, 9),
)
"""What happens, to which, and before which request."""


def change(one: Church, what: str, place: int, after: int) -> Change | None:
    """One of the changes, in the simulator's terms."""
    owners = one.simulator.world.collection("giving.Donation").ids
    children = one.simulator.world.collection(DESIGNATION.name).ids
    owner, child = owners[place % len(owners)], children[place % len(children)]
    told: dict[str, dict[str, Any]] = {
        "add": {"operation": "create", "entity": DESIGNATION.name, "relationships": {"donation": owner}},
        "move": {
            "operation": "edit",
            "entity": DESIGNATION.name,
            "id": child,
            "relationships": {"donation": owners[(place * 7 + 3) % len(owners)]},
        },
        "edit": {"operation": "edit", "entity": DESIGNATION.name, "id": child, "attributes": {"amount_cents": place}},
        "remove": {"operation": "delete", "entity": DESIGNATION.name, "id": child},
        "owner comes": {"operation": "create", "entity": "giving.Donation"},
        "owner goes": {"operation": "delete", "entity": "giving.Donation", "id": owner},
        "owner changes": {
            "operation": "edit",
            "entity": "giving.Donation",
            "id": owner,
            "attributes": {"fee_cents": 1},
        },
    }
    return Change(**told[what], after_request=after)


async def truth(one: Church) -> dict[str, tuple[str, dict[str, Any]]]:
    """Each designation with its owner, by what the owners' own lists show now."""
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    async with one.client() as client:
        for donation in one.state:
            own = await read_own_list(client, DESIGNATION, PATH, donation, lane="")
            found |= {record["id"]: (donation, record) for record in own.records}
    return found


@pytest.fixture
async def resources(store_url: str, redis_url: str) -> AsyncIterator[Resources]:
    """What a turn of a list needs; each history has its own client."""
    settings = SyncSettings(
        database_url=SecretStr(store_url),
        redis_url=SecretStr(redis_url),
        org_id="nobody",
        application_id=SecretStr("app"),
        secret=SecretStr("secret"),
        pages_in_flight=3,
    )
    async with opened_resources(settings) as resources:
        yield resources


@histories(12, suppress=ON_ONE_DATABASE)
@given(seed=st.integers(1, 50), changes=st.lists(CHANGES, max_size=14))
async def test_what_was_there_all_the_while_is_mirrored_with_its_owner_and_two_turns_later_all_that_is_there(
    store: Database, resources: Resources, seed: int, changes: Sequence[tuple[str, int, int]]
) -> None:
    """But for donations that were made meanwhile: they are newer than what a turn reads until a second has gone by."""
    one = church(DONATIONS, store, seed)
    known, old = one.state.keys(), await truth(one)
    before = len(one.simulator.log.entries)
    made = [change(one, what, place, before + request) for what, place, request in changes]
    one.simulator.churn.waiting.extend(each for each in made if each is not None)
    await one.read("full", resources=resources)
    one.simulator.churn.waiting.clear()
    new = await truth(one)

    rows = await living(one)
    untouched = {identity for identity in old.keys() & new.keys() if old[identity] == new[identity]}
    assert len(untouched) > RECORDS / 4
    assert lacking(rows, {identity: new[identity] for identity in untouched}) == []

    for _ in range(2):
        await one.read("full", resources=resources)
    rows = await living(one)
    assert rows.keys() == new.keys(), "what is gone has its tombstone, and nothing else"
    assert lacking(rows, new) == []
    owners = [record for identity, record in one.state.items() if identity in known]
    assert differences(owners, [row for row in await one.rows() if row["id"] in known], DONATION) == []


async def living(one: Church) -> dict[str, Mapping[str, Any]]:
    """The designations without a tombstone, by id."""
    return {row["id"]: row for row in await one.rows(DESIGNATION.name) if row["_deleted_at"] is None}


def lacking(rows: Mapping[str, Mapping[str, Any]], wanted: Mapping[str, tuple[str, dict[str, Any]]]) -> list[str]:
    """In what the rows differ from these records and their owners."""
    found = [identity for identity in wanted if identity not in rows]
    for identity in wanted.keys() & rows.keys():
        owner, record = wanted[identity]
        found += record_differences(record, rows[identity], DESIGNATION)
        found += [] if rows[identity]["donation_id"] == owner else [f"{identity}: another owner"]
    return found
