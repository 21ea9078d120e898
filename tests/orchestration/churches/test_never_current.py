"""A church that cannot be read for a month leaves one unfinished turn behind, and no more with each day."""

import pytest

from flows.sync_organization import sync_organization
from pco_client.errors import Unauthorized
from tests.church import Church

LISTS = ["people.Campus", "groups.Group"]


def rows_of(church: Church) -> list[int]:
    tables = ("runs", "pages", "watermarks", "answers", "unshown", "quarantine", "announced")
    return [church.sql(f"SELECT count(*) FROM sync.{table}")[0][0] for table in tables]


def test_each_try_continues_the_turn_that_is_unfinished(church: Church) -> None:
    church.simulator.faults([{"kind": "401", "permanent": True}])
    counted = []
    for _ in range(4):
        with pytest.raises(Unauthorized):
            sync_organization("grace", mode="delta", include=LISTS)
        counted.append(rows_of(church))
    assert counted == [counted[0]] * 4

    church.simulator.faults([])
    sync_organization("grace", mode="delta", include=LISTS)
    assert [one.state for one in church.runs() if one.entity == "organization"] == ["completed"]
