"""Where a merged person went, in the end."""

from alembic import op

revision = "0006"
down_revision = "0005"

MERGED_PERSON = """
    CREATE VIEW people.merged_person AS
    WITH RECURSIVE step AS (
        SELECT org_id, person_to_remove_id AS person_id, person_to_keep_id AS survivor_id, created_at AS merged_at,
               ARRAY[person_to_remove_id] AS way
        FROM people.person_merger
        WHERE _deleted_at IS NULL AND person_to_remove_id IS NOT NULL AND person_to_keep_id IS NOT NULL
        UNION ALL
        SELECT step.org_id, step.person_id, next.person_to_keep_id, step.merged_at, step.way || next.person_to_remove_id
        FROM step
        JOIN people.person_merger AS next ON next.org_id = step.org_id
             AND next.person_to_remove_id = step.survivor_id AND next._deleted_at IS NULL
             AND next.person_to_keep_id IS NOT NULL
        WHERE next.person_to_remove_id <> ALL (step.way))
    SELECT DISTINCT ON (org_id, person_id) org_id, person_id, survivor_id, merged_at
    FROM step
    ORDER BY org_id, person_id, cardinality(way) DESC, merged_at DESC
"""


def upgrade() -> None:
    """Add the view."""
    op.execute(MERGED_PERSON)
    op.execute(
        "COMMENT ON VIEW people.merged_person IS 'Who was merged into whom: the survivor at the end of all merges, and "
        "when the first of them was.'"
    )
