"""Whether the rows of a run's database can be what airtune wrote: SQLite itself keeps any value in any column."""

from __future__ import annotations

import sqlite3

from base_station.store.schema import ROUNDS, TABLES


def content_fault(connection: sqlite3.Connection) -> str | None:
    """What is wrong, in a few words: a value of a foreign type, a round that only some tables know; None if nothing.

    Looks at one state of the database. What lists and mappings hold is checked as they are read.
    """
    connection.execute("BEGIN")
    try:
        return _foreign_value(connection) or _odd_round(connection)
    finally:
        if connection.in_transaction:  # some errors of the disk have ended it already
            connection.execute("ROLLBACK")


def _foreign_value(connection: sqlite3.Connection) -> str | None:
    for table in TABLES:
        found = connection.execute(table.foreign_sql).fetchone()
        if found is not None:
            return f"table {table.name}, round {found[0]!r}: {found[1]} is no value of its kind"
    return None


def _odd_round(connection: sqlite3.Connection) -> str | None:
    """A round is committed with one row in ``rounds`` and ``commits`` each; rows of other tables belong to one."""
    pairs = [("commits", ROUNDS.name), *((table.name, "commits") for table in TABLES)]
    for holder, lacking in pairs:
        sql = f"SELECT round_index FROM {holder} EXCEPT SELECT round_index FROM {lacking} LIMIT 1"
        found = connection.execute(sql).fetchone()
        if found is not None:
            return f"round {found[0]} is in table {holder}, not in {lacking}"
    return None
