"""Whatever happens to donations and to what comes with them: what was there all the while is there, with its owner.

The walk is exact for the list's own records; of what belongs to them it has to be as exact, although a designation may
come and go, and move from one donation to another, between any two pages.
"""

from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pco_catalog.catalog import load_catalog
from pco_simulator.contents.churn import Change
from pco_store.database import Database
from tasks.pages.own_list import read_own_list
from tests.histories import histories
from tests.integration.moving_church import ON_ONE_DATABASE, RECORDS, Church, Walked, church
from tests.likeness import record_differences

DONATIONS = Walked("giving.Donation", "full")
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


@histories(25, suppress=ON_ONE_DATABASE)
@given(seed=st.integers(1, 50), changes=st.lists(CHANGES, max_size=14))
async def test_what_was_there_all_the_while_is_mirrored_with_its_owner(
    store: Database, seed: int, changes: Sequence[tuple[str, int, int]]
) -> None:
    one = church(DONATIONS, store, seed)
    old = await truth(one)
    before = len(one.simulator.log.entries)
    made = [change(one, what, place, before + request) for what, place, request in changes]
    one.simulator.churn.waiting.extend(each for each in made if each is not None)
    await one.read("full")
    one.simulator.churn.waiting.clear()
    new = await truth(one)

    rows = {row["id"]: row for row in await one.rows(DESIGNATION.name)}
    untouched = {identity for identity in old.keys() & new.keys() if old[identity] == new[identity]}
    assert len(untouched) > RECORDS / 4
    assert untouched <= rows.keys()
    for identity in untouched:
        owner, record = new[identity]
        assert record_differences(record, rows[identity], DESIGNATION) == []
        assert rows[identity]["donation_id"] == owner

    await one.read("full")
    rows = {row["id"]: row for row in await one.rows(DESIGNATION.name)}
    assert new.keys() <= rows.keys()
    assert {identity: rows[identity]["donation_id"] for identity in new} == {
        one: owner for one, (owner, _) in new.items()
    }
