"""What the simulated church is given: a donation per person, for one fund or two, some of it refunded."""

from collections.abc import Callable, Mapping
from typing import Final

from pco_simulator.invented.chance import roller
from pco_simulator.invented.invention import Counts, Maker, Others, Stories, Targets

FUNDS: Final = ("General", "Missions", "Building", "Benevolence")
REFUNDED: Final = 7
"""Of forty donations one is refunded, the one with this number; two are not paid."""

_CYCLE: Final = 40
_DONOR: Final = 2
"""Every second person has given something."""
_ANONYMOUS: Final = 3
"""Of forty donations one is nobody's, the one with this number."""
_NOTED: Final = 5
"""Every fifth donation has a note."""
SOME: Final[Mapping[str, Callable[[int], bool]]] = {
    "giving.Refund": lambda donation: donation % _CYCLE == REFUNDED,
    "giving.Note": lambda donation: donation % _NOTED == 0,
}
"""Which donations have what some of them have only once."""
_STATUS: Final = {11: "failed", 13: "pending"}


def counts(people: int) -> dict[str, int]:
    """How many records there are for so many people: of two donations the first is split between two funds.

    Every second person gives, twice; half of these by a way that is on file, and one of ten regularly.
    """
    return {
        "giving.PaymentMethod": people // (2 * _DONOR),
        "giving.RecurringDonation": people // (10 * _DONOR),
        "giving.RecurringDonationDesignation": people // (10 * _DONOR),
        "giving.Person": people,
        "giving.Fund": len(FUNDS),
        "giving.Donation": people,
        "giving.Designation": people // 2 * 3 + people % 2 * 2,
        "giving.DesignationRefund": (people + _CYCLE - REFUNDED - 1) // _CYCLE,
        "giving.Refund": people,
        "giving.Note": people,
    }


def _donor(counts: Counts) -> Callable[[int], int]:
    nobody = counts["giving.Person"]
    return lambda number: nobody if number % _CYCLE == _ANONYMOUS else number // _DONOR * _DONOR


def _first_donated_at(others: Others, counts: Counts) -> Maker:
    """A donor's first donation has the donor's number."""
    created, count = others("giving.Donation", "created_at"), counts["giving.Donation"]
    return lambda person: created(person) if person % _DONOR == 0 and person < count else None


def _refunded_donation(designation_refund: int) -> int:
    return designation_refund * _CYCLE + REFUNDED


def _donation(designation: int) -> int:
    pair, place = divmod(designation, 3)
    return 2 * pair + (place == 2)


def _designations(donation: int) -> tuple[int, ...]:
    first = donation // 2 * 3
    return (first + 2,) if donation % 2 else (first, first + 1)


def _fund(designation: int) -> int:
    pair, place = divmod(designation, 3)
    return (0, 1 + pair % 3, pair % 4)[place]


def _refunded_designation(designation_refund: int) -> int:
    return _designations(_refunded_donation(designation_refund))[0]


def _amount(*_: object) -> Maker:
    roll = roller("donations")
    return lambda number: 500 + roll(number) % 400 * 125


def _fee(others: Others, _: Counts) -> Maker:
    """Zero or negative, as PCO writes fees."""
    amount = others("giving.Designation", "amount_cents")
    return lambda number: -(amount(number) * 29 // 1000)


def _sum_of(name: str, others: Others) -> Maker:
    of_one = others("giving.Designation", name)
    return lambda number: sum(of_one(one) for one in _designations(number))


def _refunded_amount(others: Others, _: Counts) -> Maker:
    """Every third refund is of a half."""
    amount = others("giving.Designation", "amount_cents")
    return lambda number: amount(_refunded_designation(number)) // (2 if number % 3 == 2 else 1)


def _whole_refund(name: str, others: Others) -> Maker:
    """A refund is that of its one designation, and has the number of its donation."""
    of_one = others("giving.DesignationRefund", name)
    return lambda donation: of_one(donation // _CYCLE)


def _when_created(others: Others, _: Counts) -> Maker:
    return others("giving.Donation", "created_at")


MAKERS: Final[Stories] = {
    ("giving.Fund", "name"): lambda *_: lambda number: FUNDS[number] if number < len(FUNDS) else f"Fund {number}",
    ("giving.Person", "first_donated_at"): _first_donated_at,
    ("giving.Donation", "amount_cents"): lambda others, _: _sum_of("amount_cents", others),
    ("giving.Donation", "fee_cents"): lambda others, _: _sum_of("fee_cents", others),
    ("giving.Donation", "received_at"): _when_created,
    ("giving.Donation", "completed_at"): _when_created,
    ("giving.Donation", "payment_status"): lambda *_: lambda number: _STATUS.get(number % _CYCLE, "succeeded"),
    ("giving.Donation", "refunded"): lambda _, counts: (
        lambda number: number % _CYCLE == REFUNDED and number < counts["giving.Donation"]
    ),
    ("giving.Designation", "amount_cents"): _amount,
    ("giving.Designation", "fee_cents"): _fee,
    ("giving.Designation", "amount_currency"): lambda *_: lambda number: "USD",
    ("giving.Refund", "amount_cents"): lambda others, _: _whole_refund("amount_cents", others),
    ("giving.Refund", "fee_cents"): lambda others, _: _whole_refund("fee_cents", others),
    ("giving.Refund", "amount_currency"): lambda others, _: _whole_refund("amount_currency", others),
    ("giving.DesignationRefund", "amount_cents"): _refunded_amount,
    ("giving.DesignationRefund", "fee_cents"): lambda *_: lambda number: 0,
    ("giving.DesignationRefund", "amount_currency"): lambda *_: lambda number: "USD",
}
TARGETS: Final[Targets] = {
    ("giving.Donation", "person"): _donor,
    ("giving.PaymentMethod", "person"): lambda _: lambda number: number * 2 * _DONOR,
    ("giving.RecurringDonation", "person"): lambda _: lambda number: number * 10 * _DONOR,
    ("giving.Designation", "donation"): lambda _: _donation,
    ("giving.Designation", "fund"): lambda _: _fund,
    ("giving.DesignationRefund", "donation"): lambda _: _refunded_donation,
    ("giving.DesignationRefund", "designation"): lambda _: _refunded_designation,
    ("giving.DesignationRefund", "fund"): lambda _: lambda number: _fund(_refunded_designation(number)),
}
