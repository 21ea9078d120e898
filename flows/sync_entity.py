"""sync_entity: mirror one entity of one church, exactly and durably."""

from collections.abc import Set
from functools import partial

from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows.call_from_anywhere import flow_from_anywhere
from flows.parameters import ConflictPolicy, EntityName, Epoch, OrgId, listed_entity
from pco_store.ledger.members import members_of
from pco_store.ledger.openings import NotOpened
from pco_store.ledger.run_facts import facts_by_key
from pco_walks.window import Mode
from tasks.deletions.from_a_list import ManyDeletions
from tasks.flow_run import tagged
from tasks.lifespan import Resources, get_client_for_org, opened_resources
from tasks.lists.reading import read_list
from tasks.pages.processing import as_tasks
from tasks.patience import patiently
from tasks.reports.outcomes import joined_name, state_of
from tasks.reports.sync_summary import SyncSummary, publish_summary, summary_of
from tasks.run_names import own_run_name
from tasks.runs.not_started import SyncRejectedError, message_of
from tasks.runs.opening import run_request
from tasks.runs.working import working
from tasks.settings import read_settings

__all__ = ["SyncRejectedError", "sync_entity"]


class NotIncludedError(Exception):
    """What is asked for does not come with its owners: it did not come in full, and is read below each of them for the
    time being, or this epoch was opened without it."""


@flow_from_anywhere(
    name="sync-entity",
    flow_run_name=own_run_name,
    description="Mirror one entity of one church into Postgres, exactly and durably.",
    validate_parameters=True,
)
async def sync_entity(
    org_id: OrgId,
    entity: EntityName,
    epoch: Epoch | None = None,
    on_conflict: ConflictPolicy = "join",
    mode: Mode = "full",
    many_deletions: ManyDeletions = "stop",
) -> SyncSummary | State[SyncSummary]:
    """Mirror `entity` of `org_id`, once per epoch.

    What is running or completed under its key is not started again: `join` says so and is done, `reject` raises
    `SyncRejectedError`, `restart` closes that epoch and opens a new one. What was interrupted is continued.

    Args:
        org_id: Which church: the name of its credentials block, such as grace
        entity: What to mirror: product.Resource in PCO's spelling. What comes with the records of another list
            (designations with donations) is read by reading that list
        epoch: Which turn. Leave it out: an unfinished turn is continued, else a new one is opened
        on_conflict: If it runs or is done already: join says so, reject fails, restart begins again from the start
        mode: full reads everything and finds deletions, delta reads what changed since the last complete sync
        many_deletions: If more than 5 % of all records (and more than 50) are missing: stop marks none of them as
            deleted and says so, accept believes it once each of them is confirmed

    Raises `NotIncludedError`, and the errors of settings, credentials, client and store; each says what was observed
    and what to do.
    """
    settings = read_settings()
    described = listed_entity(entity)
    async with opened_resources(settings) as resources:
        client = await get_client_for_org(org_id, resources)
        request = await run_request(
            resources,
            org_id=org_id,
            entity=described,
            read_entity=described,
            scope="",
            epoch=epoch,
            on_conflict=on_conflict,
            mode=mode,
            plan={"many_deletions": many_deletions},
        )
        if entity != described.name and entity not in {one.entity for one in request.sideloads}:
            raise NotIncludedError(
                f"{entity} did not come in full with {described.name} when it was last read, so its lists are to be "
                "read one by one: sync-children does that"
            )
        async with working(resources, request) as work:
            if isinstance(work, NotOpened):
                return await _not_started(resources, work, on_conflict, entity)
            if entity != described.name:
                members = await patiently(resources, partial(members_of, run=work.run))
                _check_included(entity, described.name, work.run.key, {one.run.entity for one in members})
            async with tagged(org_id, entity):
                read = await read_list(resources, client, described, work.run, processing=await as_tasks(resources))
        await publish_summary(read.summary)
        return read.summary if read.end.name is None else state_of(read.end, read.end.reason, read.summary)


def _check_included(entity: str, owner: str, key: str, members: Set[str]) -> None:
    if entity not in members:
        raise NotIncludedError(
            f"{key} was opened without {entity}, perhaps by an older version: let a sync of {owner} finish that epoch, "
            f"then sync {entity} in another one"
        )


async def _not_started(
    resources: Resources, opened: NotOpened, on_conflict: ConflictPolicy, entity: str
) -> State[SyncSummary]:
    """Nothing is read; what the other run has left for a person is shown by the state, too."""
    message = message_of(opened, on_conflict)
    facts = await patiently(resources, partial(facts_by_key, key=opened.key))
    assert facts is not None, "it was found a moment ago"
    if entity != facts.entity:
        _check_included(entity, facts.entity, opened.key, {one.entity for one in facts.members})
    if opened.why == "running":
        return Completed(name="AlreadyRunning", message=message, data=summary_of(facts, joined=True)[0])
    summary, end = summary_of(facts, joined=True)
    told = f"{message}; {end.reason}" if end.reason else message
    return Completed(name=joined_name(end), message=told, data=summary)
