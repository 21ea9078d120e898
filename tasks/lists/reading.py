"""Reads a list that a run of ours is about, and completes the run in the ledger."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from pco_catalog.catalog import Entity
from pco_client.client import PcoClient
from pco_store.errors import LeaseLost
from pco_store.ledger.quarantine.superseded import resolve_superseded
from pco_store.ledger.results import keep_deletions
from pco_store.ledger.run_facts import once_completed, run_facts
from pco_store.ledger.runs import RunHandle, finish_run, run_totals
from pco_store.ledger.watermarks import advance_watermark
from pco_walks.pco_clock import known_ahead, pco_ahead
from tasks.deletions.from_a_list import Deletions, find_deletions, many_deletions_of
from tasks.deletions.merges import follow_merges
from tasks.deletions.with_owners import find_deletions_with_owners
from tasks.flow_run import current_flow_run_id
from tasks.lifespan import Resources
from tasks.logs import sync_logger
from tasks.pages.processing import PageProcessing
from tasks.pages.run_walk import begin_walk, finish_walk
from tasks.patience import patiently
from tasks.reports.drift import tell_drift
from tasks.reports.events import tell_synced
from tasks.reports.outcomes import End, end_of
from tasks.reports.progress import ProgressReport, shown
from tasks.reports.sync_summary import SyncSummary, summarize
from tasks.verification.includes import distrust_short_includes


@dataclass(frozen=True, kw_only=True, slots=True)
class ListRead:
    """A list that was read to its end: the numbers, and the verdict."""

    summary: SyncSummary
    end: End

    @property
    def is_uneventful(self) -> bool:
        """Nothing was new, changed or deleted, and nothing is left for a person."""
        told = self.summary
        return not (told.new or told.changed or told.deleted or told.merged or told.reason)


async def read_list(
    resources: Resources,
    client: PcoClient,
    entity: Entity,
    run: RunHandle,
    *,
    processing: PageProcessing,
    is_one_of_many: bool = False,
) -> ListRead:
    """Read what is left of the list of `entity`, and complete the run in the ledger.

    The run is ours; its lease, and its end if this raises, are the caller's (`tasks.runs.working`). As
    `is_one_of_many` in a flow run it is silent as long as nothing comes of it. Raises the errors of client and store.
    """
    started = time.monotonic()
    assert entity.list_path is not None, "parameters admit listed entities only"
    sync, walks = await begin_walk(
        resources,
        client,
        run,
        entity,
        path=entity.list_path,
        in_flight=resources.settings.pages_in_flight,
    )
    if not is_one_of_many:
        how = "opened" if run.is_new else "continued"
        sync_logger().info("%s is %s, %d pages are done already", run.key, how, len(sync.committed))
    report = ProgressReport(
        sync=sync,
        walks=walks,
        redis=resources.redis,
        flow_run_id=current_flow_run_id() or "",
        started=started,
        only_long_lists=is_one_of_many,
    )
    async with shown(report):
        await finish_walk(walks, sync, processing)
        deletions = Deletions()
        with_owners: list[tuple[RunHandle, Deletions]] = []
        merged = await follow_merges(resources, run)
        if run.mode == "full":
            many = many_deletions_of(run)
            deletions = await find_deletions(resources, sync, many=many)
            await distrust_short_includes(resources, sync)
            for one in sync.companions.values():
                gone = await find_deletions_with_owners(resources, sync, one, many=many)
                with_owners.append((one.run, gone))
        evidence = sync.evidence
        if evidence.corrected_until is not None:
            resources.pco_ahead[run.org_id] = pco_ahead(evidence.corrected_until, run.started_at)
        elif run.is_new and run.parent_run_id is None and evidence.answered_at is not None:
            resources.pco_ahead[run.org_id] = known_ahead(
                resources.pco_ahead[run.org_id],
                evidence.answered_at,
                opened_at=run.started_at,
                took=evidence.answered_after,
            )

        async def complete(connection: AsyncConnection) -> ListRead:
            settled = sync.settled_run
            await advance_watermark(connection, settled)
            if run.mode == "full":
                for one, found in [(settled, deletions), *with_owners]:
                    await keep_deletions(
                        connection,
                        one,
                        verdict=found.verdict,
                        missing=found.missing,
                        deleted=found.deleted,
                        unplaced=found.unplaced,
                    )
                    await resolve_superseded(connection, one, entity=one.entity)
            try:
                facts = once_completed(await run_facts(connection, run.run_id))
            except LookupError:  # the database was replaced by an older copy
                raise LeaseLost(run.key, run.fence) from None
            summary = summarize(
                sync,
                await run_totals(connection, run),
                deletions,
                facts,
                merged=merged,
                seconds=time.monotonic() - started,
                finished_at=datetime.now(UTC),
            )
            result = summary.model_dump(mode="json")
            await finish_run(connection, run, "completed", pages=sync.known_pages, result=result)
            return ListRead(summary=summary, end=end_of(facts))

        read = await patiently(resources, complete)  # the ledger first: Prefect may be away
    if not (is_one_of_many and read.is_uneventful):
        sync_logger().info("%s is complete: %s", run.key, read.summary.told)
        tell_synced(read.summary, mode=run.mode)
    tell_drift(sync.drift, entity)
    return read
