"""What comes with owners that are listed below parents is as current as those lists, which are read by age.

Only a full sync reads all of them, and nights read them by age: such a kind was overdue for ever from the ninth day on.
And it is complete as of what its owners' fan-out proves: not where an owner stands in quarantine, nor later than the
parents were read.
"""

import importlib

from alembic import op

revision = "0028"
down_revision = "0027"

EARLIER = importlib.import_module("pco_store.migrations.versions.0024_table_facts")
BEFORE = importlib.import_module("pco_store.migrations.versions.0027_lists_counted_once").LIVE_FACTS


def replaced(text: str, *pairs: tuple[str, str]) -> str:
    """The text with each second in the place of a first, which must be there once. Raises `ValueError`."""
    for old, new in pairs:
        if text.count(old) != 1:
            raise ValueError(f"{text.count(old)} times: {old}")
        text = text.replace(old, new)
    return text


OF_A_LIST = "(run.read_with IS NULL OR list.state = 'completed')"
COMPLETE_LIST = replaced(
    EARLIER.COMPLETE_LIST, (OF_A_LIST, "(run.read_with IS NULL OR (list.scope = '' AND list.state = 'completed'))")
)

COMPLETE_WITH_FAN_OUT = """
    SELECT member.run_id, least(run.started_at, (
               SELECT min(least(parents.window_until, parents.started_at)) FROM sync.runs AS parents
               WHERE parents.key = ANY(ARRAY(
                   SELECT unnest(ARRAY['sync-entity:' || run.org_id || ':' || above || ':' || run.epoch,
                                       'sync-children:' || run.org_id || ':' || above || ':*:' || run.epoch])
                   FROM jsonb_array_elements_text(run.fan_out -> 'below') AS above)))) AS as_of
    FROM sync.runs AS member JOIN sync.runs AS run ON run.run_id = member.read_with
    WHERE member.org_id = church.org_id AND member.entity = kind.entity AND member.scope = '' AND member.mode = 'full'
      AND member.turn IS NOT NULL AND member.state = 'completed' AND run.scope = '*' AND run.state = 'completed'
      AND member.plan ->> 'dropped' IS NULL AND member.deletions ->> 'verdict' IN ('none', 'confirmed')
      AND (SELECT count(*) FROM sync.runs AS child
           WHERE child.parent_run_id = run.run_id AND child.state NOT IN ('completed', 'absent')) = 0
      AND NOT EXISTS (SELECT FROM sync.quarantine AS item LEFT JOIN sync.runs AS child USING (run_id)
                      WHERE item.org_id = church.org_id AND item.resolved_at IS NULL
                        AND (run.run_id IN (item.run_id, child.parent_run_id)
                             OR member.run_id IN (item.run_id, child.parent_run_id)
                             OR run.fan_out -> 'below' ? item.entity))
    ORDER BY member.turn DESC LIMIT 1
"""

UNDECIDED = replaced(EARLIER.UNDECIDED, ("run.scope = '*'", "run.scope IN ('*', '')"))
"""Of what came with the owners of a night's lists, too."""

LIVE_FACTS = replaced(
    BEFORE,
    (
        f"(({EARLIER.COMPLETE_LIST}) UNION ALL ({EARLIER.COMPLETE_FAN_OUT}))",
        f"(({COMPLETE_LIST}) UNION ALL ({EARLIER.COMPLETE_FAN_OUT}) UNION ALL ({COMPLETE_WITH_FAN_OUT}))",
    ),
    (EARLIER.UNDECIDED, UNDECIDED),
)

OF_LISTS = (
    "list_path", "lists", "lists_never_read", "lists_refused", "oldest_list_at", "first_due_at", "fan_out_at",
    "night_at",
)  # fmt: skip
"""What is known of the lists in which records are read."""

OF_THE_KIND = (
    "org_id", "entity", "run_state", "run_error", "run_at", "full_run_id", "full_at", "complete_run_id",
    "complete_as_of", "undecided_at", "watermark", "quarantined",
)  # fmt: skip

_OWN = ", ".join(f"fact.{one}" for one in OF_THE_KIND)
_OF_LISTS = ", ".join(
    f"CASE WHEN above.entity IS NULL THEN fact.{one} ELSE above.{one} END AS {one}" for one in OF_LISTS
)

ABOVE = f"""    above AS (
        SELECT fact.*, owner.every, owner.late_by FROM fact JOIN sync.kinds AS owner ON owner.entity = fact.entity
        WHERE owner.way = 'below'
          AND owner.entity IN (SELECT one.owner FROM sync.kinds AS one WHERE one.way = 'owner')),
    known AS (
        SELECT {_OWN}, {_OF_LISTS},
               CASE WHEN above.entity IS NULL THEN kind.every ELSE above.every END AS every,
               CASE WHEN above.entity IS NULL THEN kind.late_by ELSE above.late_by END AS may_be_late_by,
               CASE WHEN read.is_distrusted OR above.entity IS NOT NULL THEN 'below' ELSE kind.way END AS way
        FROM fact JOIN sync.kinds AS kind ON kind.entity = fact.entity
        LEFT JOIN sync.list_traits AS traits ON traits.org_id = fact.org_id AND traits.entity = kind.owner
        CROSS JOIN LATERAL (
            SELECT coalesce(kind.paths <> '{{}}' AND CAST(traits.distrusted -> kind.include ->> 'at' AS timestamptz)
                            > now() - interval '30 days', false) AS is_distrusted) AS read
        LEFT JOIN above ON above.org_id = fact.org_id AND above.entity = kind.owner AND kind.way = 'owner'
            AND NOT read.is_distrusted),
"""  # noqa: S608 - own names
"""Unless its include is distrusted: then it is read in lists of its own."""

TRAITS = """        LEFT JOIN sync.list_traits AS traits ON traits.org_id = fact.org_id AND traits.entity = kind.owner
        CROSS JOIN LATERAL (
            SELECT CASE WHEN traits.distrusted IS NOT NULL AND kind.paths <> '{}' AND CAST(
                            traits.distrusted -> kind.include ->> 'at' AS timestamptz) > now() - interval '30 days'
                   THEN 'below' ELSE kind.way END AS way) AS read
"""

JUDGED = (
    replaced(
        EARLIER.FRESHNESS,
        ("    fact AS (\n", "    fact AS NOT MATERIALIZED (\n"),
        ("SELECT fact.*, kind.table_name, read.way, rule.*", "SELECT fact.*, kind.table_name, rule.*"),
        ("FROM fact JOIN sync.kinds AS kind", "FROM known AS fact JOIN sync.kinds AS kind"),
        (TRAITS, ""),
        ("kind.late_by) AS late_by", "fact.may_be_late_by) AS late_by"),
    )
    .replace("read.way", "fact.way")
    .replace("kind.every", "fact.every")
)

FRESHNESS = replaced(JUDGED, ("    judged AS (\n", f"{ABOVE}    judged AS (\n"))

STATEMENTS = (LIVE_FACTS, FRESHNESS, "DELETE FROM sync.kept_churches")


def upgrade() -> None:
    """Two views in place of themselves; what was kept by the old ones is kept again with the next sweep."""
    for statement in STATEMENTS:
        op.get_bind().exec_driver_sql(statement)
