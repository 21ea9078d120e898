"""Errors of the store: they survive pickling, for Prefect moves them between processes; and which are waited out."""

import pickle

import asyncpg
import pytest

from pco_store.database import unavailable_means_retry
from pco_store.errors import (
    ChurchRemoved,
    ConnectedTwice,
    DatabaseAddressWrong,
    LeaseLost,
    PlanDiffers,
    SchemaMissing,
    SchemaNewer,
    SchemaOutdated,
    StatementRefused,
    StoreError,
    StoreUnavailable,
)


@pytest.mark.parametrize(
    "error",
    [
        StoreUnavailable("away"),
        DatabaseAddressWrong("the port"),
        StatementRefused("refused"),
        SchemaMissing(),
        SchemaOutdated("0001", "0002"),
        SchemaNewer("0003", "0002"),
        LeaseLost("key", 7),
        ChurchRemoved("grace", is_over=True),
        ConnectedTwice("grace", "1"),
        PlanDiffers("key", "other windows"),
    ],
    ids=lambda one: type(one).__name__,
)
def test_an_error_survives_pickling(error: StoreError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert (str(again), vars(again)) == (str(error), vars(error))


@pytest.mark.parametrize(
    "lost",
    [
        asyncpg.InterfaceError("connection is closed"),
        asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress"),
        asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
    ],
    ids=lambda one: type(one).__name__,
)
def test_a_connection_that_is_lost_at_any_moment_is_waited_out(lost: Exception) -> None:
    """asyncpg's internal error was seen where a database was replaced under a process that slept."""
    with pytest.raises(StoreUnavailable), unavailable_means_retry():
        raise lost
