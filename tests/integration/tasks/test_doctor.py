"""The doctor names what a Planning Center does not keep to, and nothing else; over real HTTP."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pco_client.errors import Unauthorized
from tasks.doctor import findings
from tests.integration.doctors import SOME, always, failed, give_one_donation_many, look
from tests.simulators import SimulatorProcess

PEOPLE, PERSON = "/people/v2/people", "people.Person"
DONATIONS, DONATION = "/giving/v2/donations", "giving.Donation"
ADDRESSES, WORKFLOWS = "/people/v2/addresses", "/people/v2/workflows"
COUNT = 300


@pytest.fixture(scope="module")
def process() -> Iterator[SimulatorProcess]:
    """A church of three pages of people."""
    with SimulatorProcess(people=COUNT, groups=12) as simulator:
        give_one_donation_many(simulator)
        yield simulator


@pytest.fixture
def world(process: SimulatorProcess) -> SimulatorProcess:
    """The same, answering well until a test has it lie."""
    process.faults([])
    process.cap(None)
    process.clock(ahead_seconds=0)
    process.forbid([])
    process.reset_log()
    return process


async def test_all_holds_where_planning_center_is_as_we_think(world: SimulatorProcess) -> None:
    found = await look(world)
    assert failed(found) == set()
    assert {one.kind for one in found.of("holds")} == set(findings.MEANINGS)
    assert found.requests == len(world.access_log())
    assert {one["status"] for one in world.access_log()} == {200, 404}


FAULTS: list[tuple[str, dict[str, Any], tuple[str, str]]] = [
    ("no-date", {"path": PEOPLE}, (findings.EVERYWHERE, findings.CLOCK)),
    ("no-rate", {"path": PEOPLE}, (findings.EVERYWHERE, findings.RATE)),
    ("older-version", {"product": "people"}, ("people", findings.VERSION)),
    ("403", {"path": ADDRESSES}, ("people.Address", findings.READABLE)),
    ("404", {"path": "/groups/v2/groups/*/memberships"}, ("groups.Membership", findings.READABLE)),
    ("ids-unordered", {"path": PEOPLE}, (PERSON, findings.ID_ORDER)),
    ("ids-unordered", {"path": "/groups/v2/groups/*/memberships"}, ("groups.Membership", findings.ID_ORDER)),
    ("no-total", {"path": PEOPLE}, (PERSON, findings.COUNT)),
    ("wrong-total", {"path": WORKFLOWS}, ("people.Workflow", findings.COUNT)),
    ("capped-total", {"path": PEOPLE, "number": 200}, (PERSON, findings.COUNT)),
    ("short-page", {"path": PEOPLE, "number": 50}, ("people", findings.PAGE_SIZE)),
    ("400", {"path": PEOPLE, "offset": COUNT}, (PERSON, findings.END)),
    ("404", {"path": f"{PEOPLE}/*"}, (PERSON, findings.BY_ID)),
    ("403", {"path": f"{PEOPLE}/2147483646"}, (PERSON, findings.UNKNOWN_ID)),
    ("attribute-missing", {"path": PEOPLE, "name": "first_name"}, (PERSON, findings.ATTRIBUTES)),
    ("not-offered", {"path": PEOPLE, "name": "last_name"}, (PERSON, findings.OFFERS)),
    ("where-ignored", {"path": PEOPLE, "name": "created_at"}, (PERSON, findings.CREATED)),
    ("where-ignored", {"path": PEOPLE, "name": "updated_at"}, (PERSON, findings.UPDATED)),
    ("order-ignored", {"path": ADDRESSES, "name": "updated_at"}, ("people.Address", findings.NEWEST)),
    ("filter-ignored", {"path": WORKFLOWS}, ("people.Workflow", "filter=only_deleted")),
    ("include-unknown", {"path": DONATIONS, "include": "designations"}, (DONATION, "include=designations")),
    ("include-missing", {"path": DONATIONS, "include": "designations"}, (DONATION, "include=designations")),
    ("include-unnamed", {"path": DONATIONS, "include": "designations"}, (DONATION, "include=designations")),
    ("include-unshown", {"path": DONATIONS, "include": "designations"}, (DONATION, "include=designations")),
    ("include-cut", {"path": DONATIONS, "include": "designations", "number": 4}, (DONATION, "include=designations")),
]


@pytest.mark.parametrize(("kind", "rule", "named"), FAULTS, ids=lambda one: one if isinstance(one, str) else "")
async def test_what_is_broken_is_named_and_nothing_else(
    world: SimulatorProcess, kind: str, rule: dict[str, Any], named: tuple[str, str]
) -> None:
    world.faults(always(kind, **rule))
    assert failed(await look(world)) == {named}


def ahead(world: SimulatorProcess) -> None:
    world.clock(ahead_seconds=60)


def behind(world: SimulatorProcess) -> None:
    world.clock(ahead_seconds=-60)


def forbidden(world: SimulatorProcess) -> None:
    world.forbid(["giving"])


@pytest.mark.parametrize(
    ("breaks", "named"),
    [
        (ahead, (findings.EVERYWHERE, findings.CLOCK)),
        (behind, (findings.EVERYWHERE, findings.CLOCK)),
        (forbidden, ("giving", findings.READABLE)),
    ],
)
async def test_so_is_what_is_about_the_whole_church(
    world: SimulatorProcess, breaks: Callable[[SimulatorProcess], None], named: tuple[str, str]
) -> None:
    breaks(world)
    assert failed(await look(world)) == {named}


def test_every_assumption_is_broken_by_a_test() -> None:
    broken = {findings.Finding(subject="", assumption=name, verdict="fails").kind for _, _, (_, name) in FAULTS}
    assert broken == set(findings.MEANINGS)


async def test_a_filter_that_hides_records_without_a_time_is_named(world: SimulatorProcess) -> None:
    one = world.state(PERSON)[7]
    edit = {"operation": "edit", "entity": PERSON, "id": one["id"]}
    world.churn([{**edit, "attributes": {"created_at": None}}])
    try:
        found = await look(world)
        assert failed(found) == {(PERSON, findings.CREATED)}
        assert found.of("fails")[0].seen == "it leaves out 1 records, as if they had no such time"
    finally:
        world.churn([{**edit, "attributes": {"created_at": one["attributes"]["created_at"]}}])


async def test_what_a_credential_may_not_read_is_not_taken_for_what_holds(world: SimulatorProcess) -> None:
    world.forbid(["giving", "groups"])
    found = await look(world)
    assert failed(found) == {("giving", findings.READABLE), ("groups", findings.READABLE)}
    unseen = {one.subject: one.seen for one in found.of("unseen") if one.assumption == findings.READABLE}
    assert unseen == dict.fromkeys([DONATION, "groups.Group", "groups.Person"], "its product is not shown")
    seen = {one.subject for one in found.of("holds")} - {findings.EVERYWHERE}
    assert {one.partition(".")[0] for one in seen} == {"people"}


async def test_a_dead_token_ends_the_look(world: SimulatorProcess) -> None:
    world.faults(always("401", hint="CAPUCHIN"))
    with pytest.raises(Unauthorized) as told:
        await look(world)
    assert told.value.hint == "CAPUCHIN"
    assert len(world.access_log()) == len({name.partition(".")[0] for name in SOME})


async def test_a_product_that_did_not_answer_is_not_taken_for_readable(world: SimulatorProcess) -> None:
    world.faults(always("500", path="/people/v2"))
    found = await look(world)
    assert failed(found) == set()
    products = {one.subject: one for one in found.findings if one.assumption == findings.READABLE}
    assert (products["people"].verdict, products["people"].seen) == ("unseen", "status 500 (ServerFault)")
    assert (products["giving"].verdict, products[PERSON].verdict) == ("holds", "holds"), "its lists are tried"


async def test_a_parent_that_is_gone_tells_nothing_of_the_lists_below_the_others(world: SimulatorProcess) -> None:
    first = min(int(one["id"]) for one in world.state("groups.Group"))
    world.faults(always("404", path=f"/groups/v2/groups/{first}/memberships"))
    found = await look(world)
    assert failed(found) == set()
    assert ("groups.Membership", findings.READABLE) in {(one.subject, one.assumption) for one in found.of("holds")}
    below = [one for one in world.access_log() if one["path"].endswith("/memberships")]
    assert [one["status"] for one in below][:2] == [404, 200]


async def test_without_an_answer_nothing_is_said_of_its_headers(world: SimulatorProcess) -> None:
    world.forbid(["giving", "groups", "people"])
    seen = {one.assumption: one.seen for one in (await look(world)).of("unseen") if one.subject == findings.EVERYWHERE}
    assert seen == dict.fromkeys([findings.CLOCK, findings.RATE], "no answers")


async def test_what_fails_for_a_moment_only_is_not_named(world: SimulatorProcess) -> None:
    world.faults([{"kind": "500", "path": PEOPLE, "times": 1}, {"kind": "504", "path": DONATIONS, "times": 1}])
    assert failed(await look(world)) == set()


async def test_pages_that_are_too_much_with_what_comes_along_are_asked_for_in_part(world: SimulatorProcess) -> None:
    world.faults(always("include-too-big", path=DONATIONS, number=20))
    found = await look(world)
    assert failed(found) == set()
    assert (DONATION, "include=designations") in {(one.subject, one.assumption) for one in found.of("holds")}
