"""A list whose run is gone from the ledger at its end: the database was replaced by a copy from before it began."""

from typing import Any

import pytest
from prefect.settings import PREFECT_SERVER_ALLOW_EPHEMERAL_MODE, temporary_settings

from pco_catalog.catalog import load_catalog
from pco_store.errors import LeaseLost
from pco_store.ledger.leases import open_run
from pco_store.ledger.openings import Opened
from tasks.lifespan import get_client_for_org
from tasks.lists.reading import read_list
from tasks.pages.page_ref import PageRef
from tasks.pages.processing import PageProcessing, directly
from tasks.runs.opening import run_request
from tests.integration.whole_fan_outs import ORG, fan_out_church
from tests.simulators import SimulatorProcess


async def test_a_list_whose_run_is_gone_is_not_ours_to_complete(database_url: str, redis_url: str) -> None:
    emails = load_catalog().entity("people.Email")
    without_server = temporary_settings({PREFECT_SERVER_ALLOW_EPHEMERAL_MODE: False})
    with SimulatorProcess(people=3, groups=1) as world, without_server:
        async with fan_out_church(world, "groups.Membership", database_url=database_url, redis_url=redis_url) as church:
            resources = church.resources
            await church.sql("INSERT INTO sync.watermarks VALUES (:org, 'people.Email', '', now(), 1)", org=ORG)
            request = await run_request(
                resources,
                org_id=ORG,
                entity=emails,
                read_entity=emails,
                scope="",
                epoch="e",
                on_conflict="reject",
                mode="delta",
            )
            opened, lease = await open_run(resources.database, request)
            assert isinstance(opened, Opened)
            assert lease is not None
            known = directly(resources.settings)

            async def read_and_lost(page: PageRef) -> dict[str, Any]:
                receipt = await known.whole(page)
                await church.sql("TRUNCATE sync.runs CASCADE")
                return receipt

            client = await get_client_for_org(ORG, resources)
            processing = PageProcessing(whole=read_and_lost, part=known.part)
            with pytest.raises(LeaseLost):
                await read_list(resources, client, emails, opened.run, processing=processing)
            await lease.release()
