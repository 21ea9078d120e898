"""Any history of a fan-out, on a real Postgres: no child is lost, none is done twice, and it comes to its end."""

import asyncio
from collections import Counter
from collections.abc import Coroutine
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import text

from pco_store.database import Database
from pco_store.errors import LeaseLost
from pco_store.ledger.fan_out.children import (
    ChildEnd,
    end_child,
    fail_child,
    give_back_children,
    insert_children,
    renew_children,
    reopen_for_children,
    revive_children,
)
from pco_store.ledger.fan_out.fan_outs import cancel_fan_out, complete_if_done, count_children, mark_awaiting_children
from pco_store.ledger.fan_out.submissions import (
    Submission,
    record_flow_runs,
    take_back_expired,
    take_back_submitted,
    unanswered_submissions,
)
from pco_store.ledger.runs import RunHandle
from tests.integration.fan_outs import (
    answer,
    be_due,
    children,
    claim,
    commit_page,
    expire,
    insert,
    open_fan_out,
    states,
    take,
)

T = TypeVar("T")

MOST_UNDER_WAY = 5
MOST_ATTEMPTS = 2
DONE = ("completed", "absent", "forbidden")
ENDS: tuple[ChildEnd, ...] = ("completed", "absent", "forbidden")
SCOPES = st.lists(st.integers(min_value=1, max_value=20), min_size=1, max_size=6)


class Histories(RuleBasedStateMachine):
    """One fan-out, its parent, its workers and Prefect, each of which may die or be late at any time.

    `prefect` are the flow runs that have not begun, `held` the children that some process believes to be its own.
    """

    database_url: str

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.store = Database(self.database_url, pool_size=2)
        self.shown: set[str] = set()
        self.prefect: dict[str, Submission] = {}
        self.known_keys: set[str] = set()
        self.held: list[RunHandle] = []
        self.done: Counter[str] = Counter()
        self.pages: Counter[tuple[str, int]] = Counter()
        self.is_cancelled = False
        self.is_reading = True
        self.run(self._begin())

    def run(self, step: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(step)

    async def _begin(self) -> None:
        async with self.store.transaction() as connection:
            await connection.execute(text("TRUNCATE sync.runs, sync.pages RESTART IDENTITY"))
        self.root = await open_fan_out(self.store)

    @initialize()
    def the_first_page_is_read(self) -> None:
        self.a_page_shows_parents(list(range(1, 9)))

    @precondition(lambda self: self.is_reading and not self.is_cancelled)
    @rule(scopes=SCOPES)
    def a_page_shows_parents(self, scopes: list[int]) -> None:
        self.run(insert(self.store, self.root, *scopes))
        self.shown |= {str(scope) for scope in scopes}

    @precondition(lambda self: self.is_reading and not self.is_cancelled)
    @rule()
    def all_parents_are_read(self) -> None:
        self.run(self._await())

    async def _await(self) -> None:
        async with self.store.transaction() as connection:
            await mark_awaiting_children(connection, self.root)
        self.is_reading = False

    @precondition(lambda self: self.is_reading)
    @rule()
    def the_parent_dies_and_is_continued(self) -> None:
        self.run(self._continue())

    @rule(per_run=st.integers(1, 4), fate=st.sampled_from(["answered", "unrecorded", "unasked"]))
    def children_are_submitted(self, per_run: int, fate: str) -> None:
        submissions = self.run(take(self.store, self.root, per_run=per_run, most_under_way=MOST_UNDER_WAY))
        for one in submissions:
            assert one.key not in self.known_keys, "a flow run that is over would be taken for this one"
            self.known_keys.add(one.key)
        if submissions:
            counts = Counter(self.run(states(self.store, self.root)).values())
            assert counts["submitted"] + counts["running"] <= MOST_UNDER_WAY
        if fate != "unasked":
            self.prefect |= {one.key: one for one in submissions}
        if fate == "answered":
            self.run(answer(self.store, submissions))

    @rule()
    def what_was_not_answered_is_submitted_again(self) -> None:
        self.run(self._submit_unanswered())

    async def _submit_unanswered(self) -> None:
        async with self.store.transaction() as connection:
            left = await unanswered_submissions(connection, self.root.run_id, older_than_seconds=0)
        for one in left:
            self.prefect.setdefault(one.key, one)
        await answer(self.store, left)

    @precondition(lambda self: self.prefect)
    @rule(data=st.data())
    def a_flow_run_begins(self, data: st.DataObject) -> None:
        self.run(self._begin_flow_run(data.draw(st.sampled_from(sorted(self.prefect)))))

    @precondition(lambda self: self.prefect)
    @rule()
    def all_flow_runs_begin(self) -> None:
        for key in sorted(self.prefect):
            self.run(self._begin_flow_run(key))

    async def _begin_flow_run(self, key: str) -> None:
        submission = self.prefect.pop(key)
        claimed = await claim(self.store, self.root, *submission.scopes)
        self.held += claimed.runs

    @precondition(lambda self: self.prefect)
    @rule(data=st.data())
    def a_flow_run_vanishes_and_that_is_noticed(self, data: st.DataObject) -> None:
        submission = self.prefect.pop(data.draw(st.sampled_from(sorted(self.prefect))))
        self.run(self._take_back(submission))

    async def _take_back(self, submission: Submission) -> None:
        async with self.store.transaction() as connection:
            await record_flow_runs(connection, [(submission, f"flow-run {submission.key}")])
            await take_back_submitted(
                connection,
                self.root.run_id,
                {f"flow-run {submission.key}": "Crashed"},
                most_restarts=1000,
                first_wait_seconds=0,
            )

    @rule(scopes=SCOPES)
    def somebody_runs_children_by_hand(self, scopes: list[int]) -> None:
        self.run(self._by_hand([str(scope) for scope in scopes]))
        self.shown |= {str(scope) for scope in scopes}

    async def _by_hand(self, scopes: list[str]) -> None:
        async with self.store.transaction() as connection:
            if await insert_children(connection, children(self.root, *scopes)):
                await reopen_for_children(connection, self.root.run_id)
        self.held += (await claim(self.store, self.root, *scopes)).runs

    def _one_held(self, data: st.DataObject) -> RunHandle:
        return self.held[data.draw(st.integers(0, len(self.held) - 1))]

    @precondition(lambda self: self.held)
    @rule(data=st.data(), offset=st.sampled_from([0, 100]))
    def a_page_is_committed(self, data: st.DataObject, offset: int) -> None:
        run = self._one_held(data)
        if not self.pages[(run.scope, offset)]:  # what the ledger holds is not read again
            self._attempt(
                run, commit_page(self.store, run, offset=offset), lambda: self.pages.update([(run.scope, offset)])
            )

    @precondition(lambda self: self.held)
    @rule(data=st.data(), end=st.sampled_from(ENDS))
    def a_child_ends(self, data: st.DataObject, end: ChildEnd) -> None:
        run = self._one_held(data)
        self.held.remove(run)
        self._attempt(run, self._end(run, end), lambda: self.done.update([run.scope]))

    async def _end(self, run: RunHandle, end: ChildEnd) -> None:
        async with self.store.transaction() as connection:
            await end_child(connection, run, end)

    @precondition(lambda self: self.held)
    @rule(several=st.integers(1, 3), wait=st.booleans())
    def children_fail(self, several: int, wait: bool) -> None:
        for run in self.held[-several:]:
            self.held.remove(run)
            self._attempt(run, self._fail(run), lambda: None)
        if not wait:
            self.run(be_due(self.store, self.root))

    async def _fail(self, run: RunHandle) -> None:
        async with self.store.transaction() as connection:
            await fail_child(connection, run, error="no", most_attempts=MOST_ATTEMPTS, wait_seconds=60)

    def _attempt(self, run: RunHandle, write: Coroutine[Any, Any, None], then: Any) -> None:
        """The write goes through if and only if the run is still ours."""
        is_ours = self.run(self._is_ours(run))
        try:
            self.run(write)
        except LeaseLost:
            assert not is_ours
        else:
            assert is_ours
            then()

    async def _is_ours(self, run: RunHandle) -> bool:
        async with self.store.transaction() as connection:
            found = await connection.execute(
                text("SELECT 1 FROM sync.runs WHERE run_id = :run_id AND fence = :fence AND state = 'running'"),
                {"run_id": run.run_id, "fence": run.fence},
            )
            return found.scalar() is not None

    @precondition(lambda self: self.held)
    @rule(data=st.data(), forgets=st.booleans())
    def a_process_is_silent_for_too_long(self, data: st.DataObject, forgets: bool) -> None:
        """It is dead, or it only sleeps: then it still believes that the child is its own."""
        run = self._one_held(data)
        self.run(expire(self.store, run))
        if forgets:
            self.held.remove(run)

    @rule()
    def what_fell_silent_is_taken_back(self) -> None:
        self.run(self._take_back_expired())

    async def _take_back_expired(self) -> None:
        async with self.store.transaction() as connection:
            await take_back_expired(connection, self.root.run_id, most_attempts=MOST_ATTEMPTS)

    @precondition(lambda self: self.held and not self.is_cancelled)
    @rule(data=st.data())
    def a_process_oversleeps_while_another_takes_over(self, data: st.DataObject) -> None:
        """And wakes up as if nothing had happened."""
        run = self._one_held(data)
        if self.run(self._is_ours(run)):
            self.run(expire(self.store, run))
        self.held += self.run(claim(self.store, self.root, run.scope)).runs

    @precondition(lambda self: not self.is_cancelled)
    @rule(failing=st.integers(0, 3))
    def all_goes_well_for_a_while(self, failing: int) -> None:
        """But for a few children, which are dead or given back by a person after it."""
        if self.is_reading:
            self.all_parents_are_read()
        for _ in range(3):
            self.children_are_submitted(per_run=2, fate="answered")
            self.all_flow_runs_begin()
            while len(self.held) > failing:
                run = self.held.pop(0)
                self._attempt(run, self._end(run, "completed"), lambda run=run: self.done.update([run.scope]))
        while self.held:
            self.run(self._give_back(self.held.pop(), stopped=True))
        self.it_is_completed_if_it_is_done()

    @rule()
    def leases_are_renewed(self) -> None:
        self.run(self._renew())

    async def _renew(self) -> None:
        async with self.store.transaction() as connection:
            ours = await renew_children(connection, self.held, lease_seconds=600)
        dropped = [run for run in self.held if run.run_id not in ours]
        self.held = [run for run in self.held if run.run_id in ours]
        async with self.store.transaction() as connection:
            await give_back_children(connection, dropped, stopped=False)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), stopped=st.booleans())
    def a_process_has_to_go(self, data: st.DataObject, stopped: bool) -> None:
        run = self._one_held(data)
        self.held.remove(run)
        self.run(self._give_back(run, stopped=stopped))

    async def _give_back(self, run: RunHandle, *, stopped: bool) -> None:
        async with self.store.transaction() as connection:
            await give_back_children(connection, [run], stopped=stopped)

    @precondition(lambda self: not self.is_cancelled and (self.held or self.prefect))
    @rule()
    def the_fan_out_is_cancelled(self) -> None:
        self.is_cancelled |= self.run(self._cancel())

    async def _cancel(self) -> bool:
        async with self.store.transaction() as connection:
            return await cancel_fan_out(connection, self.root.run_id)

    @precondition(lambda self: self.is_cancelled)
    @rule()
    def it_is_continued(self) -> None:
        self.run(self._continue())

    async def _continue(self) -> None:
        self.root = await open_fan_out(self.store)
        self.is_cancelled, self.is_reading = False, True

    @precondition(lambda self: not self.is_cancelled)
    @rule()
    def the_dead_are_replayed(self) -> None:
        self.run(self._revive())

    async def _revive(self) -> None:
        async with self.store.transaction() as connection:
            await revive_children(connection, self.root.run_id)

    @rule()
    def it_is_completed_if_it_is_done(self) -> None:
        if self.run(self._complete()):
            left = Counter(self.run(states(self.store, self.root)).values())
            assert not left.keys() & {"pending", "submitted", "running"}

    async def _complete(self) -> bool:
        async with self.store.transaction() as connection:
            return await complete_if_done(connection, self.root.run_id)

    @invariant()
    def no_child_is_lost_and_none_is_done_twice(self) -> None:
        found = self.run(states(self.store, self.root))
        assert found.keys() == self.shown
        assert {scope for scope, state in found.items() if state in DONE} == self.done.keys()
        assert max(self.done.values(), default=0) <= 1
        self.run(self._check_that_it_is_open_while_children_are_left())

    async def _check_that_it_is_open_while_children_are_left(self) -> None:
        async with self.store.transaction() as connection:
            counts = await count_children(connection, self.root.run_id)
        assert counts.state != "completed" or not counts.pending + counts.submitted + counts.running

    def teardown(self) -> None:
        """Whatever happened: when nothing dies any more, a few rounds end it."""
        try:
            self.run(self._come_to_the_end())
        finally:
            self.run(self.store.aclose())
            self.runner.close()

    async def _come_to_the_end(self) -> None:
        if self.is_cancelled or self.is_reading:
            await self._continue()
            await self._await()
        self.held.clear()  # every process was replaced
        await self._revive()
        await self._check_that_it_is_open_while_children_are_left()
        for _ in range(len(self.shown) + 3):
            async with self.store.transaction() as connection:
                await connection.execute(text("UPDATE sync.runs SET lease_until = now() - interval '1 s'"))
            await self._take_back_expired()
            await self._revive()
            await be_due(self.store, self.root)
            await self._submit_unanswered()
            for submission in await take(self.store, self.root, per_run=2, most_under_way=MOST_UNDER_WAY):
                self.prefect[submission.key] = submission
            for key in sorted(self.prefect):
                await self._begin_flow_run(key)
            for run in self.held:
                await self._end(run, "completed")
                self.done[run.scope] += 1
            self.held.clear()
            if await self._complete():
                break
        async with self.store.transaction() as connection:
            counts = await count_children(connection, self.root.run_id)
        assert counts.state == "completed"
        assert self.done == Counter(dict.fromkeys(self.shown, 1))


def test_no_history_loses_or_doubles_a_child(store_url: str) -> None:
    """A failure names the steps that lead to it."""
    machine = type("HistoriesHere", (Histories,), {"database_url": store_url})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=15, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
