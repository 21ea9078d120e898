"""Ancestors that only the path of a list names, links to parents that share a record, and what is filled of both.

The columns are those of the catalogue on 2026-11-28. Tables in use have got them already (`pco_store.ahead`).
"""

from alembic import op

from pco_store.ahead import add_columns, lacking_columns

revision = "0009"
down_revision = "0008"

AHEAD = {
    "calendar.event_time": ("event_instance_id",),
    "calendar.required_approval": ("resource_approval_group_id", "resource_id"),
    "calendar.resource": ("resource_folder_id",),
    "calendar.resource_booking": ("event_resource_request_id",),
    "calendar.room_setup": ("resource_id",),
    "calendar.tag": ("tag_group_id",),
    "check_ins.check_in": ("event_id", "station_id", "check_in_group_id"),
    "check_ins.check_in_group": ("station_id",),
    "check_ins.event_label": ("event_id", "label_id"),
    "check_ins.headcount": ("event_id",),
    "check_ins.integration_link": ("event_id", "location_id"),
    "check_ins.location": ("event_id", "location_id"),
    "check_ins.location_event_period": ("event_id", "location_id", "event_period_id"),
    "check_ins.location_event_time": ("event_time_id", "event_id", "location_id"),
    "check_ins.location_label": ("label_id", "event_id", "location_id"),
    "check_ins.pass": ("person_id",),
    "check_ins.person_event": ("event_id", "person_id"),
    "giving.batch": ("person_id",),
    "giving.batch_group": ("person_id",),
    "giving.payment_method": ("person_id",),
    "giving.recurring_donation": ("payment_method_id",),
    "giving.recurring_donation_designation": ("recurring_donation_id",),
    "groups.event": ("group_type_id",),
    "groups.event_note": ("event_id",),
    "groups.resource": ("group_type_id",),
    "people.condition": ("list_id", "rule_id"),
    "people.connected_person": ("person_id",),
    "people.field_datum": ("person_id",),
    "people.field_option": ("tab_id",),
    "people.form_field_option": ("form_id",),
    "people.form_submission_value": ("form_id",),
    "people.list": ("campus_id", "list_category_id"),
    "people.list_share": ("list_id",),
    "people.people_import_conflict": ("people_import_id",),
    "people.people_import_history": ("people_import_id",),
    "people.platform_notification": ("person_id",),
    "people.rule": ("list_id",),
    "people.social_profile": ("person_id",),
    "people.workflow_card_activity": ("person_id",),
    "people.workflow_card_note": ("person_id", "workflow_card_id"),
    "people.workflow_step_assignee_summary": ("workflow_id", "workflow_step_id"),
    "publishing.channel_default_episode_resource": ("channel_id",),
    "publishing.channel_default_time": ("channel_id",),
    "publishing.channel_next_time": ("channel_id",),
    "publishing.episode": ("channel_id",),
    "publishing.episode_resource": ("episode_id",),
    "publishing.episode_statistics": ("channel_id",),
    "publishing.episode_time": ("episode_id",),
    "publishing.speakership": ("episode_id",),
    "registrations.attendee": ("signup_id",),
    "registrations.registration": ("signup_id",),
    "registrations.selection_type": ("signup_id",),
    "registrations.signup_time": ("signup_id",),
    "services.attachment": ("media_id", "service_type_id", "song_id", "plan_id", "arrangement_id", "key_id"),
    "services.attendance": ("service_type_id", "plan_id"),
    "services.blockout_exception": ("person_id",),
    "services.contributor": ("service_type_id",),
    "services.custom_slide": ("service_type_id", "plan_id"),
    "services.email": ("person_id",),
    "services.folder": ("folder_id",),
    "services.item": ("service_type_id", "plan_template_id"),
    "services.item_assignment": ("service_type_id",),
    "services.item_note": ("service_type_id", "plan_id"),
    "services.item_time": ("service_type_id",),
    "services.key": ("song_id",),
    "services.live_controller": ("service_type_id",),
    "services.media_schedule": ("media_id",),
    "services.needed_position": ("service_type_id",),
    "services.person_team_position_assignment": ("team_id",),
    "services.plan_note": ("service_type_id", "plan_id", "plan_template_id"),
    "services.plan_person": ("plan_template_id",),
    "services.plan_person_time": ("service_type_id", "person_id"),
    "services.plan_time": ("service_type_id", "plan_id"),
    "services.scheduling_preference": ("person_id",),
    "services.service_type": ("folder_id",),
    "services.signup_sheet_metadata": ("signup_sheet_id",),
    "services.song_schedule": ("song_id",),
    "services.split_team_rehearsal_assignment": ("service_type_id", "plan_time_id"),
    "services.text_setting": ("person_id",),
    "services.time_preference_option": ("service_type_id",),
    "services.zoom": ("media_id",),
    "webhooks.delivery": ("webhook_subscription_id",),
    "webhooks.event": ("webhook_subscription_id",),
}

STATEMENTS = (
    """
    CREATE TABLE sync.links (
        org_id text NOT NULL,
        entity text NOT NULL,
        parent text NOT NULL,
        list text NOT NULL,
        scope text NOT NULL,
        id text NOT NULL,
        parent_id text GENERATED ALWAYS AS (regexp_replace(scope, '^.*/', '')) STORED NOT NULL,
        seen_at timestamptz NOT NULL,
        unlisted_at timestamptz,
        CONSTRAINT links_pkey PRIMARY KEY (org_id, entity, parent, list, scope, id)
    )
    """,
    "CREATE INDEX links_of_record ON sync.links (org_id, entity, id)",
    """
    CREATE TABLE sync.backfills (
        name text NOT NULL,
        next_run_id bigint NOT NULL,
        completed_at timestamptz,
        CONSTRAINT backfills_pkey PRIMARY KEY (name)
    )
    """,
)


def upgrade() -> None:
    """Extend the mirror; nothing that is there is rewritten, for a column without a default is only declared."""
    for statement in STATEMENTS:
        op.execute(statement)
    for table, columns in lacking_columns(op.get_bind(), AHEAD).items():
        op.execute(add_columns(table, columns))
