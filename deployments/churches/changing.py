"""`churches rename`, `pause` and `resume`."""

from prefect.client.orchestration import get_client
from rich.console import Console

from deployments.churches.known import check_known
from deployments.churches.prefect_side import drop_waiting_starts, own_schedules, switch
from deployments.ended import print_document
from deployments.exit_codes import DONE
from deployments.parameters import WrongArgumentError
from deployments.provisioning.provision import find_block
from deployments.terminal import print_plain
from deployments.transaction import transaction
from pco_store.churches.names import NO_DISPLAY_NAME, is_display_name, rename_church
from pco_store.churches.wall import refuse_removed
from tasks.reports.counted import counted
from tasks.settings import read_settings


async def rename(org_id: str, name: str, console: Console, *, as_json: bool) -> int:
    """Raises `UnknownChurchError`, `WrongArgumentError`, `ChurchRemoved`."""
    name = " ".join(name.split())
    if not is_display_name(name):
        raise WrongArgumentError(NO_DISPLAY_NAME)
    await check_known(org_id)
    async with transaction() as connection:
        await refuse_removed(connection, org_id)
        await rename_church(connection, org_id, name)
    if as_json:
        print_document({"org_id": org_id, "name": name, "exit_code": DONE})
    else:
        print_plain(console, f"{org_id} is called {name}")
    return DONE


async def set_scheduled(org_id: str, scheduled: bool, console: Console, *, as_json: bool) -> int:
    """Whether schedules sync it, those of all churches and its own. Raises `UnknownChurchError`, `WrongArgumentError`,
    `ChurchRemoved`.

    Of its own schedules, those are switched on again that were switched off here.
    """
    settings = read_settings()
    if settings.church_of_token == org_id:
        raise WrongArgumentError(
            f"{org_id} is read with the token of the environment (PCO_SYNC_ORG_ID), which schedules always sync; store "
            f"it instead: pco-sync connect {org_id}"
        )
    await check_known(org_id)
    block = await find_block(org_id)
    if block is None:
        raise WrongArgumentError(f"{org_id} is not connected, so that no schedule syncs it: pco-sync connect {org_id}")
    async with transaction() as connection:
        await refuse_removed(connection, org_id)
    async with get_client() as client:
        own = [one for one in await own_schedules(client, org_id) if one.active is not scheduled]
        if scheduled:
            own = [one for one in own if str(one.schedule_id) in block.switched_off]
        else:  # noted before it is done: what somebody else has switched off stays off
            block.scheduled = False
            block.switched_off = sorted({*block.switched_off, *(str(one.schedule_id) for one in own)})
            await block.save(org_id, overwrite=True)
        for one in own:
            await switch(client, one, active=scheduled)
        if scheduled:
            block.scheduled, block.switched_off = True, []
            await block.save(org_id, overwrite=True)
        dropped = 0 if scheduled else await drop_waiting_starts(client, org_id)
    if as_json:
        document = {"org_id": org_id, "scheduled": scheduled, "own_schedules": len(own), "dropped_starts": dropped}
        print_document({**document, "exit_code": DONE})
        return DONE
    told = f"schedules sync {org_id} again" if scheduled else f"{org_id} is paused: no schedule syncs it"
    more = f"; {counted(len(own), 'schedule')} of its own {'on' if scheduled else 'off'}, too" if own else ""
    print_plain(console, f"{told}{more}")
    return DONE
