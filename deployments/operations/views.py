"""`views`: make the view of a church's custom fields, and say what its columns are."""

import os

from rich.console import Console
from rich.table import Table
from rich.text import Text

from deployments.arguments import check_arguments
from pco_store.database import Database
from pco_store.mirror.custom_fields import make_custom_fields_view
from pco_store.schema_check import check_schema


async def make_views(org_id: str, console: Console) -> int:
    """Print the view's name and columns. Raises `WrongArgumentError` and the store's errors."""
    check_arguments(org_id)
    database = Database(os.environ["PCO_SYNC_DATABASE_URL"], pool_size=1)
    try:
        async with database.transaction() as connection:
            await check_schema(connection)
            view = await make_custom_fields_view(connection, org_id)
    finally:
        await database.aclose()
    shown = Table(title=Text(view.name), title_justify="left", title_style="bold")
    shown.add_column("column", overflow="fold")
    shown.add_column("type")
    for column, kind in view.columns:
        shown.add_row(Text(column), kind)
    console.print(shown)
    if len(view.columns) == 2:
        console.print("no custom fields are mirrored: sync people.FieldDefinition and people.FieldDatum, then again")
    return 0
