"""The sync of a whole church on the terminal: how many of its kinds of records are complete."""

from collections.abc import Sequence
from datetime import timedelta

from deployments.watching.followed import Followed
from deployments.watching.following import Look
from pco_store.ledger.run_facts import RunFacts, epoch_facts
from tasks.reports.counted import counted


class ChurchLook:
    """The look of a church's sync; `chosen` kinds of records were asked for, or None if only the run knows."""

    def __init__(self, followed: Followed, chosen: int | None) -> None:
        self._followed, self._chosen = followed, chosen

    async def look(self, seconds: float) -> Look:
        """Of the turn that the flow run has taken or joined, and of no other."""
        followed = self._followed
        is_over = await followed.look(seconds)
        run = followed.run or followed.others
        if run is None:
            return Look(line=f"{followed.org_id}: {followed.flow_run.told}", is_over=is_over)
        async with followed.database.transaction() as connection:
            facts = await epoch_facts(connection, org_id=run.org_id, epoch=run.epoch)
        return Look(line=f"{run.epoch}: {church_line(facts, self._chosen, seconds)}", is_over=is_over)


def church_line(facts: Sequence[RunFacts], chosen: int | None, seconds: float) -> str:
    """How far a church is, within 80 columns."""
    done = sum(one.state == "completed" for one in facts)
    of = "" if chosen is None else f" of {chosen:,}"
    under_way = sum(not one.is_over for one in facts)
    rows = counted(sum(one.rows for one in facts), "row")
    return f"{done:,}{of} done, {under_way} under way, {rows}, watched {timedelta(seconds=round(seconds))}"
