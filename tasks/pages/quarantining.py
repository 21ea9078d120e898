"""What a page shows and cannot be stored, as it goes into quarantine."""

from datetime import datetime

from pco_store.ledger.quarantine.items import Quarantined
from pco_store.ledger.runs import RunHandle
from tasks.pages.page_ref import PageRef
from tasks.rows.transform import Rejected


def as_quarantined(
    rejected: Rejected,
    *,
    run: RunHandle,
    entity: str,
    page: PageRef,
    offset: int,
    observed_at: datetime,
    owner: str | None = None,
) -> Quarantined:
    """A record that was rejected, quarantined by `run`; what came with another record names its `owner`.

    `entity` is what the record is: a fan-out reads parents, which are of another kind than its run.
    """
    return Quarantined(
        org_id=run.org_id,
        entity=entity,
        run_id=run.run_id,
        reading=page.reading,
        offset=offset,
        record_id=rejected.record_id,
        reason=rejected.reason,
        raw=rejected.raw,
        observed_at=observed_at,
        part=page.part,
        owner=owner,
    )
