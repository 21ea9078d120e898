"""The columns of the view of a church's custom fields have comments, too.

Who may log in can read all comments of a database, so they name fields by their ids and not in a church's own words.
"""

import importlib

from alembic import op

revision = "0026"
down_revision = "0025"

BEFORE = importlib.import_module("pco_store.migrations.versions.0021_churches").MAKE_CUSTOM_FIELDS_VIEW
READERS = "        IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'pco_sync_readers') THEN\n"
WORDS = """
        EXECUTE (
            SELECT string_agg(format('COMMENT ON COLUMN people.%I.%I IS %L', view_name, one.name, one.words), '; ')
            FROM (VALUES ('org_id', 'The church, by its name in pco-sync.'),
                         ('person_id', 'The person: id in people.person.')
                  UNION ALL
                  SELECT field.column_name, format(
                      'Custom field: what the person has for the id %s of people.field_definition%s.',
                      field.field_definition_id, CASE
                          WHEN field.data_type = 'checkboxes' THEN '; several with commas between them'
                          WHEN field.data_type IN ('date', 'number', 'boolean')
                              THEN ', as ' || field.data_type || '; NULL where that does not fit' ELSE '' END)
                  FROM people.custom_field_columns(org) AS field) AS one (name, words));
"""

STATEMENTS = (BEFORE.replace(READERS, WORDS + READERS),)


def upgrade() -> None:
    """A function in place of itself; views that are there get comments when they are made again."""
    for statement in STATEMENTS:
        op.get_bind().exec_driver_sql(statement)
