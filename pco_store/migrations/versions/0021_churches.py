"""Churches as things, and readers of one church: names, marks of removal, views that run with their reader's rights."""

from alembic import op

revision = "0021"
down_revision = "0019"

CHURCHES = """
    CREATE TABLE sync.churches (
        org_id text NOT NULL,
        display_name text,
        removal_began_at timestamptz,
        removed_at timestamptz,
        CONSTRAINT churches_pkey PRIMARY KEY (org_id)
    )
"""

READERS = """
    CREATE TABLE sync.readers (
        role_name text NOT NULL,
        org_id text NOT NULL,
        made_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT readers_pkey PRIMARY KEY (role_name)
    )
"""

INVOKERS = """
    DO $$
    DECLARE view record;
    BEGIN
        FOR view IN
            SELECT n.nspname, c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
            WHERE c.relkind = 'v' AND (n.nspname, c.relname) IN (
                    ('people', 'custom_fields'), ('people', 'household_members'), ('people', 'merged_person'),
                    ('groups', 'roster'), ('groups', 'attendance_by_event'), ('giving', 'by_fund_and_month'),
                    ('check_ins', 'by_event_and_week'), ('sync', 'fan_outs'), ('sync', 'freshness'),
                    ('sync', 'kinds'))
               OR c.relkind = 'v' AND n.nspname = 'people' AND starts_with(c.relname, 'custom_fields_')
        LOOP
            EXECUTE format('ALTER VIEW %I.%I SET (security_invoker = true)', view.nspname, view.relname);
        END LOOP;
    END $$
"""
"""A view that runs with its owner's rights would show every church to whoever may read it."""

CUSTOM_FIELDS_VIEW_NAME = """
    CREATE FUNCTION people.custom_fields_view_name(org text) RETURNS text
    LANGUAGE sql IMMUTABLE AS $$
        SELECT CASE WHEN octet_length('custom_fields_' || org) <= 63 THEN 'custom_fields_' || org
                    ELSE people.shortened('custom_fields_' || org, 54) || '_' || left(md5(org), 8) END
    $$
"""

MAKE_CUSTOM_FIELDS_VIEW = """
    CREATE OR REPLACE FUNCTION people.make_custom_fields_view(org text) RETURNS text
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
    DECLARE
        view_name text := people.custom_fields_view_name(org);
        fields text;
        made text;
    BEGIN
        PERFORM pg_advisory_xact_lock(hashtextextended(view_name, 0));
        SELECT coalesce(string_agg(format(
            CASE field.data_type
                WHEN 'checkboxes' THEN
                    ', string_agg(datum.value, '', '' ORDER BY length(datum.id), datum.id) '
                    'FILTER (WHERE datum.field_definition_id = %1$L) AS %2$I'
                ELSE
                    ', ' || CASE field.data_type WHEN 'date' THEN 'people.date_of' WHEN 'number' THEN 'people.number_of'
                                                 WHEN 'boolean' THEN 'people.boolean_of' ELSE '' END
                    || '((array_agg(datum.value ORDER BY length(datum.id) DESC, datum.id DESC) '
                    'FILTER (WHERE datum.field_definition_id = %1$L))[1]) AS %2$I'
            END, field.field_definition_id, field.column_name), '' ORDER BY field.place), '')
        INTO fields
        FROM people.custom_field_columns(org)
             WITH ORDINALITY AS field (field_definition_id, column_name, data_type, place);
        made := format(
            'CREATE OR REPLACE VIEW people.%I WITH (security_invoker = true) AS '
            'SELECT person.org_id, person.id AS person_id', view_name
        ) || fields || format(
            ' FROM people.person LEFT JOIN people.field_datum AS datum ON datum.org_id = person.org_id '
            'AND datum.customizable_id = person.id AND datum._deleted_at IS NULL '
            'AND people.is_of_a_person(datum.extra) '
            'WHERE person.org_id = %L AND person._deleted_at IS NULL GROUP BY person.org_id, person.id', org
        );
        BEGIN
            EXECUTE made;
        EXCEPTION WHEN invalid_table_definition THEN
            EXECUTE format('DROP VIEW people.%I', view_name);
            EXECUTE made;
        END;
        EXECUTE format(
            'COMMENT ON VIEW people.%I IS %L', view_name,
            'The custom fields of one church, a typed column each; NULL where a value does not fit. Made by '
            'people.make_custom_fields_view: call it again when fields were added, renamed or removed.'
        );
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'pco_sync_readers') THEN
            EXECUTE format('GRANT SELECT ON people.%I TO pco_sync_readers', view_name);
        END IF;
        RETURN format('people.%I', view_name);
    END
    $$
"""
"""As migration 0005 made it; its name is told to who removes it, and its reader's rights decide."""

STATEMENTS = (CHURCHES, READERS, CUSTOM_FIELDS_VIEW_NAME, MAKE_CUSTOM_FIELDS_VIEW, INVOKERS)


def upgrade() -> None:
    """Two tables, and a property of views: no row is touched."""
    for statement in STATEMENTS:
        op.get_bind().exec_driver_sql(statement)
