"""Brings the tables of a journal to the revision that this version of the code needs (Alembic)."""

from __future__ import annotations

from sqlalchemy import Column, Connection, MetaData, String, Table, inspect, select

from dicom_node.errors import JournalTooNew

REVISION = "0006"
"""The latest revision in `migrations/versions`."""

_version = Table("alembic_version", MetaData(), Column("version_num", String(32)))


def is_current(connection: Connection) -> bool:
    """Whether the tables are at REVISION. It does not import Alembic, which takes as long as SQLAlchemy itself."""
    return _revision(connection) == REVISION


def upgrade(connection: Connection) -> None:
    """Create the tables, or upgrade them to REVISION, in the caller's write transaction.

    Raises JournalTooNew if a newer version of the code has upgraded them.
    """
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", "dicom_node.journal:migrations")
    found = _revision(connection)
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if found is not None and found not in known:
        raise JournalTooNew(f"the journal has revision {found}, this version needs {REVISION}: install the newer one")
    command.upgrade(config, "head")


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(_version.name):
        return None
    return connection.execute(select(_version.c.version_num)).scalar_one_or_none()
