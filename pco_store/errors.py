"""What can go wrong with the database, grouped by what the caller must do.

StoreError
├── StoreUnavailable      retry: the database is away, full, overloaded or restarting (`means_later`)
│   └── StoreInUse        retry: somebody holds a lock for longer than the statement was to wait
└── StopStoreError        stop: trying again gives the same answer
    ├── SchemaMissing     run the migrations first
    ├── SchemaOutdated    run the migrations first
    ├── SchemaNewer       this program is older than the database
    ├── DatabaseAddressWrong  PCO_SYNC_DATABASE_URL cannot be used as it is
    ├── StatementRefused  the database, the role or a statement of ours is wrong
    ├── TokenKeysWrong    PCO_SYNC_TOKEN_KEYS does not open stored OAuth tokens
    ├── ConnectedTwice    the organization is connected by OAuth under another org_id
    ├── ChurchRemoved     the church is being removed, or was
    ├── LeaseLost         another execution owns the run now
    └── PlanDiffers       the epoch was begun with other parameters
"""

from typing import Final

LATER_CLASSES: Final = {
    "08": "the connection was lost or refused",
    "40": "the transaction was rolled back because of another one: serialization, deadlock",
    "53": "a resource is used up: disk full, out of memory, too many connections",
    "57": "an operator intervened: shut down, starting up, query cancelled",
    "58": "a system outside of Postgres failed: input, output, a file",
}
"""Classes of SQLSTATE that mean: the same statement may succeed later."""

LATER_CODES: Final = {
    "25006": "the server is read-only: a standby, or a hosted database that is full",
    "25P03": "the transaction was idle for too long",
    "25P04": "the transaction took too long",
    "55006": "the object is in use",
    "55P03": "the lock was not available",
}
"""Single codes that mean the same, of classes in which others do not."""

NEVER_CODES: Final = {
    "40002": "a constraint was violated",
    "57P04": "the database was dropped",
    "58P02": "there is a file of this name already",
}
"""Exceptions from the classes."""


def means_later(sqlstate: str | None) -> bool:
    """Whether an error of this SQLSTATE is waited out; every other one is the same whenever it is tried."""
    if sqlstate is None or sqlstate in NEVER_CODES:
        return False
    return sqlstate[:2] in LATER_CLASSES or sqlstate in LATER_CODES


# Named after what was observed, as Postgres and httpx do, not after the class of the class.
# ruff: noqa: N818


class StoreError(Exception):
    """Base of all errors of the store. Prefect moves them between processes: they survive pickling."""

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), str(self))


def _rebuild(kind: type[StoreError], message: str) -> StoreError:
    error = kind.__new__(kind)
    Exception.__init__(error, message)
    return error


class StoreUnavailable(StoreError):
    """The database cannot be reached, has just ended our connection, or cannot do it now. Retry later."""


class StoreInUse(StoreUnavailable):
    """Somebody holds a lock, and the statement was not to wait longer for it."""


class StopStoreError(StoreError):
    """Trying again gives the same answer."""


class SchemaMissing(StopStoreError):
    """The database has no pco-sync tables yet."""

    def __init__(self) -> None:
        super().__init__("the database has no pco-sync tables yet; run `make migrate` (python -m pco_store migrate)")


class SchemaOutdated(StopStoreError):
    """The database is at an older migration than this program needs."""

    def __init__(self, found: str, expected: str) -> None:
        super().__init__(
            f"the database is at migration {found}, this program needs {expected}; run `make migrate` "
            "(python -m pco_store migrate)"
        )


class SchemaNewer(StopStoreError):
    """The database is at a migration that this program does not know."""

    def __init__(self, found: str, expected: str) -> None:
        super().__init__(
            f"the database is at migration {found}, which this program (at {expected}) does not know; update pco-sync"
        )


class DatabaseAddressWrong(StopStoreError):
    """The connection string cannot be used as it is. The message repeats none of its values."""


class StatementRefused(StopStoreError):
    """Postgres refused a statement or the connection. The message never repeats a value: rows are personal data."""


class TokenKeysWrong(StopStoreError):
    """The keys that encrypt OAuth tokens are missing or others. The message repeats none of them."""


class ConnectedTwice(StopStoreError):
    """An organization has one connection by OAuth."""

    def __init__(self, org_id: str, organization_id: str) -> None:
        super().__init__(
            f"Planning Center's organization {organization_id} is connected already, as {org_id!r}; to renew its "
            f"consent: pco-sync connect {org_id} --oauth"
        )


class ChurchRemoved(StopStoreError):
    """Nothing of the church may be begun or written: it is being removed, or it was and is not connected again."""

    def __init__(self, org_id: str, *, is_over: bool) -> None:
        super().__init__(
            f"{org_id} was removed; to sync it again: pco-sync connect {org_id}"
            if is_over
            else f"{org_id} is being removed, and nothing of it is synced; to end that: "
            f"pco-sync churches remove {org_id} --yes"
        )


class LeaseLost(StopStoreError):
    """The run's fence moved: another execution took over, and nothing of ours may be written any more.

    Or the database was replaced by an older copy, whose ledger does not know what we have committed.
    """

    def __init__(self, key: str, fence: int) -> None:
        super().__init__(
            f"{key}: another execution has taken over (our fence {fence} is no longer the run's), or the database was "
            "replaced by an older copy"
        )


class PlanDiffers(StopStoreError):
    """The epoch that was named was begun with parameters by which its result is another one."""

    def __init__(self, key: str, difference: str) -> None:
        super().__init__(
            f"{key} was begun with {difference}; name another epoch for that, leave the epoch out, or replace this one "
            "with on_conflict 'restart'"
        )
