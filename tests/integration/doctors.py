"""A doctor's look at a simulated church, at the few lists that a test is about."""

import random
from collections.abc import Collection, Sequence
from typing import Any

import httpx

from pco_catalog.catalog import Catalog, load_catalog
from pco_client.auth import PersonalAccessToken
from pco_client.client import PcoClient
from pco_simulator.controls import Church
from tasks.doctor.asking import Asker
from tasks.doctor.examination import examine
from tasks.doctor.findings import Examination
from tasks.patient_client import PatientClient
from tests.plain_http import NOBODY

SOME = (
    "people.Person",
    "people.PersonApp",
    "people.PlatformNotification",
    "people.Address",
    "people.Workflow",
    "people.WorkflowShare",
    "people.WorkflowStep",
    "giving.Donation",
    "giving.Designation",
    "giving.DesignationRefund",
    "giving.Note",
    "giving.Refund",
    "groups.Group",
    "groups.Enrollment",
    "groups.Location",
    "groups.Membership",
    "groups.Person",
)
"""One list at least for every assumption."""


def catalog_of(names: Collection[str] = SOME) -> Catalog:
    """The catalogue as if there were only these kinds."""
    whole = load_catalog()
    return Catalog(
        by_name={name: whole.by_name[name] for name in names},
        versions=whole.versions,
        sideloads={
            owner: tuple(one for one in brought if one.entity in names)
            for owner, brought in whole.sideloads.items()
            if owner in names
        },
    )


async def look(church: Church, names: Collection[str] = SOME) -> Examination:
    """What a doctor finds out; chance is seeded."""
    async with httpx.AsyncClient(verify=NOBODY, timeout=10, trust_env=False) as http:
        client = PcoClient(http, credential=PersonalAccessToken(church.app_id, church.secret), base_url=church.base_url)
        asker = Asker(client=PatientClient(client=client, delays=[0.05, 0.1], lane="doctor"), at_once=8)
        return await examine(asker, catalog_of(names), chance=random.Random(1))


def give_one_donation_many(church: Church) -> None:
    """One of the first donations has more designations than all others: a cut after four shows in the sample."""
    owner = church.state("giving.Donation")[0]["id"]
    church.churn(
        [{"operation": "create", "entity": "giving.Designation", "count": 7, "relationships": {"donation": owner}}]
    )


def failed(examination: Examination) -> set[tuple[str, str]]:
    """Subject and assumption of what fails."""
    return {(one.subject, one.assumption) for one in examination.of("fails")}


def always(kind: str, **more: Any) -> Sequence[dict[str, Any]]:
    """A fault in force as long as nobody replaces it."""
    return [{"kind": kind, "permanent": True, **more}]
