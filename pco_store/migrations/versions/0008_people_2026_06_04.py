"""People as of API version 2026-06-04: field data have times, and a file is an object. And what recordings corrected.

No table is rewritten: a column whose type was wrong is dropped, and one of its name added; both take an instant. What
it held is kept in `extra` first, from where `reproject` brings it to the new column. There is one exception: where more
than 1,000 field data have a `file`, only tombstones keep its text, because a table of millions is not to be rewritten.
PCO renders every field datum in another way from this version on, so the next full read writes each of them again.
Until then a delta would leave them as they are: their watermark is deleted, so that a full read comes first.

A view of somebody's own that needs a dropped column keeps it, renamed.
"""

from alembic import op

revision = "0008"
down_revision = "0007"

KEPT = """
    CREATE TEMP TABLE kept ON COMMIT DROP AS
    SELECT org_id, id FROM people.field_datum
    WHERE file IS NOT NULL AND (
        _deleted_at IS NOT NULL
        OR (SELECT count(*) FROM (SELECT FROM people.field_datum WHERE file IS NOT NULL LIMIT 1001) AS few) <= 1000)
"""
"""Found before anything is locked: it takes a look at every row."""
LOCKED = ("people.campus", "services.folder", "people.field_datum")
"""Before their rows: a writer that waits for a row has its table in use. The one that is written to most comes last."""
KEEP = (
    """
    UPDATE people.field_datum AS stored SET extra = extra || jsonb_build_object('file', file)
    FROM kept WHERE stored.org_id = kept.org_id AND stored.id = kept.id
    """,
    "UPDATE people.campus SET extra = extra || jsonb_build_object('latitude', latitude) WHERE latitude IS NOT NULL",
    "UPDATE people.campus SET extra = extra || jsonb_build_object('longitude', longitude) WHERE longitude IS NOT NULL",
    """
    UPDATE services.folder SET extra = jsonb_set(
        extra || jsonb_build_object('_relationships', coalesce(extra -> '_relationships', '{}')),
        '{_relationships,ancestors}',
        jsonb_build_object('data', jsonb_build_object('type', 'Folder', 'id', ancestors_id)))
    WHERE ancestors_id IS NOT NULL
    """,
    "DELETE FROM sync.watermarks WHERE entity = 'people.FieldDatum'",
)
DROPPED = (
    ("people.field_datum", "file"),
    ("people.campus", "latitude"),
    ("people.campus", "longitude"),
    ("services.folder", "ancestors_id"),
)
ADDED = (
    "ALTER TABLE people.field_datum "
    "ADD COLUMN file jsonb, ADD COLUMN created_at timestamptz, ADD COLUMN updated_at timestamptz",
    "ALTER TABLE people.campus ADD COLUMN latitude text, ADD COLUMN longitude text",
)


def upgrade() -> None:
    """Keep what the columns hold, then change them."""
    op.execute(KEPT)
    for kind in ("hash", "merge"):  # by the key of each: Postgres takes a look at every row to be cheaper
        op.execute(f"SET LOCAL enable_{kind}join = off")
    for table in LOCKED:
        op.execute(f"LOCK {table} IN ACCESS EXCLUSIVE MODE")
    for statement in KEEP:
        op.execute(statement)
    for table, column in DROPPED:
        op.execute(
            f"""
            DO $$ BEGIN
                ALTER TABLE {table} DROP COLUMN {column};
            EXCEPTION WHEN dependent_objects_still_exist THEN
                ALTER TABLE {table} RENAME COLUMN {column} TO _{column}_before_0008;
            END $$
            """
        )
    for statement in ADDED:
        op.execute(statement)
