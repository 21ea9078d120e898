"""How much is kept beside the mirror, and whether that stays below a bound which it has reached before."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final

from redis import Redis

from embedded.services import MESSAGING_DATABASE, MIRROR_DATABASE, PREFECT_DATABASE, Services

TABLES: Final = "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname = '{}' ORDER BY 1"
FEW: Final = 20
"""What has never had more rows than that is as good as empty."""
SPARE: Final = 1.15


def kept(services: Services) -> dict[str, int]:
    """Rows of each table of the ledger and of Prefect, and messages between Prefect's services in Redis."""
    found: dict[str, int] = {}
    for database, schema in ((MIRROR_DATABASE, "sync"), (PREFECT_DATABASE, "public")):
        tables = services.postgres.psql(database, TABLES.format(schema)).splitlines()
        counted = " UNION ALL ".join(f"SELECT '{one}', count(*) FROM {one}" for one in tables)
        for line in services.postgres.psql(database, counted).splitlines():
            name, _, rows = line.partition("|")
            found[f"{database} {name}"] = int(rows)
    with Redis.from_url(services.redis.database_url(MESSAGING_DATABASE)) as redis:
        found["redis messages"] = sum(redis.xlen(key) for key in redis.scan_iter(_type="stream"))
    return found


def series(samples: Sequence[Mapping[str, int]]) -> dict[str, list[int]]:
    """How much there was of each at one time after the other."""
    names = sorted({name for one in samples for name in one})
    return {name: [one.get(name, 0) for one in samples] for name in names}


ENDS_IN_MINUTES: Final = ("prefect public.automation_held_event",)
"""Prefect drops it after half an hour of everybody's time, which these days are shorter than."""


def growing(samples: Sequence[Mapping[str, int]]) -> dict[str, list[int]]:
    """What there is more of at one time of the last half than ever in the first one, with a little to spare."""
    middle = len(samples) // 2
    return {
        name: values
        for name, values in series(samples).items()
        if name not in ENDS_IN_MINUTES and max(values[middle:]) > max(FEW, SPARE * max(values[:middle]))
    }


def falls(samples: Sequence[Mapping[str, int]], name: str) -> int:
    """How often there was less of something than the time before: it was at its bound so often."""
    return sum(later < earlier for earlier, later in pairwise(series(samples)[name]))
