"""What Planning Center lists below owners only is compared owner by owner, and a verdict says how many of them."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from pco_catalog.catalog import load_catalog
from tasks.lifespan import get_client_for_org
from tasks.verification.mirrored import NotMirroredError
from tasks.verification.proof import Method, Proof
from tasks.verification.proving import prove
from tests.integration.whole_fan_outs import ORG, FanOutChurch, fan_out_church
from tests.simulators import SimulatorProcess

GROUPS = 12
EVERYONE = 20
"""Owners of a sample that has all of them."""
MEMBERSHIP = "groups.Membership"


@pytest.fixture
def world() -> Iterator[SimulatorProcess]:
    """A church that a test may change."""
    with SimulatorProcess(people=60, groups=GROUPS) as simulator:
        yield simulator


@pytest.fixture
async def memberships(world: SimulatorProcess, database_url: str, redis_url: str) -> AsyncIterator[FanOutChurch]:
    """The members of its groups, mirrored an hour ago. They have no times."""
    async with fan_out_church(world, MEMBERSHIP, database_url=database_url, redis_url=redis_url) as church:
        await mirror(church)
        yield church


@pytest.fixture
async def conditions(world: SimulatorProcess, database_url: str, redis_url: str) -> AsyncIterator[FanOutChurch]:
    """The conditions of the rules of its lists, mirrored an hour ago: two levels below a list, and they have times."""
    async with fan_out_church(world, "people.Condition", database_url=database_url, redis_url=redis_url) as church:
        await mirror(church)
        yield church


@pytest.fixture
async def households(world: SimulatorProcess, database_url: str, redis_url: str) -> AsyncIterator[FanOutChurch]:
    """The members of its households, mirrored an hour ago: they have no times, and their owners have."""
    entity = "people.HouseholdMembership"
    async with fan_out_church(world, entity, database_url=database_url, redis_url=redis_url) as church:
        await mirror(church)
        yield church


@pytest.fixture
async def shared(world: SimulatorProcess, database_url: str, redis_url: str) -> AsyncIterator[FanOutChurch]:
    """People who stand in the lists of many applications, mirrored an hour ago."""
    entity = "api.ConnectedApplicationPerson"
    async with fan_out_church(world, entity, database_url=database_url, redis_url=redis_url) as church:
        await mirror(church)
        yield church


async def mirror(church: FanOutChurch, epoch: str = "e") -> None:
    root = await church.run(epoch)
    await church.find_deletions(root)
    await church.sql("UPDATE sync.runs SET started_at = started_at - interval '1 hour', window_until = NULL")


async def verify(church: FanOutChurch, method: Method = "sample", *, sample: int = EVERYONE, seed: int = 1) -> Proof:
    client = await get_client_for_org(ORG, church.resources)
    church.simulator.reset_log()
    entity = load_catalog().entity(church.entity)
    proof = await prove(church.resources, client, ORG, entity, method=method, sample_pages=sample, seed=seed)
    assert proof.requests == len(church.simulator.access_log())
    return proof


async def sql(church: FanOutChurch, statement: str, **values: Any) -> None:
    """TABLE stands for the entity's table."""
    entity = load_catalog().entity(church.entity)
    await church.sql(statement.replace("TABLE", f'"{entity.schema_name}"."{entity.table_name}"'), **values)


async def copy(church: FanOutChurch, like: str, **changed: str | None) -> None:
    """Another row like this one."""
    columns = ", ".join(f"'{name}', CAST(:{name} AS text)" for name in changed)
    await sql(
        church,
        f"INSERT INTO TABLE SELECT (jsonb_populate_record(one, jsonb_build_object({columns}))).* "
        "FROM TABLE AS one WHERE id = :like",
        like=like,
        **changed,
    )


def change(church: FanOutChurch, operation: str, entity: str | None = None, **what: Any) -> None:
    church.simulator.churn([{"operation": operation, "entity": entity or church.entity, **what}])


async def row(church: FanOutChurch, place: int = 0) -> dict[str, Any]:
    return sorted(await church.rows(), key=lambda one: int(one["id"]))[place]


async def test_a_sample_names_its_owners_and_a_full_comparison_has_all_of_them(memberships: FanOutChurch) -> None:
    count = len(await memberships.rows())
    some = await verify(memberships, sample=5)
    assert (some.verdict, some.facts["owners"], some.facts["known_owners"]) == ("SampleAgrees", 5, GROUPS)
    assert 0 < some.facts["same"] < count
    assert some.message == f"{some.facts['same']} of {count} records have the same content (5 of {GROUPS} owners)"
    assert some.requests == 5
    full = await verify(memberships, "full")
    assert (full.verdict, full.facts["same"], full.facts["owners"]) == ("Exact", count, GROUPS)
    assert full.requests == GROUPS + 1


async def test_a_sample_has_the_owner_of_most_and_others_by_chance(memberships: FanOutChurch) -> None:
    (most,) = await memberships.sql(
        "SELECT group_id FROM groups.membership GROUP BY 1 ORDER BY count(*) DESC, group_id LIMIT 1"
    )
    chosen = set()
    for seed in range(4):
        await verify(memberships, sample=3, seed=seed)
        paths = {one["path"].split("/")[4] for one in memberships.simulator.access_log()}
        assert most.group_id in paths
        chosen.add(frozenset(paths))
    assert len(chosen) > 1


@pytest.mark.parametrize("method", ["sample", "full"])
async def test_it_says_by_what_a_mirror_differs(memberships: FanOutChurch, method: Method) -> None:
    gone, changed, moved, like = [await row(memberships, place) for place in (0, 1, 2, 3)]
    other = next(one["group_id"] for one in await memberships.rows() if one["group_id"] != moved["group_id"])
    await sql(memberships, "DELETE FROM TABLE WHERE id = :id", id=gone["id"])
    await sql(
        memberships, "UPDATE TABLE SET _content_hash = substring(sha256('x') for 20) WHERE id = :id", id=changed["id"]
    )
    await sql(memberships, "UPDATE TABLE SET group_id = :other WHERE id = :id", other=other, id=moved["id"])
    await copy(memberships, like["id"], id="999999999")
    proof = await verify(memberships, method)
    assert proof.verdict == "Different"
    assert proof.facts["residuals"] == {
        "unmirrored": [gone["id"]],
        "outdated": sorted((changed["id"], moved["id"]), key=int),
        "ghosts": ["999999999"],
    }


async def test_what_is_in_quarantine_is_not_unmirrored(memberships: FanOutChurch) -> None:
    aside = (await row(memberships))["id"]
    await sql(memberships, "DELETE FROM TABLE WHERE id = :id", id=aside)
    await memberships.sql(
        'INSERT INTO sync.quarantine (org_id, entity, run_id, reading, "offset", record_id, reason) '
        "VALUES (:org_id, :entity, 1, 1, 0, :id, 'a test')",
        org_id=ORG,
        entity=MEMBERSHIP,
        id=aside,
    )
    for method in ("sample", "full"):
        proof = await verify(memberships, method)
        assert (proof.verdict, proof.facts["unmirrored"]) == ("Incomplete", 0), proof.message
        assert proof.requests == GROUPS + (method == "full"), "it needs no second look"


async def test_a_record_that_cannot_be_stored_is_no_ghost(memberships: FanOutChurch) -> None:
    spoilt = (await row(memberships))["id"]
    memberships.simulator.faults(
        [{"kind": "attributes-list", "path": "/groups/v2/groups/*/memberships", "record_id": spoilt, "permanent": True}]
    )
    for method in ("sample", "full"):
        proof = await verify(memberships, method)
        assert (proof.verdict, proof.facts["unstorable"]) == ("Incomplete", 1), proof.message
        assert proof.requests == GROUPS + (method == "full"), "it needs no second look"


async def test_a_move_to_another_owner_is_one_difference_and_no_ghost(memberships: FanOutChurch) -> None:
    moved = await row(memberships)
    other = next(one["group_id"] for one in await memberships.rows() if one["group_id"] != moved["group_id"])
    change(memberships, "edit", id=moved["id"], relationships={"group": other})
    for method in ("sample", "full"):
        proof = await verify(memberships, method)
        assert proof.facts["residuals"] == {"unmirrored": [], "outdated": [moved["id"]], "ghosts": []}


async def test_where_records_have_times_a_move_since_is_no_difference(conditions: FanOutChurch) -> None:
    moved = await row(conditions)
    other = next(one for one in await conditions.rows() if one["rule_id"] != moved["rule_id"])
    change(conditions, "edit", id=moved["id"], relationships={"rule": other["rule_id"], "list": other["list_id"]})
    assert (await verify(conditions)).verdict == "SampleAgrees"
    proof = await verify(conditions, "full")
    assert (proof.verdict, proof.facts["newer"]) == ("ExactAsOf", 1), proof.message


async def test_changes_since_are_named_and_silent_ones_found(conditions: FanOutChurch) -> None:
    changed, silent = (await row(conditions, 1))["id"], (await row(conditions, 2))["id"]
    change(conditions, "edit", id=changed, attributes={"comparison": "changed"})
    proof = await verify(conditions, "full")
    assert (proof.verdict, proof.facts["newer"]) == ("ExactAsOf", 1)
    change(conditions, "edit", id=silent, attributes={"comparison": "changed"}, quiet=True)
    change(conditions, "edit", "people.Rule", id=(await row(conditions, 2))["rule_id"])
    for method in ("sample", "full"):
        proof = await verify(conditions, method)
        assert (proof.verdict, proof.facts["residuals"]["outdated"]) == ("Different", [silent])


async def test_a_full_comparison_walks_down_all_levels(conditions: FanOutChurch) -> None:
    proof = await verify(conditions, "full")
    rules = len(conditions.simulator.state("people.Rule"))
    lists = len(conditions.simulator.state("people.List"))
    assert (proof.verdict, proof.facts["owners"], proof.requests) == ("Exact", rules, 1 + lists + rules)


async def test_records_without_times_are_as_new_as_their_owner(households: FanOutChurch) -> None:
    household = (await row(households))["household_id"]
    change(households, "create", relationships={"household": household})
    proof = await verify(households)
    assert proof.verdict == "Different", "nobody can tell since when"
    change(households, "edit", "people.Household", id=household)
    assert (await verify(households)).verdict == "SampleAgrees"
    proof = await verify(households, "full")
    assert (proof.verdict, proof.facts["newer"], proof.facts["added"]) == ("ExactAsOf", 1, 1)


async def test_an_owner_that_the_mirror_lacks_is_compared_in_full(memberships: FanOutChurch) -> None:
    group = (await row(memberships))["group_id"]
    its = sorted(one["id"] for one in await memberships.rows() if one["group_id"] == group)
    await memberships.sql('DELETE FROM groups."group" WHERE id = :id', id=group)
    await sql(memberships, "DELETE FROM TABLE WHERE group_id = :id", id=group)
    some = await verify(memberships)
    assert (some.verdict, some.facts["owners"]) == ("SampleAgrees", GROUPS - 1)
    full = await verify(memberships, "full")
    assert (full.verdict, sorted(full.facts["residuals"]["unmirrored"])) == ("Different", its)


async def test_what_belongs_to_a_deleted_owner_are_ghosts(memberships: FanOutChurch) -> None:
    group = (await row(memberships))["group_id"]
    its = {one["id"] for one in await memberships.rows() if one["group_id"] == group}
    change(memberships, "delete", "groups.Group", id=group)
    for method in ("sample", "full"):
        proof = await verify(memberships, method)
        assert (proof.verdict, set(proof.facts["residuals"]["ghosts"])) == ("Different", its)


async def test_a_row_that_names_no_owner_leaves_the_answer_open(memberships: FanOutChurch) -> None:
    await copy(memberships, (await row(memberships))["id"], id="999999999", group_id=None)
    proof = await verify(memberships, "full")
    assert (proof.verdict, proof.message.split(";")[0]) == (
        "Unknown",
        "1 rows name no owner, and no owner shows them",
    )


async def test_a_sample_without_any_owner_proves_nothing(memberships: FanOutChurch) -> None:
    """The mirror's owners were lost, and the rows do not name theirs: no owner's list is read."""
    await memberships.sql('UPDATE groups."group" SET _deleted_at = now()')
    await sql(memberships, "UPDATE TABLE SET group_id = NULL")
    proof = await verify(memberships)
    assert (proof.facts["owners"], proof.requests) == (0, 1)
    assert proof.verdict == "Unknown", proof.message


@pytest.mark.parametrize(
    ("kind", "verdict", "told"),
    [
        (None, "Unknown", "the mirror knows no owner, but Planning Center lists people.List"),
        ("403", "Unknown", "the mirror knows no owner, and Planning Center did not show the list of people.List"),
        ("empty-list", "SampleAgrees", "0 of 0 owners"),
    ],
)
async def test_a_mirror_without_owners_agrees_only_if_planning_center_lists_none(
    conditions: FanOutChurch, kind: str | None, verdict: str, told: str
) -> None:
    """Two levels down: neither a list nor a rule nor a condition is in the mirror."""
    for table in ("list", "rule", "condition"):
        await conditions.sql(f"DELETE FROM people.{table}")
    if kind:
        conditions.simulator.faults([{"kind": kind, "path": "/people/v2/lists", "permanent": True}])
    proof = await verify(conditions)
    assert (proof.verdict, proof.requests) == (verdict, 1), proof.message
    assert told in proof.message


async def test_a_difference_is_seen_twice(memberships: FanOutChurch) -> None:
    """A member who is there while the lists are read for the first time only, and one who comes after that."""
    group = (await row(memberships))["group_id"]
    change(memberships, "create", id=777, relationships={"group": group})
    change(memberships, "create", id=778, relationships={"group": group}, after_request=GROUPS)
    change(memberships, "delete", id=777, after_request=GROUPS)
    proof = await verify(memberships)
    assert (proof.verdict, proof.requests) == ("SampleAgrees", GROUPS + 1)


async def test_a_list_that_is_not_shown_leaves_the_answer_open(memberships: FanOutChurch) -> None:
    group = (await row(memberships))["group_id"]
    refused = {"kind": "403", "path": f"/groups/v2/groups/{group}/memberships", "permanent": True}
    memberships.simulator.faults([refused])
    for method in ("sample", "full"):
        proof = await verify(memberships, method)
        assert (proof.verdict, proof.facts["owners"]) == ("Unknown", GROUPS - 1)
        assert f"did not show the lists of 1 of {GROUPS} owners" in proof.message
    await sql(
        memberships, "DELETE FROM TABLE WHERE id = (SELECT id FROM TABLE WHERE group_id <> :id LIMIT 1)", id=group
    )
    assert (await verify(memberships)).verdict == "Different", "of the others"


async def test_rows_that_are_shown_by_their_id_are_no_ghosts(memberships: FanOutChurch) -> None:
    group = (await row(memberships))["group_id"]
    its = [one for one in await memberships.rows() if one["group_id"] == group]
    empty = {"kind": "empty-list", "path": f"/groups/v2/groups/{group}/memberships", "permanent": True}
    memberships.simulator.faults([empty])
    proof = await verify(memberships)
    assert (proof.verdict, proof.facts["hidden"]) == ("SampleAgrees", len(its))
    memberships.simulator.faults([{**empty, "path": "/groups/v2/groups/*/memberships"}])
    for method in ("sample", "full"):
        assert (await verify(memberships, method)).verdict == "Unknown"


async def test_without_the_list_of_the_outermost_owners_nothing_is_exact(memberships: FanOutChurch) -> None:
    memberships.simulator.faults([{"kind": "403", "path": "/groups/v2/groups", "permanent": True}])
    proof = await verify(memberships, "full")
    assert (proof.verdict, "did not show the list of groups.Group" in proof.message) == ("Unknown", True)


async def test_what_many_owners_share_is_compared_by_its_links(shared: FanOutChurch) -> None:
    owners = len(shared.simulator.state("api.ConnectedApplication"))
    assert (await verify(shared)).verdict == "SampleAgrees"
    full = await verify(shared, "full")
    assert (full.verdict, full.facts["owners"]) == ("Exact", owners)
    (lost, kept) = await shared.sql("SELECT * FROM sync.links ORDER BY scope, id LIMIT 2")
    await shared.sql(
        "UPDATE sync.links SET unlisted_at = now() WHERE scope = :scope AND id = :id", scope=lost.scope, id=lost.id
    )
    proof = await verify(shared)
    assert (proof.verdict, proof.facts["residuals"]["outdated"]) == ("Different", [lost.id])
    await shared.sql(
        "UPDATE sync.links SET id = :id WHERE scope = :scope AND id = :kept", scope=kept.scope, id=lost.id, kept=kept.id
    )
    assert (await verify(shared)).verdict == "Different"


async def test_what_was_not_read_to_its_end_is_not_compared(
    world: SimulatorProcess, database_url: str, redis_url: str
) -> None:
    async with fan_out_church(world, MEMBERSHIP, database_url=database_url, redis_url=redis_url) as church:
        root = await church.run("e")
        with pytest.raises(NotMirroredError, match=r"groups.Membership of grace was never read completely"):
            await verify(church)
        await church.sql("UPDATE sync.runs SET state = 'dead' WHERE scope = (SELECT max(scope) FROM sync.runs)")
        await church.sql('UPDATE sync.runs SET deletions = \'{"verdict": "none"}\' WHERE run_id = :id', id=root.run_id)
        with pytest.raises(NotMirroredError):
            await verify(church)
        await church.sql("UPDATE sync.runs SET state = 'completed'")
        assert (await verify(church)).verdict == "SampleAgrees"


async def test_what_leaves_quarantine_without_a_row_while_it_is_compared_is_not_exact(
    memberships: FanOutChurch, monkeypatch: pytest.MonkeyPatch
) -> None:
    aside = (await row(memberships))["id"]
    await sql(memberships, "DELETE FROM TABLE WHERE id = :id", id=aside)
    await memberships.sql(
        'INSERT INTO sync.quarantine (org_id, entity, run_id, reading, "offset", record_id, reason) '
        "SELECT org_id, :entity, run_id, 1, 0, :id, 'odd' FROM sync.runs WHERE scope = '*'",
        entity=MEMBERSHIP,
        id=aside,
    )
    client = await get_client_for_org(ORG, memberships.resources)
    fetch_page = client.fetch_page

    async def resolve_and_fetch(*request: Any, **how: Any) -> Any:
        await memberships.sql("UPDATE sync.quarantine SET resolved_at = now()")
        return await fetch_page(*request, **how)

    monkeypatch.setattr(client, "fetch_page", resolve_and_fetch)
    entity = load_catalog().entity(MEMBERSHIP)
    proof = await prove(memberships.resources, client, ORG, entity, method="full", sample_pages=EVERYONE, seed=1)
    assert (proof.verdict, proof.facts["quarantined"]) == ("Incomplete", 1)
