"""What the syncs of a process share."""

import gc

from pydantic import SecretStr

from tasks.lifespan import opened_resources
from tasks.settings import SyncSettings

NOWHERE = SyncSettings(database_url=SecretStr("postgresql://nowhere/pco"), redis_url=SecretStr("redis://nowhere:1/0"))


async def test_syncs_with_the_same_settings_share_their_connections() -> None:
    other = NOWHERE.model_copy(update={"page_size": 7})
    async with (
        opened_resources(NOWHERE) as first,
        opened_resources(NOWHERE) as second,
        opened_resources(other) as third,
    ):
        assert first is second
        assert third is not first
    assert first.http.is_closed
    async with opened_resources(NOWHERE) as again:
        assert again is not first


async def test_modules_are_not_searched_for_garbage_while_syncs_run() -> None:
    async with opened_resources(NOWHERE):
        assert gc.get_freeze_count() > 0
