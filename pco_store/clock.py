"""The database's clock, which all processes share."""

from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


async def database_time(connection: AsyncConnection) -> datetime:
    """When this transaction began."""
    began: datetime = (await connection.execute(text("SELECT now()"))).scalar_one()
    return began


async def database_clock(connection: AsyncConnection) -> datetime:
    """The time at this moment."""
    now: datetime = (await connection.execute(text("SELECT clock_timestamp()"))).scalar_one()
    return now
