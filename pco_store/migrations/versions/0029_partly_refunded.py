"""Of a donation that was refunded in part, only those designations are refunded that have a refund.

Where a designation had none, all of it counted as refunded as soon as its donation was, although another designation's
refund says which part that was. All of it is so only where no refund of the donation is mirrored.
"""

import importlib

from alembic import op

revision = "0029"
down_revision = "0028"

BEFORE = importlib.import_module("pco_store.migrations.versions.0005_views").BY_FUND_AND_MONTH

KNOWN = """
        LEFT JOIN (
            SELECT DISTINCT part.org_id, part.donation_id
            FROM giving.designation_refund AS refund
            JOIN giving.designation AS part ON part.org_id = refund.org_id AND part.id = refund.designation_id
            WHERE refund._deleted_at IS NULL
        ) AS known ON known.org_id = donation.org_id AND known.donation_id = donation.id
        WHERE designation._deleted_at IS NULL"""

BY_FUND_AND_MONTH = (
    BEFORE.replace("CREATE VIEW", "CREATE OR REPLACE VIEW")
    .replace("giving.by_fund_and_month AS", "giving.by_fund_and_month WITH (security_invoker = true) AS")
    .replace("WHEN donation.refunded THEN", "WHEN donation.refunded AND known.donation_id IS NULL THEN")
    .replace("\n        WHERE designation._deleted_at IS NULL", KNOWN)
)


def upgrade() -> None:
    """A view in place of itself."""
    op.get_bind().exec_driver_sql(BY_FUND_AND_MONTH)
