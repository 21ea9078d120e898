"""What stands in the mirror now, as a table for a person."""

from rich.console import Console
from rich.table import Table

from deployments.transaction import transaction
from pco_catalog.catalog import load_catalog
from pco_store.mirror.counts import count_rows
from pco_store.mirror.tables import mirror_table


async def show_mirror(org_id: str, console: Console) -> None:
    """Print the tables that hold rows of this church."""
    shown = Table(title=f"In Postgres now (org_id = {org_id})", title_justify="left", title_style="bold")
    shown.add_column("table", overflow="fold")
    shown.add_column("rows", justify="right")
    shown.add_column("deleted in PCO", justify="right")
    shown.add_column("last change stored")
    async with transaction() as connection:
        for entity in load_catalog().entities():
            count = await count_rows(connection, mirror_table(entity), org_id)
            if count.last_written is not None:
                written = f"{count.last_written:%Y-%m-%d %H:%M:%S %Z}"
                shown.add_row(count.table, f"{count.live:,}", f"{count.tombstones:,}", written)
    console.print(shown)
