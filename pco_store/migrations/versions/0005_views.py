"""Views for those who write SQL, and what they need: the parents that PCO does not name, and indexes."""

from alembic import op

revision = "0005"
down_revision = "0004"

PARENTS = {
    "giving.designation": "donation_id",
    "giving.designation_refund": "donation_id",
    "people.household_membership": "household_id",
}
"""Known from the path of the list only. What was mirrored before is written again by the next fan-out."""

INDEXES = {
    "check_ins.check_in": "event_period_id",
    "giving.designation": "donation_id",
    "groups.attendance": "event_id",
    "groups.membership": "group_id",
    "people.field_datum": "customizable_id",
    "people.household_membership": "household_id",
}

CURRENCY_UNITS = """
    CREATE FUNCTION giving.currency_units(cents numeric, currency text) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
        SELECT cents * CASE
            WHEN upper(currency) IN (
                'BIF', 'CLP', 'DJF', 'GNF', 'ISK', 'JPY', 'KMF', 'KRW', 'PYG', 'RWF', 'UGX', 'UYI', 'VND', 'VUV',
                'XAF', 'XOF', 'XPF'
            ) THEN 1
            WHEN upper(currency) IN ('BHD', 'IQD', 'JOD', 'KWD', 'LYD', 'OMR', 'TND') THEN 0.001
            WHEN upper(currency) IN ('CLF', 'UYW') THEN 0.0001
            ELSE 0.01
        END
    $$
"""
"""PCO's documentation calls `amount_cents` "the number of cents" and says no more; it offers new churches USD and CAD
only, older ones have kept others. Where a currency has no cents, or more of them, we read its minor units of ISO 4217,
as payment processors do; that was not seen live.
"""

BY_FUND_AND_MONTH = """
    CREATE VIEW giving.by_fund_and_month AS
    SELECT org_id, fund_id, fund_name, month, currency, donations,
           giving.currency_units(given_cents, currency) AS given,
           giving.currency_units(refunded_cents, currency) AS refunded,
           giving.currency_units(given_cents - refunded_cents, currency) AS net
    FROM (
        SELECT designation.org_id, designation.fund_id, fund.name AS fund_name,
               date_trunc('month', donation.received_at AT TIME ZONE 'UTC')::date AS month,
               coalesce(designation.amount_currency, donation.amount_currency) AS currency,
               count(DISTINCT donation.id) AS donations,
               sum(designation.amount_cents) AS given_cents,
               sum(coalesce(refund.cents, CASE WHEN donation.refunded THEN designation.amount_cents ELSE 0 END))
                   AS refunded_cents
        FROM giving.designation
        JOIN giving.donation ON donation.org_id = designation.org_id AND donation.id = designation.donation_id
             AND donation._deleted_at IS NULL
        LEFT JOIN giving.fund ON fund.org_id = designation.org_id AND fund.id = designation.fund_id
             AND fund._deleted_at IS NULL
        LEFT JOIN (
            SELECT org_id, designation_id, sum(abs(amount_cents)) AS cents
            FROM giving.designation_refund WHERE _deleted_at IS NULL GROUP BY org_id, designation_id
        ) AS refund ON refund.org_id = designation.org_id AND refund.designation_id = designation.id
        WHERE designation._deleted_at IS NULL AND donation.payment_status = 'succeeded'
        GROUP BY 1, 2, 3, 4, 5
    ) AS total
"""

HOUSEHOLD_MEMBERS = """
    CREATE VIEW people.household_members AS
    SELECT household.org_id, household.id AS household_id, household.name AS household_name, person.id AS person_id,
           person.first_name, person.last_name, person.birthdate, person.child,
           person.id = household.primary_contact_id AS is_primary_contact, membership.household_role
    FROM people.household
    CROSS JOIN LATERAL jsonb_path_query(household.extra, '$._relationships.people.data[*].id') AS member (id)
    JOIN people.person ON person.org_id = household.org_id AND person.id = member.id #>> '{}'
         AND person._deleted_at IS NULL
    LEFT JOIN people.household_membership AS membership
         ON membership.org_id = household.org_id AND membership.household_id = household.id
         AND membership.person_id = person.id AND membership._deleted_at IS NULL
    WHERE household._deleted_at IS NULL
"""

ROSTER = """
    CREATE VIEW groups.roster AS
    SELECT membership.org_id, "group".id AS group_id, "group".name AS group_name, person.id AS person_id,
           person.first_name, person.last_name, membership.role, membership.joined_at
    FROM groups.membership
    JOIN groups."group" ON "group".org_id = membership.org_id AND "group".id = membership.group_id
         AND "group"._deleted_at IS NULL
    JOIN groups.person ON person.org_id = membership.org_id AND person.id = membership.person_id
         AND person._deleted_at IS NULL
    WHERE membership._deleted_at IS NULL
"""

ATTENDANCE_BY_EVENT = """
    CREATE VIEW groups.attendance_by_event AS
    SELECT event.org_id, "group".id AS group_id, "group".name AS group_name, event.id AS event_id,
           event.name AS event_name, event.starts_at,
           count(*) FILTER (WHERE attendance.attended) AS attended,
           count(*) FILTER (WHERE attendance.attended IS NOT TRUE) AS absent
    FROM groups.attendance
    JOIN groups.event ON event.org_id = attendance.org_id AND event.id = attendance.event_id
         AND event._deleted_at IS NULL
    JOIN groups."group" ON "group".org_id = event.org_id AND "group".id = event.group_id
         AND "group"._deleted_at IS NULL
    WHERE attendance._deleted_at IS NULL
    GROUP BY event.org_id, event.id, "group".org_id, "group".id
"""

BY_EVENT_AND_WEEK = """
    CREATE VIEW check_ins.by_event_and_week AS
    SELECT check_in.org_id, event.id AS event_id, event.name AS event_name,
           date_trunc('week', event_period.starts_at AT TIME ZONE 'UTC')::date AS week,
           count(*) AS check_ins, count(DISTINCT check_in.person_id) AS people,
           count(*) FILTER (WHERE check_in.kind = 'Regular') AS regulars,
           count(*) FILTER (WHERE check_in.kind = 'Guest') AS guests,
           count(*) FILTER (WHERE check_in.kind = 'Volunteer') AS volunteers
    FROM check_ins.check_in
    JOIN check_ins.event_period ON event_period.org_id = check_in.org_id
         AND event_period.id = check_in.event_period_id AND event_period._deleted_at IS NULL
    JOIN check_ins.event ON event.org_id = event_period.org_id AND event.id = event_period.event_id
         AND event._deleted_at IS NULL
    WHERE check_in._deleted_at IS NULL
    GROUP BY check_in.org_id, event.org_id, event.id, week
"""

SHORTENED = """
    CREATE FUNCTION people.shortened(name text, most_bytes integer) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
        SELECT left(name, characters) FROM generate_series(0, least(length(name), most_bytes)) AS characters
        WHERE octet_length(left(name, characters)) <= most_bytes
        ORDER BY characters DESC LIMIT 1
    $$
"""

NUMBER_OF = """
    CREATE FUNCTION people.number_of(value text) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
        SELECT CASE WHEN btrim(value, E' \\t\\r\\n') ~ '^[+-]?[0-9]{1,100}([.][0-9]{1,100})?$'
                    THEN btrim(value, E' \\t\\r\\n')::numeric END
    $$
"""

BOOLEAN_OF = """
    CREATE FUNCTION people.boolean_of(value text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
        SELECT CASE WHEN lower(btrim(value, E' \\t\\r\\n')) IN ('true', 't', 'yes', '1') THEN true
                    WHEN lower(btrim(value, E' \\t\\r\\n')) IN ('false', 'f', 'no', '0') THEN false END
    $$
"""

DAY_OF = """
    CREATE FUNCTION people.day_of(year integer, month integer, day integer) RETURNS date
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
        SELECT CASE WHEN year BETWEEN 1 AND 9999 AND month BETWEEN 1 AND 12 THEN
            CASE WHEN day BETWEEN 1 AND extract(day FROM make_date(year, month, 1) + interval '1 month - 1 day')
                 THEN make_date(year, month, day) END
        END
    $$
"""

DATE_OF = """
    CREATE FUNCTION people.date_of(value text) RETURNS date
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
        SELECT CASE
            WHEN told ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}($|[T ])'
            THEN people.day_of(left(told, 4)::integer, substr(told, 6, 2)::integer, substr(told, 9, 2)::integer)
            WHEN told ~ '^[0-9]{1,2}/[0-9]{1,2}/[0-9]{4}$'
            THEN people.day_of(
                split_part(told, '/', 3)::integer, split_part(told, '/', 1)::integer, split_part(told, '/', 2)::integer
            )
        END
        FROM btrim(value, E' \\t\\r\\n') AS told
    $$
"""
"""2026-11-25, and 11/25/2026 as clients write it (#228). PCO does not document how it renders dates."""

CUSTOM_FIELD_COLUMNS = """
    CREATE FUNCTION people.custom_field_columns(org text)
    RETURNS TABLE (field_definition_id text, column_name text, data_type text)
    LANGUAGE plpgsql STABLE AS $$
    DECLARE
        field record;
        plain text;
        suffix text;
        clashes integer;
        taken text[] := ARRAY['org_id', 'person_id'];
    BEGIN
        FOR field IN
            SELECT one.id, one.slug, one.name, one.data_type FROM people.field_definition AS one
            WHERE one.org_id = org AND one._deleted_at IS NULL AND one.deleted_at IS NULL
            ORDER BY length(one.id), one.id
        LOOP
            plain := coalesce(nullif(btrim(field.slug), ''), nullif(btrim(field.name), ''), 'field');
            column_name := people.shortened(plain, 63);
            clashes := 1;
            WHILE column_name = ANY (taken) LOOP
                clashes := clashes + 1;
                suffix := '_' || clashes;
                column_name := people.shortened(plain, 63 - octet_length(suffix)) || suffix;
            END LOOP;
            taken := taken || column_name;
            field_definition_id := field.id;
            data_type := field.data_type;
            RETURN NEXT;
        END LOOP;
    END
    $$
"""

IS_OF_A_PERSON = """
    CREATE FUNCTION people.is_of_a_person(extra jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
        SELECT coalesce(extra #>> '{_relationships,customizable,data,type}', 'Person') = 'Person'
    $$
"""
"""The type of `customizable` is kept beside its id, for it is not the one that PCO documents (#1290)."""

CUSTOM_FIELDS = """
    CREATE VIEW people.custom_fields AS
    SELECT person.org_id, person.id AS person_id, coalesce(told.fields, '{}'::jsonb) AS fields
    FROM people.person
    LEFT JOIN (
        SELECT org_id, person_id, jsonb_object_agg(column_name, value) AS fields
        FROM (
            SELECT datum.org_id, datum.customizable_id AS person_id, field.column_name,
                   CASE WHEN field.data_type = 'checkboxes' OR count(*) > 1
                        THEN jsonb_agg(datum.value ORDER BY length(datum.id), datum.id)
                        ELSE to_jsonb(min(datum.value)) END AS value
            FROM people.field_datum AS datum
            JOIN (
                SELECT org.org_id, field.* FROM (SELECT DISTINCT org_id FROM people.field_definition) AS org
                CROSS JOIN LATERAL people.custom_field_columns(org.org_id) AS field
            ) AS field ON field.org_id = datum.org_id AND field.field_definition_id = datum.field_definition_id
            WHERE datum._deleted_at IS NULL AND people.is_of_a_person(datum.extra)
            GROUP BY 1, 2, 3, field.data_type
        ) AS one
        GROUP BY org_id, person_id
    ) AS told ON told.org_id = person.org_id AND told.person_id = person.id
    WHERE person._deleted_at IS NULL
"""

MAKE_CUSTOM_FIELDS_VIEW = """
    CREATE FUNCTION people.make_custom_fields_view(org text) RETURNS text
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
    DECLARE
        view_name text := 'custom_fields_' || org;
        fields text;
        made text;
    BEGIN
        IF octet_length(view_name) > 63 THEN
            view_name := people.shortened(view_name, 54) || '_' || left(md5(org), 8);
        END IF;
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
            'CREATE OR REPLACE VIEW people.%I AS SELECT person.org_id, person.id AS person_id', view_name
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
        RETURN format('people.%I', view_name);
    END
    $$
"""
"""Names and values come from the church's data: they enter the statement through %I and %L only."""

COMMENTS = {
    "VIEW people.custom_fields": "A row per person; `fields` holds custom fields by slug, checkboxes as arrays. Values "
    "are text, as Planning Center sends them.",
    "VIEW people.household_members": "A row per household and member. `household_role` needs "
    "people.HouseholdMembership, which is listed per household.",
    "VIEW groups.roster": "A row per group and member, with the role.",
    "VIEW groups.attendance_by_event": "A row per event of a group whose attendance was taken: who came, who did not.",
    "VIEW giving.by_fund_and_month": "What was given by fund, month (UTC, by received_at) and currency, in the "
    "currency''s units. Succeeded payments only; a fund that was deleted has no name.",
    "VIEW check_ins.by_event_and_week": "Check-ins by event and week (UTC, from Monday on, by the beginning of the "
    "event period).",
    "FUNCTION people.custom_field_columns(text)": "The live custom fields of a church and the column names they get: "
    "the slug, else the name; cut to 63 bytes, with a suffix where it is taken.",
    "FUNCTION people.make_custom_fields_view(text)": "Makes the view of a church''s custom fields anew; returns "
    "its name.",
    "FUNCTION giving.currency_units(numeric, text)": "An amount in a currency''s units, of its minor units.",
}

STATEMENTS = (
    *(f"ALTER TABLE {table} ADD COLUMN {column} text" for table, column in PARENTS.items()),
    *(f"UPDATE {table} SET _content_hash = ''" for table in PARENTS),  # noqa: S608 - names from above
    *(
        f"CREATE INDEX {table.partition('.')[2]}_{column} ON {table} (org_id, {column})"
        for table, column in INDEXES.items()
    ),
    SHORTENED,
    NUMBER_OF,
    BOOLEAN_OF,
    DAY_OF,
    DATE_OF,
    IS_OF_A_PERSON,
    CUSTOM_FIELD_COLUMNS,
    CUSTOM_FIELDS,
    MAKE_CUSTOM_FIELDS_VIEW,
    HOUSEHOLD_MEMBERS,
    ROSTER,
    ATTENDANCE_BY_EVENT,
    CURRENCY_UNITS,
    BY_FUND_AND_MONTH,
    BY_EVENT_AND_WEEK,
    *(f"COMMENT ON {what} IS '{words}'" for what, words in COMMENTS.items()),
)


def upgrade() -> None:
    """Add the views; nothing but the records whose parent was not known is ever written again."""
    for statement in STATEMENTS:
        op.get_bind().exec_driver_sql(statement)
