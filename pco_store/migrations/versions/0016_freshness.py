"""How current each table of each church is, as a view; what the catalogue has to tell it; and rules of one's own.

The view is made from indexes that were there: for each church and kind it looks at the newest turns, and no further.
"""

from alembic import op

revision = "0016"
down_revision = "0015"

KINDS = """
    CREATE VIEW sync.kinds AS
    SELECT NULL::text AS entity, NULL::text AS table_name, NULL::text AS way, NULL::text AS owner,
           NULL::text AS include, NULL::jsonb AS chains, NULL::text[] AS paths, NULL::interval AS every,
           NULL::interval AS changes_within, NULL::interval AS complete_within, NULL::interval AS late_by
    WHERE false
"""
"""Filled from the catalogue by `migrate` (`pco_store.freshness.kinds`)."""

RULES = """
    CREATE TABLE sync.freshness_rules (
        org_id text NOT NULL,
        kinds text NOT NULL,
        changes_within interval,
        complete_within interval,
        late_by interval,
        CONSTRAINT freshness_rules_pkey PRIMARY KEY (org_id, kinds)
    )
"""

ANNOUNCED = """
    CREATE TABLE sync.announced (
        org_id text NOT NULL,
        freshness text NOT NULL,
        since timestamptz NOT NULL,
        announced_at timestamptz NOT NULL,
        CONSTRAINT announced_pkey PRIMARY KEY (org_id)
    )
"""

NEWEST = """
    SELECT run.run_id, run.error, run.mode, run.started_at, run.fan_out, run.plan ->> 'dropped' AS dropped,
           coalesce((SELECT list.state FROM sync.runs AS list WHERE list.run_id = run.read_with
                     AND run.state = 'running'), run.state) AS state
    FROM sync.runs AS run
    WHERE run.org_id = church.org_id AND run.entity = kind.entity AND run.scope = '{scope}' AND run.state <> 'closed'
    ORDER BY run.turn DESC LIMIT 1
"""
"""What is read with a list is as far as the list's run is."""

NEWEST_FULL = """
    SELECT run.run_id, run.started_at FROM sync.runs AS run
    WHERE run.org_id = church.org_id AND run.entity = kind.entity AND run.scope = '{scope}' AND run.mode = 'full'
      AND (run.state = 'completed' OR (run.state = 'failed' AND run.plan ->> 'dropped' IS NOT NULL))
      AND (run.fan_out IS NULL OR kind.chains @> jsonb_build_array(run.fan_out -> 'below'))
    ORDER BY run.turn DESC LIMIT 1
"""

COMPLETE_LIST = """
    SELECT run.run_id, least(coalesce(list.window_until, run.window_until), run.started_at) AS as_of
    FROM sync.runs AS run LEFT JOIN sync.runs AS list ON list.run_id = run.read_with
    WHERE run.org_id = church.org_id AND run.entity = kind.entity AND run.scope = '' AND run.mode = 'full'
      AND run.state = 'completed' AND (run.read_with IS NULL OR list.state = 'completed')
      AND run.plan ->> 'dropped' IS NULL AND run.deletions ->> 'verdict' IN ('none', 'confirmed')
      AND NOT EXISTS (SELECT FROM sync.quarantine AS item
                      WHERE item.org_id = church.org_id AND item.resolved_at IS NULL
                        AND item.run_id IN (run.run_id, run.read_with))
    ORDER BY run.turn DESC LIMIT 1
"""

COMPLETE_FAN_OUT = """
    SELECT run.run_id, least(run.started_at, (
               SELECT min(least(parents.window_until, parents.started_at)) FROM sync.runs AS parents
               WHERE parents.key = ANY(ARRAY(
                   SELECT unnest(ARRAY['sync-entity:' || run.org_id || ':' || above || ':' || run.epoch,
                                       'sync-children:' || run.org_id || ':' || above || ':*:' || run.epoch])
                   FROM jsonb_array_elements_text(run.fan_out -> 'below') AS above)))) AS as_of
    FROM sync.runs AS run
    WHERE run.org_id = church.org_id AND run.entity = kind.entity AND run.scope = '*' AND run.mode = 'full'
      AND run.state = 'completed' AND run.deletions ->> 'verdict' IN ('none', 'confirmed')
      AND kind.chains @> jsonb_build_array(run.fan_out -> 'below')
      AND (SELECT count(*) FROM sync.runs AS child
           WHERE child.parent_run_id = run.run_id AND child.state NOT IN ('completed', 'absent')) = 0
      AND NOT EXISTS (SELECT FROM sync.quarantine AS item LEFT JOIN sync.runs AS child USING (run_id)
                      WHERE item.org_id = church.org_id AND item.resolved_at IS NULL
                        AND (run.run_id IN (item.run_id, child.parent_run_id)
                             OR run.fan_out -> 'below' ? item.entity))
    ORDER BY run.turn DESC LIMIT 1
"""
"""Parents that were taken from the mirror are known as of their own reading, in the same epoch.

The children are counted: of an EXISTS Postgres makes a join, for which it reads the whole ledger.
"""

UNDECIDED = """
    SELECT 1 AS found FROM sync.runs AS run
    WHERE run.org_id = church.org_id AND run.entity = kind.entity AND run.scope = '*' AND run.mode = 'due'
      AND run.state = 'completed' AND run.started_at > now() - kind.every
      AND coalesce(run.deletions ->> 'verdict', 'requested') NOT IN ('none', 'confirmed')
    LIMIT 1
"""
"""A night after which records are missing and were not marked as deleted, until their lists were read again."""

LISTS = """
    SELECT count(*) AS lists, count(*) FILTER (WHERE last_read_at IS NULL) AS never_read,
           count(*) FILTER (WHERE due_at <= now()) AS due, count(*) FILTER (WHERE is_refused) AS refused,
           min(last_read_at) AS oldest, min(due_at) AS first_due
    FROM sync.lists AS list
    WHERE list.org_id = church.org_id AND list.path = ANY(kind.paths)
      AND read.way = 'below'
    GROUP BY list.path ORDER BY max(last_read_at) DESC NULLS LAST LIMIT 1
"""
"""Of several ways to the same records, the one that was read last."""

NIGHT = """
    SELECT run.started_at FROM sync.runs AS run
    WHERE run.org_id = church.org_id AND run.entity = 'organization' AND run.scope = '' AND run.state <> 'closed'
      AND (run.parts ? 'due' OR (run.mode = 'full' AND run.state = 'completed'))
    ORDER BY run.turn DESC LIMIT 1
"""
"""When somebody last looked which lists there are."""

OWN_FAN_OUT = """
    SELECT run.started_at FROM sync.runs AS run
    WHERE run.org_id = church.org_id AND run.entity = kind.entity AND run.scope = '*' AND run.state = 'completed'
      AND kind.chains @> jsonb_build_array(run.fan_out -> 'below')
    ORDER BY run.turn DESC LIMIT 1
"""

RULE = """
    SELECT coalesce((array_agg(changes_within ORDER BY place) FILTER (WHERE changes_within IS NOT NULL))[1],
                    kind.changes_within) AS changes_within,
           coalesce((array_agg(complete_within ORDER BY place) FILTER (WHERE complete_within IS NOT NULL))[1],
                    CASE WHEN read.way <> 'below' THEN kind.complete_within END) AS complete_within,
           coalesce((array_agg(late_by ORDER BY place) FILTER (WHERE late_by IS NOT NULL))[1], kind.late_by) AS late_by
    FROM (SELECT own.*, array_position(ARRAY[kind.entity, read.way, '*'], own.kinds)
                        + CASE own.org_id WHEN '*' THEN 3 ELSE 0 END AS place
          FROM sync.freshness_rules AS own
          WHERE own.org_id IN (church.org_id, '*') AND own.kinds IN (kind.entity, read.way, '*')) AS own
"""

FRESHNESS = f"""
    CREATE VIEW sync.freshness AS
    WITH RECURSIVE church AS (
        (SELECT org_id FROM sync.runs ORDER BY org_id LIMIT 1)
        UNION ALL
        SELECT (SELECT run.org_id FROM sync.runs AS run WHERE run.org_id > church.org_id ORDER BY run.org_id LIMIT 1)
        FROM church WHERE church.org_id IS NOT NULL),
    fact AS (
        SELECT church.org_id, kind.entity, kind.table_name, read.way, complete.as_of AS complete_as_of,
               CASE read.way
                   WHEN 'owner' THEN complete.as_of
                   WHEN 'below' THEN CASE WHEN list.never_read + list.refused = 0 THEN list.oldest END
                   ELSE (SELECT watermark FROM sync.watermarks AS known
                         WHERE known.org_id = church.org_id AND known.entity = kind.entity AND known.scope = '')
               END AS changes_seen_until,
               list.lists, list.never_read, list.due, list.refused, list.oldest, list.first_due,
               rule.changes_within, rule.complete_within, rule.late_by, kind.every,
               greatest(night.started_at, own.started_at) AS looked_at, own.started_at IS NOT NULL AS has_fan_out,
               newest.run_id IS NOT NULL OR list.lists > 0 AS is_begun,
               newest.state, newest.started_at,
               newest_full.run_id > coalesce(complete.run_id, 0) AND NOT coalesce(
                   list.never_read + list.refused = 0 AND list.oldest > newest_full.started_at, false)
                   AS is_full_incomplete,
               undecided.found IS NOT NULL AS is_undecided,
               (SELECT count(*) FROM sync.quarantine AS item
                WHERE item.org_id = church.org_id AND item.entity = kind.entity AND item.resolved_at IS NULL)
                   AS quarantined,
               coalesce(newest.dropped, newest.error, CASE WHEN newest.fan_out IS NOT NULL THEN (
                   SELECT min(child.error) FROM sync.runs AS child
                   WHERE child.parent_run_id = newest.run_id AND child.state IN ('dead', 'forbidden')) END) AS error
        FROM church CROSS JOIN sync.kinds AS kind
        LEFT JOIN LATERAL (
            SELECT CAST(known.distrusted -> kind.include ->> 'at' AS timestamptz) > now() - interval '30 days'
                       AS is_distrusted
            FROM sync.list_traits AS known
            WHERE known.org_id = church.org_id AND known.entity = kind.owner) AS traits ON kind.owner IS NOT NULL
        CROSS JOIN LATERAL (
            SELECT CASE WHEN traits.is_distrusted AND kind.paths <> '{{}}' THEN 'below' ELSE kind.way END AS way
            ) AS read
        CROSS JOIN LATERAL ({RULE}) AS rule
        LEFT JOIN LATERAL ({LISTS}) AS list ON kind.paths <> '{{}}'
        LEFT JOIN LATERAL (
            SELECT * FROM (({NEWEST.format(scope="")}) UNION ALL ({NEWEST.format(scope="*")})) AS one
            ORDER BY run_id DESC LIMIT 1) AS newest ON true
        LEFT JOIN LATERAL (
            SELECT * FROM (({NEWEST_FULL.format(scope="")}) UNION ALL ({NEWEST_FULL.format(scope="*")})) AS one
            ORDER BY run_id DESC LIMIT 1) AS newest_full ON true
        LEFT JOIN LATERAL (
            SELECT max(run_id) AS run_id, max(as_of) AS as_of
            FROM (({COMPLETE_LIST}) UNION ALL ({COMPLETE_FAN_OUT})) AS one) AS complete ON true
        LEFT JOIN LATERAL ({UNDECIDED}) AS undecided ON kind.paths <> '{{}}'
        LEFT JOIN LATERAL ({NIGHT}) AS night ON read.way = 'below'
        LEFT JOIN LATERAL ({OWN_FAN_OUT}) AS own ON kind.paths <> '{{}}'
        WHERE church.org_id IS NOT NULL),
    judged AS (
        SELECT fact.*,
               coalesce(quarantined > 0 OR refused > 0 OR is_full_incomplete OR is_undecided, false) AS is_lacking,
               CASE WHEN NOT coalesce(is_begun, false) THEN NULL ELSE concat_ws('; ',
                   CASE WHEN way <> 'below' AND complete_as_of IS NULL
                       THEN 'it was never read completely' END,
                   CASE WHEN complete_as_of < now() - complete_within
                       THEN 'it was last complete ' || date_trunc('second', complete_as_of) END,
                   CASE WHEN way IN ('delta', 'full') AND changes_seen_until IS NULL
                       THEN 'changes were never seen' END,
                   CASE WHEN changes_seen_until < now() - changes_within
                       THEN 'changes were last seen ' || date_trunc('second', changes_seen_until) END,
                   CASE WHEN greatest(complete_as_of, changes_seen_until) > now() + interval '1 hour'
                       THEN 'what is known of it lies in the future: a clock was wrong' END,
                   CASE WHEN first_due < now() - late_by
                       THEN due || ' of ' || lists || ' lists are due, one since '
                            || date_trunc('second', first_due) END,
                   CASE WHEN way = 'below' AND coalesce(lists, 0) = 0 AND complete_as_of IS NULL AND NOT has_fan_out
                       THEN 'none of its lists was read' END,
                   CASE WHEN way = 'below' AND coalesce(looked_at < now() - every - late_by, lists > 0)
                       THEN 'nobody has looked for new lists since '
                            || coalesce(date_trunc('second', looked_at)::text, 'ever') END)
               END AS because
        FROM fact)
    SELECT org_id, entity, table_name, way, complete_as_of, changes_seen_until, lists, never_read AS lists_never_read,
           refused AS lists_refused, due AS lists_due, first_due AS next_list_due_at, oldest AS oldest_list_read_at,
           quarantined,
           CASE WHEN because IS NULL THEN 'never_read' WHEN because <> '' THEN 'overdue'
                WHEN is_lacking THEN 'incomplete' ELSE 'current' END AS freshness,
           because <> '' AS is_overdue, nullif(because, '') AS overdue_because,
           CASE WHEN because IS NULL OR state IS NULL THEN 'never_read'
                WHEN state = 'awaiting' THEN 'running'
                WHEN state <> 'completed' THEN state
                WHEN is_lacking THEN 'incomplete' ELSE 'complete' END AS last_verdict,
           error AS last_error, started_at AS last_run_at,
           changes_within, complete_within, late_by
    FROM judged
"""  # noqa: S608 - own constants

COMMENTS = {
    "VIEW sync.freshness": "How current each table of each church is; NULL where nobody knows. docs/freshness.md",
    "VIEW sync.kinds": "The kinds of records that are mirrored, from the catalogue",
}

STATEMENTS = (
    "ALTER TABLE sync.lists ADD COLUMN is_refused boolean NOT NULL DEFAULT false",
    KINDS,
    RULES,
    ANNOUNCED,
    FRESHNESS,
    *(f"COMMENT ON {what} IS '{words}'" for what, words in COMMENTS.items()),
)


def upgrade() -> None:
    """A column with a constant default, two tables and two views: nothing is rewritten, and nobody waits."""
    for statement in STATEMENTS:
        op.get_bind().exec_driver_sql(statement)
