"""A look into the mirror, and no more."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncConnection

from pco_store.database import Database


@asynccontextmanager
async def transaction() -> AsyncIterator[AsyncConnection]:
    """One transaction in the database that the environment names. Raises the errors of the store."""
    async with Database(os.environ["PCO_SYNC_DATABASE_URL"], pool_size=1) as database:
        async with database.transaction() as connection:
            yield connection
