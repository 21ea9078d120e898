"""Upgrades of the database: additive, in order, never on the write path."""
