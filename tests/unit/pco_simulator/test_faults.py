"""Faults and poisons happen where, when and as often as they are told to; churn changes the world as it is read."""

import json
from typing import Any

import pytest

from pco_simulator.contents.churn import Change
from pco_simulator.trouble.faults import Fault
from pco_simulator.trouble.poison import POISONS
from pco_simulator.trouble.spoiling import KINDS
from tests.unit.pco_simulator.asking import PEOPLE, all_ids, ask, headers_of, ids, page, simulator

STATUS = {
    "rate-count": 200,
    "html": 200,
    "half-json": 200,
    "half-body": 200,
    "empty": 200,
    "reset": 0,
    "hang": 0,
    "older-version": 200,
    "no-date": 200,
    "no-rate": 200,
}
CHANGED = {
    *("object", "wrong-type", "stuck-next", "links-only", "included"),
    *("no-total", "wrong-total", "no-next", "no-next-no-total", "capped-total", "rounded-total", "empty-list"),
    *("ids-unordered", "attribute-missing", "not-offered"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_fault_spoils_the_answer(kind: str) -> None:
    good = ask(simulator(), PEOPLE).answer
    one = simulator(faults=(Fault(kind=kind, number=100, name="status"),))
    bad = ask(one, PEOPLE).answer
    assert bad != good
    expected = 200 if kind in CHANGED else STATUS.get(kind)
    assert bad.status == (expected if expected is not None else int(kind[-3:]))
    assert one.log.entries[0].fault == kind
    assert one.faults.fired == {kind: 1}


def test_changed_documents_are_changed_as_they_say() -> None:
    def spoilt(kind: str) -> dict[str, Any]:
        return page(simulator(faults=(Fault(kind=kind),)), query="offset=25")

    good = page(simulator(), query="offset=25")
    assert spoilt("object")["data"] == good["data"][0]
    assert spoilt("stuck-next")["meta"] == good["meta"] | {"next": {"offset": 25}}
    assert spoilt("links-only") == good | {"meta": {k: v for k, v in good["meta"].items() if k != "next"}}
    assert spoilt("wrong-total")["meta"] == good["meta"] | {"total_count": good["meta"]["total_count"] // 2}
    assert "next" not in spoilt("no-next")["meta"]
    assert "next" not in spoilt("no-next")["links"]
    assert not {"next", "total_count"} & spoilt("no-next-no-total")["meta"].keys()
    assert spoilt("no-total") == good | {"meta": {k: v for k, v in good["meta"].items() if k != "total_count"}}
    assert spoilt("included") == good | {"included": [{"type": "SomethingElse", "id": "1", "attributes": {}}]}


def test_a_list_may_ignore_what_it_says_that_it_knows() -> None:
    def shown(query: str, *, people: int = 60, **fault: Any) -> list[str]:
        faults = (Fault(**fault),) if fault else ()
        return ids(page(simulator(people=people, faults=faults), query=query))

    everything = shown("per_page=100")
    assert shown("where[id]=7&per_page=100", kind="where-ignored", name="id") == everything
    newest = shown("order=-created_at&per_page=100")
    assert newest != everything
    assert shown("order=-created_at&per_page=100", kind="order-ignored", name="created_at") == everything
    assert shown("order=-created_at&per_page=100", kind="order-ignored", name="updated_at") == newest
    assert shown("per_page=100", kind="short-page", number=10) == everything[:10]


def test_a_total_may_be_capped_or_rounded_while_the_list_goes_on() -> None:
    good = page(simulator(people=230), query="offset=225")
    for kind, number, total in (("capped-total", 100, 100), ("capped-total", 500, 230), ("rounded-total", 50, 200)):
        bad = page(simulator(people=230, faults=(Fault(kind=kind, number=number),)), query="offset=225")
        assert bad == good | {"meta": good["meta"] | {"total_count": total}}
    assert page(simulator(people=3, faults=(Fault(kind="capped-total"),))) == page(simulator(people=3))


def test_a_list_may_suddenly_be_empty_while_its_records_answer() -> None:
    one = simulator()
    identifier = ids(page(one))[0]
    one.faults.replace([Fault(kind="empty-list", path=PEOPLE, at_request=3, permanent=True)])
    assert len(page(one)["data"]) == 25
    empty = page(one, query="offset=25")
    assert (empty["data"], empty["meta"]["total_count"], empty["meta"]["count"]) == ([], 0, 0)
    assert "next" not in empty["meta"]
    assert page(one, f"{PEOPLE}/{identifier}")["data"]["id"] == identifier


def test_a_fault_can_be_bound_to_a_product_and_to_the_lists_below_every_parent() -> None:
    below = "/groups/v2/groups/*/memberships"
    one = simulator(groups=3)
    first, second, _ = ids(page(one, "/groups/v2/groups"))
    one.faults.replace(
        [Fault(kind="403", path=below, permanent=True), Fault(kind="500", product="people", at_request=6)]
    )
    for group in (first, second):
        assert ask(one, below.replace("*", group)).answer.status == 403
        assert ask(one, f"/groups/v2/groups/{group}/events").answer.status == 200
    assert [ask(one, path).answer.status for path in ("/groups/v2/groups", "/people/v2", PEOPLE)] == [200, 500, 200]


def test_a_record_without_a_time_of_creation_is_in_no_range_and_comes_first_in_that_order() -> None:
    one = simulator(people=30)
    everyone = all_ids(one)
    Change(operation="edit", entity="people.Person", id=everyone[7], attributes={"created_at": None}).apply(one.world)
    assert all_ids(one) == everyone
    assert all_ids(one, query="order=created_at")[0] == all_ids(one, query="order=-created_at")[-1] == everyone[7]
    for operator in ("gt", "gte", "lt", "lte"):
        assert everyone[7] not in all_ids(one, query=f"where[created_at][{operator}]=2020-01-01T00:00:00Z")


def test_a_quiet_edit_changes_a_record_and_not_its_time() -> None:
    one = simulator()
    before = page(one)["data"][0]
    change = Change(
        operation="edit", entity="people.Person", id=before["id"], attributes={"first_name": "X"}, quiet=True
    )
    change.apply(one.world)
    after = page(one)["data"][0]
    assert after["attributes"] == before["attributes"] | {"first_name": "X"}


def test_half_a_document_is_no_json() -> None:
    body = ask(simulator(faults=(Fault(kind="half-json"),)), PEOPLE).answer.body
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        json.loads(body)


def test_a_429_may_say_a_negative_wait() -> None:
    answer = ask(simulator(faults=(Fault(kind="429", retry_after=-5),)), PEOPLE).answer
    assert dict(answer.headers)[b"retry-after"] == b"-5"


async def test_an_answer_may_claim_any_number_of_requests() -> None:
    one = simulator(faults=(Fault(kind="rate-count", number=1_000_000),))
    assert (await headers_of(one, PEOPLE))["x-pco-api-request-rate-count"] == "1000000"
    assert len(page(one)["data"]) == 25


def statuses(*faults: Fault, requests: int = 5) -> list[int]:
    one = simulator(faults=faults)
    return [ask(one, PEOPLE, f"offset={number * 25}").answer.status for number in range(requests)]


def test_a_fault_happens_at_its_request_once() -> None:
    assert statuses(Fault(kind="500", at_request=3)) == [200, 200, 500, 200, 200]


def test_a_fault_happens_as_often_as_told() -> None:
    assert statuses(Fault(kind="500", at_request=2, times=2)) == [200, 500, 500, 200, 200]
    assert statuses(Fault(kind="500", at_request=2, permanent=True)) == [200, 500, 500, 500, 500]


def test_a_fault_can_be_bound_to_an_offset_and_to_a_path() -> None:
    assert statuses(Fault(kind="500", offset=50)) == [200, 200, 500, 200, 200]
    assert statuses(Fault(kind="500", path="/people/v2/emails")) == [200] * 5


def test_chance_is_the_same_for_the_same_seed() -> None:
    fault = Fault(kind="500", probability=0.5)
    first, second = (statuses(fault, requests=60) for _ in range(2))
    assert first == second
    assert 10 < first.count(500) < 50


def test_a_bad_record_is_found_by_asking_for_ever_smaller_pages() -> None:
    one = simulator()
    culprit = all_ids(one)[13]
    one.faults.replace([Fault(kind="500", record_id=culprit)])
    low, size = 0, 100
    assert ask(one, PEOPLE, f"per_page={size}").answer.status == 500
    while size > 1:
        size = -(-size // 2)
        if ask(one, PEOPLE, f"per_page={size}&offset={low}").answer.status == 200:
            low += size
    assert low == 13
    assert ask(one, f"{PEOPLE}/{culprit}").answer.status == 500


@pytest.mark.parametrize("kind", POISONS)
def test_each_poison_spoils_its_record_and_no_other(kind: str) -> None:
    one = simulator()
    good = page(one)
    one.faults.replace([Fault(kind=kind, record_id=good["data"][3]["id"])])
    bad = page(one)
    after = 5 if kind == "duplicate" else 4
    assert bad["data"][:3] == good["data"][:3]
    assert bad["data"][after:] == good["data"][4:]
    assert bad["data"] != good["data"]
    assert bad["meta"] == good["meta"]


def test_poison_is_what_its_name_says() -> None:
    one = simulator(people=3)
    identifier = ids(page(one))[0]

    def spoilt(kind: str) -> bytes:
        one.faults.replace([Fault(kind=kind, record_id=identifier)])
        return ask(one, PEOPLE).answer.body

    assert b'"id":null' in spoilt("null-id")
    assert b"\\u0000" in spoilt("nul")
    assert b"\\ud800" in spoilt("surrogate")
    assert b"9" * 30 in spoilt("huge-integer")
    assert b":1e400" in spoilt("huge-number")
    assert b"2023-02-30T25:61:00Z" in spoilt("impossible-date")
    assert f'"id":{identifier}'.encode() in spoilt("number-id")


@pytest.mark.parametrize(
    "told", [{"kind": "unheard-of"}, {"kind": "nul"}, {"kind": "500", "probability": 2}, {"kind": "500", "number": 0}]
)
def test_a_fault_that_cannot_be_is_refused(told: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"unknown fault|needs a record_id|cannot be"):
        Fault(**told)  # type: ignore[arg-type]


def test_a_deletion_moves_everything_behind_it_up_so_a_later_page_skips_a_record() -> None:
    one = simulator(people=230)
    everyone = all_ids(one)
    one.forget()
    one.churn.waiting = [Change(operation="delete", entity="people.Person", place=0, after_request=1)]
    first = page(one, query="per_page=100")
    second = page(one, query="per_page=100&offset=100")
    assert (first["meta"]["total_count"], second["meta"]["total_count"]) == (230, 229)
    assert everyone[100] not in ids(first) + ids(second)


def test_what_is_created_comes_last_and_what_is_edited_says_when() -> None:
    one = simulator()
    before = page(one)["data"][0]
    (created,) = Change(operation="create", entity="people.Person", attributes={"first_name": "New"}).apply(one.world)
    Change(operation="edit", entity="people.Person", id=before["id"], attributes={"first_name": "X"}).apply(one.world)
    after = page(one)["data"][0]
    assert all_ids(one)[-1] == str(created)
    assert after["attributes"]["first_name"] == "X"
    assert after["attributes"]["updated_at"] > before["attributes"]["updated_at"]
    assert after == next(record for record in one.state("people.Person") if record["id"] == before["id"])
    assert page(one, query=f"order=-updated_at&where[updated_at][gte]={after['attributes']['updated_at']}")["data"]


def test_what_was_deleted_can_come_back_as_it_was() -> None:
    one = simulator()
    before = page(one)
    identifier = ids(before)[2]
    Change(operation="delete", entity="people.Person", id=identifier).apply(one.world)
    assert identifier not in all_ids(one)
    Change(operation="restore", entity="people.Person", id=identifier).apply(one.world)
    restored = page(one)["data"][2]
    assert restored["attributes"]["first_name"] == before["data"][2]["attributes"]["first_name"]
    assert ids(page(one)) == ids(before)


@pytest.mark.parametrize(
    "told",
    [
        {"operation": "vanish"},
        {"operation": "delete"},
        {"operation": "merge", "id": 1},
    ],
)
def test_a_change_that_cannot_be_is_refused(told: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"unknown operation|needs"):
        Change(entity="people.Person", **told)  # type: ignore[arg-type]


def test_a_change_that_fails_when_its_time_comes_is_remembered() -> None:
    one = simulator()
    one.churn.waiting = [Change(operation="delete", entity="people.Person", id=1, after_request=0)]
    assert ask(one, PEOPLE).answer.status == 200
    assert one.churn.failures == ["people.Person 1 does not exist"]


def test_a_cap_bounds_what_a_list_counts_and_shows() -> None:
    """People stopped at 10,000 in one version (#736)."""
    one = simulator()
    whole = page(one, query="per_page=40")
    assert whole["meta"]["total_count"] > 30
    one.cap(30, counts_only=False)
    capped = page(one, query="per_page=40")
    assert (capped["meta"]["total_count"], len(capped["data"]), "next" in capped["meta"]) == (30, 30, False)
    one.cap(30, counts_only=True)
    assert (page(one, query="per_page=40")["meta"]["total_count"], page(one, query="per_page=40")["data"]) == (
        30,
        whole["data"],
    )
    one.cap(None, counts_only=False)
    assert page(one, query="per_page=40") == whole


def test_an_empty_list_counts_nothing() -> None:
    empty = page(simulator(faults=(Fault(kind="empty-list"),)))
    assert (empty["data"], empty["meta"]["total_count"], "next" in empty["meta"]) == ([], 0, False)
