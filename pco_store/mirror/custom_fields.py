"""A church's custom fields as a view with a typed column each; which columns, its data says."""

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


@dataclass(frozen=True, kw_only=True, slots=True)
class CustomFieldsView:
    """The view as SQL names it, and its columns with their types, in order."""

    name: str
    columns: tuple[tuple[str, str], ...]


async def make_custom_fields_view(connection: AsyncConnection, org_id: str) -> CustomFieldsView:
    """Make the view, or again from the fields that are mirrored now; what it held is not lost, it holds nothing.

    Raises `StatementRefused` when another view that needs this one would lose a column it shows.
    """
    name = await connection.scalar(text("SELECT people.make_custom_fields_view(:org_id)"), {"org_id": org_id})
    columns = await connection.execute(
        text(
            """
            SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
            WHERE attrelid = to_regclass(:name) AND attnum > 0 ORDER BY attnum
            """
        ),
        {"name": name},
    )
    return CustomFieldsView(name=name, columns=tuple((column, kind) for column, kind in columns))
