"""Removes what is over from the ledger, and says what that was."""

from pydantic import BaseModel, ConfigDict

from pco_store.retention.removing import remove_what_is_over
from tasks.lifespan import Resources
from tasks.logs import sync_logger


class Removal(BaseModel):
    """How many rows were removed. `turns` is None while `make migrate` is still to fill columns from old turns."""

    model_config = ConfigDict(frozen=True)

    turns: int | None
    children: int
    proofs: int
    resolved: int


async def remove_old_rows(resources: Resources) -> Removal:
    """Remove what is older than its lifetime and that nobody reads. Raises `StoreUnavailable`."""
    gone = await remove_what_is_over(resources.database)
    log = sync_logger()
    if gone.turns is None:
        log.warning("no turn was removed: `make migrate` has still to fill columns from old ones; run it to its end")
    log.info(
        "removed %s turns with %s children, %s proofs, %s items that had left the quarantine",
        gone.turns or 0, gone.children, gone.proofs, gone.resolved,
    )  # fmt: skip
    return Removal(turns=gone.turns, children=gone.children, proofs=gone.proofs, resolved=gone.resolved)
