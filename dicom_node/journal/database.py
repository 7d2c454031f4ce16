"""Connections and transactions of the journal's database.

SQLite is for one machine with a local disk; several machines share a PostgreSQL. Both allow one writer at a time.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import Connection, Engine, ExceptionContext, create_engine, event
from sqlalchemy.exc import DatabaseError, InterfaceError, OperationalError

from dicom_node.errors import JournalDamaged, JournalUnavailable
from dicom_node.journal.damaged_rows import DamagedRow, put_in_quarantine, reported
from dicom_node.journal.upgrade import is_current, upgrade
from dicom_node.storage.private_folder import PRIVATE

_ERRORS_OF_THE_DISK = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN}


class Database:
    """Thread-safe connections to one journal, whose tables are upgraded when it is opened.

    Each method may raise JournalUnavailable.
    """

    def __init__(self, url: str) -> None:
        self._engine = _engine(url)
        self._writing_engine = self._engine.execution_options(writes=True)
        # Threads of one process wait here: SQLite itself waits by polling, which is not fair.
        self._write_lock = threading.Lock()
        self._in_quarantine: set[DamagedRow] = set()
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

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self._engine.dialect.name

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a transaction that reads."""
        with _translate_errors(), self._engine.begin() as connection:
            yield connection
            damaged = reported(connection)
        self._put_in_quarantine(damaged)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a write transaction; no other writer, of any process, runs at the same time."""
        with _translate_errors(), self._write_lock, self._writing_engine.begin() as connection:
            yield connection
            damaged = reported(connection)
        self._put_in_quarantine(damaged)

    def _put_in_quarantine(self, damaged: Sequence[DamagedRow]) -> None:
        """Record damaged rows, once: what was read is of use even if this fails."""
        if new := set(damaged) - self._in_quarantine:
            with suppress(JournalUnavailable), self.write() as connection:
                put_in_quarantine(connection, sorted(new, key=lambda row: (row.table, row.key)))
                self._in_quarantine |= new

    def overwrite_deleted(self) -> None:
        """Leave nothing of deleted rows in the files of an SQLite journal. PostgreSQL does so by its own VACUUM."""
        if self.dialect == "sqlite":
            with _translate_errors(), self._write_lock, self._engine.connect() as connection:
                raw = connection.connection.driver_connection
                assert isinstance(raw, sqlite3.Connection)  # noqa: S101 - by the dialect
                connection.rollback()  # VACUUM runs outside of a transaction
                raw.execute("VACUUM")
                raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def forget_quarantine(self) -> None:
        """Report damaged rows anew, if they are still damaged after a repair."""
        self._in_quarantine.clear()


@contextmanager
def _translate_errors() -> Iterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        raise JournalUnavailable(f"the journal's database does not respond: {error.orig}") from error
    except DatabaseError as error:
        if not isinstance(error.orig, sqlite3.DatabaseError) or type(error) is not DatabaseError:
            raise  # a fault of our statements
        raise JournalDamaged(str(error.orig)) from error


def _engine(url: str) -> Engine:
    # Error messages are logged, so the parameters of statements are hidden.
    engine = create_engine(url, hide_parameters=True, max_overflow=-1, pool_pre_ping=True)
    if engine.dialect.name == "sqlite":
        Path(str(engine.url.database)).parent.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        event.listen(engine, "handle_error", _connect_anew)
    else:
        event.listen(engine, "begin", _begin_postgresql)
    return engine


def _prepare_sqlite(connection: sqlite3.Connection, _: object) -> None:
    connection.isolation_level = None  # _begin_sqlite sends BEGIN, not the driver
    # A damaged text is found with its row, and does not end the query.
    connection.text_factory = lambda text: text.decode("utf-8", errors="replace")
    connection.execute("PRAGMA busy_timeout = 30000")
    connection.execute("PRAGMA journal_mode = WAL")
    # Commits survive a power failure: the sender has received success for its image.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _connect_anew(context: ExceptionContext) -> None:
    """Close the connections after an error of the disk.

    SQLite opens a file read-only if it must, and such a connection stays so when the disk can be written again.
    """
    if isinstance(context.original_exception, sqlite3.OperationalError):
        context.is_disconnect |= context.original_exception.sqlite_errorcode & 0xFF in _ERRORS_OF_THE_DISK


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and then writes fails with SQLITE_BUSY if another one wrote in between.
    connection.exec_driver_sql("BEGIN IMMEDIATE" if _writes(connection) else "BEGIN")


def _begin_postgresql(connection: Connection) -> None:
    if _writes(connection):  # same guarantee as SQLite's; the number identifies the journal
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(5217420)")


def _writes(connection: Connection) -> bool:
    return bool(connection.get_execution_options().get("writes", False))
