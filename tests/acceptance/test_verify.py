"""`verify` on a worker: a deployment run for each list, one JSON document, one exit code."""

import asyncio
import json

import pytest
from rich.console import Console

from deployments.operations.verify import verify
from tests.fleet import Fleet


def test_verify_tells_of_every_list_and_of_what_it_did_not_compare(
    fleet: Fleet, capsys: pytest.CaptureFixture[str]
) -> None:
    church = fleet.church("verified-church").church
    for entity in ("groups.GroupType", "people.MaritalStatus"):
        church.sync(entity)
    church.sql("DELETE FROM people.marital_status WHERE id = (SELECT min(id) FROM people.marital_status)")
    capsys.readouterr()
    assert asyncio.run(verify(church.org_id, [], "full", None, Console(stderr=True), as_json=True)) == 1
    told = json.loads(capsys.readouterr().out)
    proofs = {one["entity"]: one for one in told["proofs"]}
    assert {entity: one["verdict"] for entity, one in proofs.items()} == {
        "groups.GroupType": "Exact",
        "people.MaritalStatus": "Different",
    }
    assert proofs["people.MaritalStatus"]["message"].startswith("1 unmirrored; ")
    assert (told["exit_code"], told["not_compared"]) == (1, [])
