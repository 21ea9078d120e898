"""Lets days go by in a bench's database: all that asks it for the time is told a later one."""

import asyncpg

_SCHEMA = "bench_clock"
_AHEAD = "bench_clock.days"

_CLOCK = f"""
    CREATE SCHEMA {_SCHEMA};
    CREATE FUNCTION {_SCHEMA}.now() RETURNS timestamptz LANGUAGE sql STABLE AS $$
        SELECT pg_catalog.now() + pg_catalog.make_interval(days => pg_catalog.current_setting('{_AHEAD}')::int) $$;
    CREATE FUNCTION {_SCHEMA}.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
        SELECT pg_catalog.clock_timestamp()
            + pg_catalog.make_interval(days => pg_catalog.current_setting('{_AHEAD}')::int) $$;
    SET search_path = {_SCHEMA}, pg_catalog, public;
    SET {_AHEAD} = 0;
    DO $$
    DECLARE one record;
    BEGIN
        FOR one IN SELECT adrelid::regclass AS relation, attname AS name FROM pg_attrdef
            JOIN pg_attribute ON attrelid = adrelid AND attnum = adnum
            WHERE pg_get_expr(adbin, adrelid) IN ('now()', 'pg_catalog.now()')
        LOOP
            EXECUTE format('ALTER TABLE %s ALTER COLUMN %I SET DEFAULT now()', one.relation, one.name);
        END LOOP;
        EXECUTE format('ALTER DATABASE %I SET search_path = {_SCHEMA}, pg_catalog, public', current_database());
    END $$
"""


async def install_clock(database_url: str) -> None:
    """Give a database a clock that can be moved; connections that are open already keep the old one."""
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(_CLOCK)
    finally:
        await connection.close()
    await move_clock(database_url, 0)


async def move_clock(database_url: str, days: int) -> None:
    """For connections that are opened from now on it is so many days later than it is."""
    connection = await asyncpg.connect(database_url)
    try:
        name = await connection.fetchval("SELECT quote_ident(current_database())")
        await connection.execute(f"ALTER DATABASE {name} SET {_AHEAD} = '{int(days)}'")
    finally:
        await connection.close()
