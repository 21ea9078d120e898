"""Donations and what comes with them, of a church: what is mirrored, asked for and spoilt."""

from typing import Any

import httpx
from prefect.client.schemas.objects import State

from pco_catalog.catalog import load_catalog
from tests import likeness
from tests.church import Church
from tests.plain_http import NOBODY

DONATIONS = "giving.Donation"


DESIGNATIONS = "giving.Designation"


KINDS = (DESIGNATIONS, "giving.Refund", "giving.Note", "giving.DesignationRefund")


PATH = "/giving/v2/donations"


INCLUDE = "include=designations,note,refund,refund.designation_refunds"


ALWAYS = {"permanent": True}


def lapse(giving: Church, kind: str, **rule: Any) -> None:
    giving.simulator.faults([{"kind": f"include-{kind}", "include": "designations", **rule}])


def differences(giving: Church) -> list[str]:
    """Of values, and of owners. A designation whose donation is gone is in no list any more."""
    rows, now = giving.rows(DESIGNATIONS), owners_now(giving)
    owners = {one["id"]: one["donation_id"] for one in rows if one["_deleted_at"] is None}
    shown = [one for one in giving.simulator.state(DESIGNATIONS) if one["id"] in now]
    return [
        *([] if owners == now else ["the owners of some designations"]),
        *likeness.differences(shown, rows, load_catalog().entity(DESIGNATIONS)),
        *(one for kind in (DONATIONS, *KINDS[1:]) for one in giving.differences(kind)),
    ]


def asked(giving: Church, *, below: bool = False) -> list[str]:
    """The requests for donations, or for the lists below single ones."""
    paths = [f"{one['path']}?{one['query']}" for one in giving.simulator.access_log()]
    return [one for one in paths if one.startswith(f"{PATH}/" if below else f"{PATH}?")]


def designations_of(giving: Church, owner: str) -> list[str]:
    return [one["id"] for one in giving.rows(DESIGNATIONS) if one["donation_id"] == owner and not one["_deleted_at"]]


def owners_now(giving: Church) -> dict[str, str]:
    """Whose each designation is, by what the donations' own lists show."""
    world = giving.simulator
    found: dict[str, str] = {}
    with httpx.Client(
        verify=NOBODY, auth=(world.app_id, world.secret), base_url=world.base_url, trust_env=False
    ) as http:
        for donation in world.state(DONATIONS):
            offset: int | None = 0
            while offset is not None:
                answer = http.get(f"{PATH}/{donation['id']}/designations", params={"per_page": 100, "offset": offset})
                page = answer.json()
                found |= dict.fromkeys((one["id"] for one in page["data"]), donation["id"])
                offset = page["meta"].get("next", {}).get("offset")
    giving.simulator.reset_log()
    return found


def owner_with(giving: Church, least: int) -> str:
    """A donation with so many designations at least."""
    owners = list(owners_now(giving).values())
    return next(one for one in owners if owners.count(one) >= least)


def ended(giving: Church, **parameters: Any) -> State[Any]:
    return giving.end(DONATIONS, **parameters)
