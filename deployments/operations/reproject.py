"""`reproject`: bring what stands in `extra` to its columns where these can hold it by now, without asking PCO."""

import os
from dataclasses import asdict, dataclass
from typing import Final

from rich.console import Console
from rich.table import Table

from deployments.ended import print_document
from deployments.exit_codes import DONE
from deployments.operations.churches import check_church
from pco_catalog.catalog import Entity, load_catalog
from pco_client.documents import read_json
from pco_store.database import Database
from pco_store.mirror.reprojection import ColumnMove, RowKey, move_to_columns, next_rows
from pco_store.mirror.tables import mirror_table
from pco_store.schema_check import check_schema
from tasks.rows.reprojection import reproject as reproject_row
from tasks.rows.reprojection import to_one_columns

BATCH: Final = 500
"""Rows in memory at a time."""


@dataclass(kw_only=True)
class TableReport:
    """What became of one table. `misfits` are values that have a column which cannot hold them."""

    table: str
    rows: int = 0
    moved: int = 0
    misfits: int = 0


async def reproject(org_id: str | None, entity_name: str | None, console: Console, *, as_json: bool) -> int:
    """Go through the tables, of all churches without an `org_id`, and report.

    Raises `UnknownChurchError` and the errors of the store.
    """
    catalog = load_catalog()
    entities = catalog.entities() if entity_name is None else (catalog.entity(entity_name),)
    reports: list[TableReport] = []
    shown = Table(title="Values brought from extra to their columns", title_justify="left")
    for name in ("table", "rows looked at", "values moved", "still do not fit"):
        shown.add_column(name, justify="left" if name == "table" else "right")
    async with Database(os.environ["PCO_SYNC_DATABASE_URL"], pool_size=1) as database:
        async with database.transaction() as connection:
            await check_schema(connection)
            if org_id is not None:
                await check_church(connection, org_id)
        for entity in entities:
            report = await reproject_table(database, entity, org_id)
            if report.rows:
                reports.append(report)
                shown.add_row(report.table, f"{report.rows:,}", f"{report.moved:,}", f"{report.misfits:,}")
    if as_json:
        print_document({"tables": [asdict(one) for one in reports], "exit_code": DONE})
    else:
        console.print(shown if shown.row_count else "no value in extra has a column")
    return DONE


async def reproject_table(database: Database, entity: Entity, org_id: str | None, *, batch: int = BATCH) -> TableReport:
    """One table, of one church or of all; safe to interrupt and to repeat, beside running syncs, too."""
    table = mirror_table(entity)
    report = TableReport(table=f"{table.schema}.{table.name}")
    after: RowKey | None = None
    while True:
        async with database.statement() as connection:
            rows = await next_rows(
                connection,
                table,
                attributes=list(entity.attributes),
                to_one=to_one_columns(entity),
                org_id=org_id,
                after=after,
                limit=batch,
            )
        if not rows:
            return report
        after = rows[-1].key
        found = {row.key: reproject_row(entity, row.columns, read_json(row.extra.encode())) for row in rows}
        moves = [
            ColumnMove(key=row.key, content_hash=row.content_hash, values=one.values, dropped=one.dropped, put=one.put)
            for row in rows
            if (one := found[row.key]).moved
        ]
        written: set[RowKey] = set()
        if moves:
            async with database.statement() as connection:
                written = await move_to_columns(connection, table, moves)
        report.rows += len(rows)
        report.moved += sum(found[key].moved for key in written)
        report.misfits += sum(one.misfits for one in found.values())
