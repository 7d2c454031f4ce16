"""The journal's connections when the disk of an SQLite journal cannot be written for a while."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from dicom_node.errors import JournalUnavailable
from dicom_node.journal.database import Database


@contextmanager
def immutable(file: Path) -> Iterator[None]:
    """Let nobody open a file for writing in the block, not even root."""
    if subprocess.run(["chattr", "+i", file], check=False, capture_output=True).returncode:
        pytest.skip("chattr +i needs root and a file system that has it")
    try:
        yield
    finally:
        subprocess.run(["chattr", "-i", file], check=True)


def write(database: Database) -> None:
    with database.write() as connection:
        connection.execute(text("DELETE FROM series"))


def test_a_journal_that_was_opened_while_its_disk_was_read_only_is_written_when_it_can_be(tmp_path: Path) -> None:
    file = tmp_path / "journal.db"
    first = Database(f"sqlite:///{file}")
    with immutable(file):
        database = Database(f"sqlite:///{file}")
        with pytest.raises(JournalUnavailable, match="readonly"):
            write(database)

    write(database)

    database.close()
    first.close()
