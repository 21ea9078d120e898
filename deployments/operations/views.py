"""`views`: make the view of a church's custom fields, and say what its columns are."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from deployments.ended import print_document
from deployments.exit_codes import DONE
from deployments.operations.churches import check_church
from deployments.transaction import transaction
from pco_store.churches.wall import refuse_removed
from pco_store.mirror.custom_fields import make_custom_fields_view
from pco_store.schema_check import check_schema


async def make_views(org_id: str, console: Console, *, as_json: bool = False) -> int:
    """Print the view's name and columns. Raises `UnknownChurchError` and the store's errors."""
    async with transaction() as connection:
        await check_schema(connection)
        await check_church(connection, org_id)
        await refuse_removed(connection, org_id)
        view = await make_custom_fields_view(connection, org_id)
    if as_json:
        print_document({"view": view.name, "columns": dict(view.columns), "exit_code": DONE})
        return DONE
    shown = Table(title=Text(view.name), title_justify="left", title_style="bold")
    shown.add_column("column", overflow="fold")
    shown.add_column("type")
    for column, kind in view.columns:
        shown.add_row(Text(column), kind)
    console.print(shown)
    if len(view.columns) == 2:
        console.print("no custom fields are mirrored: sync people.FieldDefinition and people.FieldDatum, then again")
    return DONE
