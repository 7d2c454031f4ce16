"""Connections and transactions of the journal's database.

SQLite is for one machine with a local disk; several machines share a PostgreSQL. Both allow one writer at a time.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import InterfaceError, OperationalError

from dicom_node.errors import JournalUnavailable
from dicom_node.journal.upgrade import is_current, upgrade
from dicom_node.storage.private_folder import PRIVATE


class Database:
    """Thread-safe connections to one journal, whose tables are upgraded when it is opened.

    Each method may raise JournalUnavailable.
    """

    def __init__(self, url: str) -> None:
        self._engine = _engine(url)
        self._writing_engine = self._engine.execution_options(writes=True)
        # Threads of one process wait here: SQLite itself waits by polling, which is not fair.
        self._write_lock = threading.Lock()
        self._prepare_tables()

    def _prepare_tables(self) -> None:
        """Create or upgrade the tables. Raises JournalTooNew; the connections are closed then."""
        try:
            with self.read() as connection:
                if is_current(connection):
                    return
            with self.write() as connection:  # of several processes, one upgrades and the others find it done
                upgrade(connection)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a transaction that reads."""
        with _translate_errors(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a write transaction; no other writer, of any process, runs at the same time."""
        with _translate_errors(), self._write_lock, self._writing_engine.begin() as connection:
            yield connection


@contextmanager
def _translate_errors() -> Iterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        raise JournalUnavailable(f"the journal's database does not respond: {error.orig}") from error


def _engine(url: str) -> Engine:
    # Error messages are logged, so the parameters of statements are hidden.
    engine = create_engine(url, hide_parameters=True, max_overflow=-1, pool_pre_ping=True)
    if engine.dialect.name == "sqlite":
        Path(str(engine.url.database)).parent.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        event.listen(engine, "begin", _begin_postgresql)
    return engine


def _prepare_sqlite(connection: sqlite3.Connection, _: object) -> None:
    connection.isolation_level = None  # _begin_sqlite sends BEGIN, not the driver
    connection.execute("PRAGMA busy_timeout = 30000")
    connection.execute("PRAGMA journal_mode = WAL")
    # Commits survive a power failure: the sender has received success for its image.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and then writes fails with SQLITE_BUSY if another one wrote in between.
    connection.exec_driver_sql("BEGIN IMMEDIATE" if _writes(connection) else "BEGIN")


def _begin_postgresql(connection: Connection) -> None:
    if _writes(connection):  # same guarantee as SQLite's; the number identifies the journal
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(5217420)")


def _writes(connection: Connection) -> bool:
    return bool(connection.get_execution_options().get("writes", False))
