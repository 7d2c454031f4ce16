"""The revisions of the journal's tables, on SQLite and PostgreSQL."""

from __future__ import annotations

import contextlib
import subprocess
import sys

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, text

from dicom_node.errors import JournalTooNew
from dicom_node.journal.journal import Journal
from dicom_node.journal.schema import metadata
from dicom_node.journal.upgrade import REVISION, upgrade
from tests.fixtures.dicom_node.journals import received

KEY = "ab" * 32
OPEN = """
import sys
from dicom_node.journal.journal import Journal
with Journal(sys.argv[1]):
    print("alembic" in sys.modules)
"""


def test_the_revisions_make_the_tables_that_the_code_has(journal: Journal) -> None:
    with journal.database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        assert context.get_current_revision() == REVISION
        connection.execute(text("DROP INDEX instances_by_uid"))
        assert len(compare_metadata(context, metadata)) == 1, "the comparison sees a difference"
        connection.rollback()


def test_there_is_one_latest_revision_and_the_code_needs_it() -> None:
    assert ScriptDirectory("dicom_node/journal/migrations").get_heads() == [REVISION]


def test_a_journal_that_is_opened_again_keeps_its_records(journal_url: str) -> None:
    with Journal(journal_url) as first:
        first.series.record_instances([received()], 100.0)
        with Journal(journal_url) as second:
            assert second.series.stored_uids("1.2.3") == ("1.2.3.1",)


def test_a_journal_from_before_content_was_hashed_keeps_its_instances_and_jobs(journal_url: str) -> None:
    engine = create_engine(journal_url)
    with engine.begin() as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", "dicom_node.journal:migrations")
        command.upgrade(config, "0003")
        for row in (
            "series VALUES ('1.2.3', '1.2', 100, FALSE)",
            "instances VALUES ('1.2.3', '1.2.3.1', '1.2.840.10008.5.1.4.1.1.2', 'SENDER', 'of the file', 100)",
            f"jobs VALUES ('{KEY}', '1.2', '1.2.3', 'config', 1, '[\"1.2.3.1\"]', 'COMMITTED', NULL, 0, NULL, NULL, 1, "
            "0, 1, 1)",
        ):
            connection.execute(text(f"INSERT INTO {row}"))
    engine.dispose()

    with Journal(journal_url) as journal:
        assert journal.series.data_sets("1.2.3") == {"1.2.3.1": ""}, "to be computed anew"
        record = journal.jobs.get(KEY)
        assert (record.state, record.sop_instance_uids, record.images_sha256) == ("COMMITTED", ("1.2.3.1",), "")
        assert journal.series.record_instances([received()], 200.0) == 1
        assert journal.series.quiet(300.0) == [], "its hash is known now, and nothing is analysed again"


def test_alembic_is_imported_only_to_create_or_upgrade_tables(journal_url: str) -> None:
    command = [sys.executable, "-c", OPEN, journal_url]
    printed = [subprocess.run(command, check=True, capture_output=True, text=True).stdout for _ in range(2)]

    assert printed == ["True\n", "False\n"]


def test_a_journal_of_a_newer_version_raises_one_line_and_stays_as_it_is(journal_url: str) -> None:
    with Journal(journal_url) as journal, journal.database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    expected = rf"\Athe journal has revision 9999, this version needs {REVISION}: install the newer one\Z"
    for _ in range(2):
        with pytest.raises(JournalTooNew, match=expected):
            Journal(journal_url)


def test_an_interrupted_upgrade_leaves_no_table(journal: Journal) -> None:
    with journal.database.write() as connection:
        metadata.drop_all(connection)
        connection.execute(text("DROP TABLE alembic_version"))

    with contextlib.suppress(KeyboardInterrupt), journal.database.write() as connection:
        upgrade(connection)
        raise KeyboardInterrupt

    with journal.database.read() as connection:
        assert inspect(connection).get_table_names() == []
