"""A donation and a refund are several records each, which agree with each other."""

from collections.abc import Mapping
from typing import Any

from pco_simulator.contents.world import World
from pco_simulator.invented.inventor import Named


def give(world: World, attributes: Mapping[str, Any], relationships: Mapping[str, Named]) -> int:
    """A new donation, of two parts if its number is even; returns its id."""
    donations, parts = world.collection("giving.Donation"), world.collection("giving.Designation")
    donation = donations.create(attributes, None, donations.references(relationships))
    made = [parts.create({}, None, parts.references({"donation": donation})) for _ in range(2 - donation % 2)]
    amounts = [parts.record(one).attributes["amount_cents"] for one in made]
    donations.edit(donation, {"amount_cents": sum(amounts), **attributes}, quiet=True)
    return donation


def refund(world: World, donation: int) -> None:
    """Refund all parts of a donation. Raises `ValueError` for one that has a refund."""
    refunds, refunded = world.collection("giving.Refund"), world.collection("giving.DesignationRefund")
    donations, parts = world.collection("giving.Donation"), world.collection("giving.Designation")
    if refunds.holds(donation):
        raise ValueError(f"giving.Donation {donation} is refunded already")
    total = 0
    for one in parts.children_of("donation", donation):
        amount = parts.record(one).attributes["amount_cents"]
        fund = next(iter(parts.owners_of(one, "fund")), None)
        related = refunded.references({"donation": donation, "designation": one, "fund": fund})
        refunded.create({"amount_cents": amount, "fee_cents": 0}, None, related)
        total += amount
    refunds.create({"amount_cents": total, "fee_cents": 0}, donation)
    donations.edit(donation, {"refunded": True})
