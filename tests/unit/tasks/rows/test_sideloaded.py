"""Included records are divided by kind and owner; an owner of whom the page does not tell everything is named."""

from typing import Any

import pytest

from pco_catalog.catalog import load_catalog
from tasks.rows.sideloaded import Sideloaded, divide_included, without_included

CATALOG = load_catalog()
DONATION = CATALOG.entity("giving.Donation")
PAIRS = [(one, CATALOG.entity(one.entity)) for one in CATALOG.sideloads["giving.Donation"]]


def record(kind: str, identity: str, **relationships: Any) -> dict[str, Any]:
    return {"type": kind, "id": identity, "attributes": {}, "relationships": relationships}


def to_many(kind: str, *ids: str) -> dict[str, Any]:
    return {"data": [{"type": kind, "id": one} for one in ids]}


def donation(identity: str, *designations: str, refund: str | None = None) -> dict[str, Any]:
    return record(
        "Donation",
        identity,
        designations=to_many("Designation", *designations),
        note={"data": None},
        refund={"data": None if refund is None else {"type": "Refund", "id": refund}},
    )


def divided(owners: list[Any], included: list[Any]) -> dict[str, Sideloaded]:
    return {one.sideload.include: one for one in divide_included(owners, included, PAIRS)}


def found(kind: Sideloaded) -> list[tuple[str, str | None]]:
    return [(record["id"], owner) for record, owner in zip(kind.records, kind.owners, strict=True)]


def test_each_record_goes_to_the_owner_that_names_it() -> None:
    included = [record("Designation", one) for one in ("11", "12", "21")]
    kinds = divided([donation("1", "11", "12"), donation("2", "21")], included)
    assert found(kinds["designations"]) == [("11", "1"), ("12", "1"), ("21", "2")]
    assert kinds["designations"].parents() == [{"donation": "1"}, {"donation": "1"}, {"donation": "2"}]
    assert [one.untold for one in kinds.values()] == [[], [], [], []]


def test_what_an_included_record_names_is_its_owners() -> None:
    included = [
        record("Refund", "7", designation_refunds=to_many("DesignationRefund", "71")),
        record("DesignationRefund", "71"),
    ]
    kinds = divided([donation("1", refund="7"), donation("2")], included)
    assert found(kinds["refund"]) == [("7", "1")]
    assert found(kinds["refund.designation_refunds"]) == [("71", "1")]
    assert kinds["refund.designation_refunds"].untold == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda owner: owner["relationships"].pop("designations"),
        lambda owner: owner["relationships"]["designations"].pop("data"),
        lambda owner: owner["relationships"].update(designations=None),
        lambda owner: owner["relationships"]["designations"]["data"].append("11"),
        lambda owner: owner["relationships"]["designations"]["data"].append({"type": "Designation", "id": "gone"}),
        lambda owner: owner.update(relationships=None),
    ],
)
def test_an_owner_that_does_not_tell_everything_is_named(spoil: Any) -> None:
    whole, broken = donation("1", "11"), donation("2", "21")
    spoil(broken)
    included = [record("Designation", one) for one in ("11", "21")]
    kind = divided([whole, broken], included)["designations"]
    assert kind.untold == ["2"]
    assert {one for one, _ in found(kind)} == {"11", "21"}, "what came is kept"


def test_what_comes_by_an_included_record_that_is_lacking_is_untold_too() -> None:
    kinds = divided([donation("1", refund="7")], [])
    assert kinds["refund"].untold == kinds["refund.designation_refunds"].untold == ["1"]


def test_what_nobody_names_is_kept_without_an_owner() -> None:
    kind = divided([donation("1", "11")], [record("Designation", "11"), record("Designation", "12")])["designations"]
    assert found(kind) == [("11", "1"), ("12", None)]
    assert kind.parents() == [{"donation": "1"}, {}]
    assert kind.untold == []


def test_a_record_that_two_owners_name_is_both_of_theirs() -> None:
    kind = divided([donation("1", "11"), donation("2", "11")], [record("Designation", "11")])["designations"]
    assert found(kind) == [("11", "1"), ("11", "2")]


@pytest.mark.parametrize("owner", [None, "text", {"type": "Donation"}, {"type": "Donation", "id": ""}, {"id": "1"}])
def test_an_owner_without_identity_owns_nothing_and_loses_nothing(owner: Any) -> None:
    kind = divided([owner, donation("2")], [record("Designation", "11")])["designations"]
    assert found(kind) == [("11", None)]


@pytest.mark.parametrize(
    "included", [None, "text", {"type": "Designation"}, {"id": "11"}, {"type": "Unknown", "id": "1"}]
)
def test_what_is_no_record_of_these_kinds_is_left_out(included: Any) -> None:
    assert divided([donation("1")], [included])["designations"].records == []


def test_owners_are_left_as_a_request_without_includes_shows_them() -> None:
    campus = {"data": {"type": "Campus", "id": "3"}}
    owner = donation("1", "11", refund="7") | {"relationships": {**donation("1")["relationships"], "campus": campus}}
    without_included([owner, None, {"type": "Donation", "id": "2"}], DONATION, ["designations", "note", "refund"])
    assert owner["relationships"] == {"campus": campus}


def test_what_is_always_rendered_stays() -> None:
    group = record("Group", "1", location={"data": {"type": "Location", "id": "2"}}, enrollment={"data": None})
    without_included([group], CATALOG.entity("groups.Group"), ["enrollment", "location"])
    assert list(group["relationships"]) == ["location"]
