"""An include that is not kept to is noticed, costs no row, and is not trusted again."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from prefect.client.orchestration import get_client

from flows.sync_child import sync_child
from flows.sync_children import sync_children
from flows.sync_entity import NotIncludedError
from flows.sync_organization import sync_organization
from tests.church import Church
from tests.orchestration.entities.sideloads import (
    ALWAYS,
    DESIGNATIONS,
    DONATIONS,
    KINDS,
    PATH,
    asked,
    designations_of,
    differences,
    ended,
    lapse,
    owner_with,
)


@pytest.mark.parametrize("kind", ["missing", "unshown"])
def test_where_one_owner_does_not_tell_everything_its_own_list_is_read(giving: Church, kind: str) -> None:
    owner = owner_with(giving, 2)
    lapse(giving, kind, record_id=owner, **ALWAYS)
    state = ended(giving)
    assert state.name == "Completed"
    assert any(f"/{owner}/designations" in one for one in asked(giving, below=True))
    giving.simulator.faults([])
    assert differences(giving) == []


def test_whose_it_is_that_nobody_names_is_learnt_from_parts_of_the_page(giving: Church) -> None:
    lapse(giving, "unnamed", record_id=owner_with(giving, 2), **ALWAYS)
    assert ended(giving).name == "Completed"
    sizes = [int(one.partition("per_page=")[2].partition("&")[0]) for one in asked(giving)]
    assert sizes.count(30) == 3
    assert 4 <= len([size for size in sizes if size < 30]) <= 6, "half of it, and half of that, until one stands alone"
    giving.simulator.faults([])
    assert differences(giving) == []


def test_a_page_that_names_the_owners_of_too_little_is_not_trusted(giving: Church) -> None:
    lapse(giving, "unnamed", **ALWAYS)
    state = ended(giving)
    assert state.name == "CompletedWithoutIncluded"
    assert "does not tell whose" in str(state.message)


def dropped(giving: Church) -> None:
    lapse(giving, "unknown", path=PATH, after=2, **ALWAYS)


def left_out(giving: Church) -> None:
    lapse(giving, "missing", **ALWAYS)


def left_out_of_pages_side_by_side(giving: Church) -> None:
    lapse(giving, "missing", path=PATH, after=1, **ALWAYS)


def cut(giving: Church) -> None:
    lapse(giving, "cut", number=1, **ALWAYS)


def cut_by_page(giving: Church) -> None:
    lapse(giving, "capped", number=5, **ALWAYS)


@pytest.mark.parametrize(
    ("fails", "why"),
    [
        (dropped, "does not offer designations"),
        (left_out, "does not tell all designations of"),
        (left_out_of_pages_side_by_side, "does not tell all designations of"),
        (cut, "designations of one record lacks"),
        (cut_by_page, "designations of one record lacks"),
    ],
)
def test_an_include_that_is_not_kept_to_is_not_trusted_and_costs_no_row(
    giving: Church, fails: Callable[[Church], None], why: str
) -> None:
    giving.sync(DONATIONS)
    fails(giving)

    state = ended(giving)

    assert state.name == "CompletedWithoutIncluded"
    assert DESIGNATIONS in str(state.message)
    assert why in str(state.message)
    assert not [one for one in giving.rows(DESIGNATIONS) if one["_deleted_at"]]
    assert giving.differences(DONATIONS) == []
    ((error,),) = giving.sql(
        "SELECT error FROM sync.runs WHERE entity = :entity AND state = 'failed'", entity=DESIGNATIONS
    )
    assert why in error

    giving.simulator.reset_log()
    assert ended(giving).name == "Completed"
    assert {"designations," in one for one in asked(giving)} == {False}
    with pytest.raises(NotIncludedError, match="read one by one"):
        giving.sync(DESIGNATIONS)
    giving.sql(
        'UPDATE sync.list_traits SET distrusted = replace(distrusted::text, \'"at": "20\', \'"at": "19\')::jsonb'
    )
    giving.simulator.faults([])
    assert DESIGNATIONS in giving.sync(DESIGNATIONS).brought, "after a month it gets a chance"
    assert differences(giving) == []


def test_an_owner_of_whom_everything_was_cut_from_the_start_is_found_by_its_amount(giving: Church) -> None:
    lapse(giving, "cut", record_id=owner_with(giving, 2), number=0, **ALWAYS)
    state = ended(giving)
    assert state.name == "CompletedWithoutIncluded"
    assert "designations of one record lacks" in str(state.message)


def test_an_owner_whose_children_are_missing_is_looked_at(giving: Church) -> None:
    """It has neither most of them, nor does its amount tell: the mirror still has what was cut."""
    owner = owner_with(giving, 2)
    others = [one["id"] for one in giving.simulator.state(DONATIONS) if one["id"] != owner][:2]
    for one in others:
        giving.simulator.churn(
            [{"operation": "create", "entity": DESIGNATIONS, "count": 5, "relationships": {"donation": one}}]
        )
    assert ended(giving).name == "Completed"
    lapse(giving, "cut", record_id=owner, number=1, **ALWAYS)

    state = ended(giving)

    assert state.name == "CompletedWithoutIncluded"
    assert "designations of one record lacks 1" in str(state.message)


def test_what_was_created_after_its_owners_page_was_read_says_nothing_against_the_include(giving: Church) -> None:
    owner = owner_with(giving, 1)
    one_more = {"operation": "create", "entity": DESIGNATIONS, "relationships": {"donation": owner}}
    giving.simulator.churn([{**one_more, "count": 5}, {**one_more, "after_request": 3}])
    giving.simulator.reset_log()

    assert ended(giving).name == "Completed"

    assert asked(giving, below=True)[:1], "the fullest owner was compared"
    assert len(asked(giving)) > 3, "its page was asked for again"
    assert giving.sql("SELECT count(*) FROM sync.list_traits")[0][0] == 0


def test_with_an_include_falls_what_comes_with_its_records(giving: Church) -> None:
    giving.sync(DONATIONS)
    lapse(giving, "cut", include="refund", number=0, **ALWAYS)
    assert ended(giving).name == "CompletedWithoutIncluded"
    failed = giving.sql("SELECT entity FROM sync.runs WHERE state = 'failed' ORDER BY entity")
    assert [one.entity for one in failed] == ["giving.DesignationRefund", "giving.Refund"]

    assert ended(giving).name == "CompletedWithoutIncluded", "there is no other way to read it, and this one is tried"
    assert not [one for kind in KINDS for one in giving.rows(kind) if one["_deleted_at"]]
    giving.simulator.faults([])
    assert ended(giving).name == "Completed"
    assert differences(giving) == []


def test_an_owner_whose_own_list_fails_each_time_is_not_compared_and_stops_nobody(giving: Church) -> None:
    giving.simulator.faults([{"kind": "500", "path": f"{PATH}/*/designations", **ALWAYS}])
    assert ended(giving).name == "Completed"
    assert asked(giving, below=True)
    giving.simulator.faults([])
    assert differences(giving) == []


def test_an_owner_of_thousands_is_read_alone_and_the_others_in_whole_pages(giving: Church) -> None:
    owner = owner_with(giving, 1)
    giving.simulator.churn(
        [{"operation": "create", "entity": DESIGNATIONS, "count": 3000, "relationships": {"donation": owner}}]
    )
    lapse(giving, "too-big", number=60, **ALWAYS)
    assert ended(giving).name == "Completed"
    assert len(designations_of(giving, owner)) > 3000
    assert differences(giving) == []
    assert giving.sql("SELECT page_size FROM sync.list_traits") == []


def test_pages_that_are_too_much_are_smaller_from_then_on(giving: Church) -> None:
    lapse(giving, "too-big", number=30, **ALWAYS)
    assert ended(giving).name == "Completed"
    ((size,),) = giving.sql("SELECT page_size FROM sync.list_traits")
    assert size < 30

    giving.simulator.reset_log()
    assert ended(giving).name == "Completed"
    assert not [one for one in giving.simulator.access_log() if one["status"] == 504]
    assert differences(giving) == []

    giving.sql("UPDATE sync.list_traits SET page_size_at = now() - make_interval(days => 31)")
    giving.simulator.faults([])
    giving.simulator.reset_log()
    assert ended(giving).name == "Completed"
    assert {"per_page=30" in one for one in asked(giving)} == {True}, "after a month whole pages get a chance"


def test_pages_of_too_many_bytes_are_smaller_from_then_on(giving: Church, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pco_client.sansio.LARGEST_ANSWER", 40_000)
    assert ended(giving).name == "Completed"
    ((size,),) = giving.sql("SELECT page_size FROM sync.list_traits")
    assert size < 30
    assert differences(giving) == []


@pytest.mark.parametrize("times", [1, 5, 9])
def test_a_gateway_that_fails_for_a_moment_leaves_pages_as_large_as_they_were(giving: Church, times: int) -> None:
    giving.simulator.faults([{"kind": "504", "path": PATH, "times": times}])
    assert ended(giving).name == "Completed"
    assert giving.sql("SELECT count(*) FROM sync.list_traits")[0][0] == 0
    assert differences(giving) == []


def test_a_page_that_is_answered_in_parts_and_then_fails_for_another_reason_stays_read(
    giving: Church, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PCO_SYNC_PAGES_IN_FLIGHT", "1")
    giving.simulator.faults(
        [{"kind": "504", "path": PATH, "times": 3}, {"kind": "500", "path": PATH, "after": 2, "times": 3}]
    )
    assert ended(giving).name == "Completed"
    assert [one["status"] for one in giving.simulator.access_log() if one["path"] == PATH][:8] == [
        *(504, 504, 504),
        *(200, 200),
        *(500, 500, 500),
    ]
    assert giving.sql("SELECT count(*) FROM sync.list_traits")[0][0] == 0
    assert differences(giving) == []


def test_a_product_that_is_away_for_a_moment_is_waited_for_before_its_pages_are_divided(giving: Church) -> None:
    giving.simulator.faults([{"kind": "504", "product": "giving", "times": 6}])
    assert ended(giving).name == "Completed"
    assert giving.sql("SELECT count(*) FROM sync.list_traits")[0][0] == 0
    assert differences(giving) == []


def test_a_page_that_fails_for_another_reason_is_retried_as_ever(giving: Church) -> None:
    giving.simulator.faults([{"kind": "500", "path": PATH, "times": 1}])
    assert ended(giving).name == "Completed"
    assert giving.sql("SELECT count(*) FROM sync.list_traits")[0][0] == 0
    assert differences(giving) == []


async def deploy(flow: Any, name: str) -> None:
    """A deployment without a work pool: its runs wait."""
    async with get_client() as client:
        await client.create_deployment(flow_id=await client.create_flow(flow), name=name)


def test_an_own_list_that_fails_for_a_moment_costs_nothing(giving: Church) -> None:
    owner = owner_with(giving, 2)
    giving.simulator.faults(
        [
            {"kind": "include-unshown", "include": "designations", "record_id": owner, **ALWAYS},
            {"kind": "503", "path": f"{PATH}/{owner}/designations", "times": 5},
        ]
    )
    assert giving.sync(DONATIONS).outcome == "completed"
    assert giving.sql("SELECT count(*) FROM sync.list_traits")[0][0] == 0
    assert differences(giving) == []


@pytest.mark.parametrize("kind", ["403", "wrong-type", "500"])
def test_an_own_list_that_is_not_shown_costs_the_include_and_not_the_owners(giving: Church, kind: str) -> None:
    """One donation's designations are included in part only, and below it Planning Center does not show them."""
    owner = owner_with(giving, 2)
    giving.simulator.faults(
        [
            {"kind": "include-unshown", "include": "designations", "record_id": owner, **ALWAYS},
            {"kind": kind, "path": f"{PATH}/{owner}/designations", **ALWAYS},
        ]
    )

    summary = giving.sync(DONATIONS)

    assert summary.outcome == "incomplete", summary.reason
    assert "came in part with a record whose own list is not shown" in summary.reason
    assert giving.differences(DONATIONS) == []


def test_an_own_list_that_fails_while_the_product_does_costs_nothing(giving: Church) -> None:
    owner = owner_with(giving, 2)
    giving.simulator.faults(
        [
            {"kind": "include-unshown", "include": "designations", "record_id": owner, **ALWAYS},
            {"kind": "503", "path": f"{PATH}/{owner}/designations", "times": 4},
            {"kind": "503", "path": "/giving/v2", "times": 1},
        ]
    )

    assert ended(giving).name == "Completed"

    giving.simulator.faults([])
    assert differences(giving) == []


def test_own_lists_that_nobody_may_read_say_nothing_against_what_came_with_their_owners(giving: Church) -> None:
    giving.simulator.faults([{"kind": "403", "path": f"{PATH}/*/designations", **ALWAYS}])

    assert ended(giving).name == "Completed"

    giving.simulator.faults([])
    assert differences(giving) == []


@pytest.mark.parametrize("fails", [dropped, cut])
def test_a_church_reads_below_each_owner_what_does_not_come_with_them(
    giving: Church, monkeypatch: pytest.MonkeyPatch, fails: Callable[[Church], None]
) -> None:
    """The children run here; the deployment only has them submitted."""
    giving.sync(DONATIONS)
    owner = owner_with(giving, 2)
    gone, moved, *_ = designations_of(giving, owner)
    other = next(one["donation_id"] for one in giving.rows(DESIGNATIONS) if one["donation_id"] != owner)
    edited = {"operation": "edit", "entity": DESIGNATIONS, "id": moved, "relationships": {"donation": other}}
    giving.simulator.churn([{"operation": "delete", "entity": DESIGNATIONS, "id": gone}, edited])
    monkeypatch.setenv("PCO_SYNC_CHILD_DEPLOYMENT", f"{sync_child.name}/nobody-runs-it")
    asyncio.run(deploy(sync_child, "nobody-runs-it"))
    giving.simulator.reset_log()
    fails(giving)

    summary = sync_organization(giving.org_id, include=[DESIGNATIONS], wait=False)

    told = {one.entity: one.outcome for one in summary.entities}
    assert told == {DONATIONS: "completed", DESIGNATIONS: "spreading", **dict.fromkeys(KINDS[1:], "completed")}
    below = giving.sql(
        "SELECT scope FROM sync.runs WHERE parent_run_id IS NOT NULL AND entity = :entity", entity=DESIGNATIONS
    )
    scopes = {one.scope for one in below}
    assert len(below) == len(scopes) == 90

    sync_child(giving.org_id, DESIGNATIONS, parents=sorted(scopes), epoch=summary.epoch)
    fan_out = sync_children(giving.org_id, DESIGNATIONS, epoch=summary.epoch)

    assert (fan_out.children, fan_out.done, fan_out.missing, fan_out.deleted) == (90, 90, 1, 1)
    assert [one["id"] for one in giving.rows(DESIGNATIONS) if one["_deleted_at"]] == [gone]
    giving.simulator.faults([])
    assert differences(giving) == []
