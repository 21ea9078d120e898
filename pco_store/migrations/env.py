"""Alembic's entry: runs the migrations on the connection that `migrate` hands over."""

from alembic import context
from sqlalchemy import text

from pco_store.connections.tables import ConnectionRow
from pco_store.ledger import tables as ledger_tables
from pco_store.mirror import tables

assert ledger_tables.LEDGER_SCHEMA == "sync"
assert ConnectionRow.__tablename__ == "connections"
connection = context.config.attributes["connection"]
connection.execute(text("CREATE SCHEMA IF NOT EXISTS sync"))
context.configure(
    connection=connection,
    target_metadata=tables.metadata,
    include_schemas=True,
    version_table="migrations",
    version_table_schema="sync",
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
