"""Whatever happens in Planning Center while a list is read: the mirror is exact, by every walk, with real parts.

The simulator, the client, the walks and the store are the real ones; only the socket between them is left out. Each
history is a church of its own: some changes happen before the walk, some between its requests, while several of them
are in flight. Afterwards whoever was not touched meanwhile stands in the mirror as in PCO, nobody twice, nobody who
never was; and after one more walk at rest everything is the same.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pco_store.database import Database
from tests.histories import histories
from tests.integration.moving_church import CHANGES, ON_ONE_DATABASE, Walked, church
from tests.likeness import differences, record_differences

WALKS = {
    "frozen window": Walked("people.Person", "full"),
    "windows of time": Walked("people.Person", "full", part_records=7),
    "strict": Walked("people.Address", "full"),
    "delta": Walked("people.Person", "delta"),
    "delta in windows": Walked("people.Person", "delta", part_records=7),
    "newest first": Walked("people.Address", "delta"),
}


@pytest.mark.parametrize("walk", WALKS)
@histories(12, suppress=ON_ONE_DATABASE)
@given(seed=st.integers(1, 50), before=st.lists(CHANGES, max_size=8), during=st.lists(CHANGES, max_size=12))
async def test_the_mirror_is_exact_whatever_happens_meanwhile(
    store: Database,
    walk: str,
    seed: int,
    before: Sequence[tuple[str, int, int]],
    during: Sequence[tuple[str, int, int]],
) -> None:
    walked = WALKS[walk]
    one = church(walked, store, seed)
    since = None
    if walked.mode == "delta":
        await one.read("full")
        since = datetime.now(UTC) - timedelta(minutes=1)
    one.change(before, during=False)
    one.simulator.world.clock_ahead += 10  # ten seconds later
    old = one.state
    one.change(during, during=True)
    sync = await one.read(walked.mode, since=since)
    one.simulator.churn.waiting.clear()
    new, mirrored = one.state, await one.rows()

    assert sync.evidence.fallback == ""
    rows = {row["id"]: row for row in mirrored}
    assert len(rows) == len(mirrored), "nobody stands there twice"
    untouched = {identity for identity in old.keys() & new.keys() if old[identity] == new[identity]}
    assert untouched <= rows.keys(), "who was there all the while is in the mirror"
    for identity in untouched:
        assert record_differences(new[identity], rows[identity], sync.entity) == []

    one.simulator.world.clock_ahead += 10
    await one.read(walked.mode, since=since)
    living = one.state
    present = [row for row in await one.rows() if row["id"] in living]
    assert differences(living.values(), present, sync.entity) == []
