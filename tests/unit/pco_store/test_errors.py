"""Errors of the store carry their data through pickling: Prefect moves them between processes."""

import pickle

import pytest

from pco_store.errors import (
    ChurchRemoved,
    DatabaseAddressWrong,
    LeaseLost,
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
    ],
    ids=lambda one: type(one).__name__,
)
def test_an_error_survives_pickling(error: StoreError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert (str(again), vars(again)) == (str(error), vars(error))
