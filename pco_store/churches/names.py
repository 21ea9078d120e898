"""What a church is called by people. Its org_id never changes; this may."""

from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

LONGEST_NAME: Final = 200
NO_DISPLAY_NAME: Final = f"a display name has 1 to {LONGEST_NAME} characters, all of which can be shown"


def is_display_name(name: str) -> bool:
    """Whether people can be shown it in a line."""
    return 0 < len(name) <= LONGEST_NAME and name.isprintable()


async def rename_church(connection: AsyncConnection, org_id: str, display_name: str) -> None:
    """Call it so from now on."""
    await connection.execute(
        text(
            "INSERT INTO sync.churches (org_id, display_name) VALUES (:org_id, :name) "
            "ON CONFLICT (org_id) DO UPDATE SET display_name = excluded.display_name"
        ),
        {"org_id": org_id, "name": display_name},
    )


async def display_names(connection: AsyncConnection) -> dict[str, str]:
    """The names of those that have one, by org_id."""
    found = await connection.execute(
        text("SELECT org_id, display_name FROM sync.churches WHERE display_name IS NOT NULL")
    )
    return {row.org_id: row.display_name for row in found}
