"""What a damaged row or a damaged file of the journal stops: itself alone."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from dicom_node.errors import DamagedRecord, JournalDamaged, UnknownJob
from dicom_node.jobs import Job, JobState
from dicom_node.journal.journal import Journal
from dicom_node.journal.priors import AcquisitionRecord
from dicom_node.journal.quarantine import health
from dicom_node.journal.schema import SENT, metadata
from dicom_node.prior import Priors, PriorScan, PriorSearch, Result
from dicom_node.queue.assembler import assemble
from dicom_node.queue.reconciler import Reconciler
from dicom_node.selection.score import Score
from dicom_node.selection.selector import every_series
from dicom_node.series import Document
from dicom_node.settings import Peer, QueueSettings
from tests.fixtures.dicom_node.journals import received

PEER = Peer(name="pacs", ae_title="PACS", host="h", port=1, storage_commitment=True)
KEY = "ab" * 32


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
def sqlite(file: Path) -> Journal:
    return Journal(f"sqlite:///{file}")


def damage(file: Path, statement: str, *values: object) -> None:
    """Write past the journal, as a failing disk or a person with another program does."""
    connection = sqlite3.connect(file)
    connection.execute(statement, values)
    connection.commit()
    connection.close()


def queue(journal: Journal, series_uid: str) -> Job:
    journal.series.record_instances([received(1, series_uid), received(2, series_uid)], 0.0)
    (job,) = assemble(journal, "config", every_series(journal, 20.0, 60.0), 60.0)
    return job


def enqueued(journal: Journal, now: float = 60.0) -> list[str]:
    sent: list[Job] = []
    Reconciler(journal.jobs, sent.append, QueueSettings()).step(now)
    return [job.job_key for job in sent]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("sop_instance_uids", "[1.2"),
        ("sop_instance_uids", '"1.2"'),
        ("study_uid", "../../etc"),
        ("created_at", "yesterday"),
        ("attempts", b"\xff\xfe"),
        ("config_hash", b"\xff\xfe"),
    ],
)
def test_a_damaged_job_stops_no_other_one_and_is_logged_once(
    sqlite: Journal, file: Path, column: str, value: object, caplog: pytest.LogCaptureFixture
) -> None:
    damaged, other = queue(sqlite, "1.1"), queue(sqlite, "1.2")
    damage(file, f"UPDATE jobs SET {column} = ? WHERE job_key = ?", value, damaged.job_key)

    with caplog.at_level(logging.ERROR):
        assert enqueued(sqlite) == [other.job_key]
        assert enqueued(sqlite, now=1000.0) == [other.job_key]
        assert [record.job for record in sqlite.jobs.find()] == [other]

    (row,) = sqlite.quarantine.all()
    assert (row.table, row.key, row.reason) == ("jobs", (damaged.job_key,), f"{column} is not valid")
    assert [record.message for record in caplog.records] == [
        f'journal: a row of jobs is damaged and left out ({column} is not valid): ["{damaged.job_key}"]'
    ]
    with pytest.raises(DamagedRecord, match=damaged.job_key):
        sqlite.jobs.get(damaged.job_key)


def test_a_job_of_an_unknown_state_stops_neither_its_study_nor_deliveries(sqlite: Journal, file: Path) -> None:
    job = queue(sqlite, "1.1")
    finish(sqlite, job.job_key)
    sqlite.deliveries.ensure(job.job_key, [PEER], 60.0)
    damage(file, "UPDATE jobs SET state = 'LOST'")
    for delivery in sqlite.deliveries.due(60.0):
        sqlite.deliveries.mark_stored(delivery, 60.0)

    sqlite.series.record_instances([received(3, "1.1")], 61.0)
    (late,) = assemble(sqlite, "config", every_series(sqlite, 20.0, 90.0), 90.0)

    assert enqueued(sqlite, 90.0) == [late.job_key]


def test_a_series_with_a_damaged_instance_is_not_analysed_without_it(sqlite: Journal, file: Path) -> None:
    for series_uid in ("1.1", "1.2"):
        sqlite.series.record_instances([received(1, series_uid), received(2, series_uid)], 0.0)
    damage(file, "UPDATE instances SET sop_instance_uid = 'x' WHERE sop_instance_uid = '1.1.2'")

    (job,) = assemble(sqlite, "config", every_series(sqlite, 20.0, 60.0), 60.0)

    assert job.series_uid == "1.2"
    assert {row.table for row in sqlite.quarantine.all()} == {"instances", "series"}


def test_a_job_is_not_committed_while_one_of_its_deliveries_is_damaged(sqlite: Journal, file: Path) -> None:
    job = queue(sqlite, "1.1")
    finish(sqlite, job.job_key)
    peers = [Peer(name=name, ae_title=name, host="h", port=1) for name in ("A", "B")]
    sqlite.deliveries.ensure(job.job_key, peers, 60.0)
    damage(file, "UPDATE deliveries SET state = 'SENT' WHERE peer = 'B'")
    for delivery in sqlite.deliveries.due(60.0):
        sqlite.deliveries.mark_stored(delivery, 60.0)
    assert sqlite.jobs.get(job.job_key).state is JobState.ANALYSED

    assert sqlite.quarantine.repair() == 1
    sqlite.deliveries.ensure(job.job_key, peers, 60.0)
    (again,) = sqlite.deliveries.due(60.0)
    sqlite.deliveries.mark_stored(again, 60.0)

    assert (again.peer, sqlite.jobs.get(job.job_key).state) == ("B", JobState.COMMITTED)


def test_a_repaired_job_is_queued_again_under_its_key(sqlite: Journal, file: Path) -> None:
    job = queue(sqlite, "1.1")
    damage(file, "UPDATE jobs SET sop_instance_uids = '{'")
    assert enqueued(sqlite) == []

    assert sqlite.quarantine.repair() == 1
    (again,) = assemble(sqlite, "config", every_series(sqlite, 20.0, 60.0), 60.0)

    assert (again, enqueued(sqlite), sqlite.quarantine.all()) == (job, [job.job_key], [])


def test_no_cell_of_the_journal_can_stop_those_who_read_it(sqlite: Journal, file: Path) -> None:
    """Each cell of one row of each table holds, one after the other, what no column allows."""
    fill(sqlite)
    connection = sqlite3.connect(file, isolation_level=None)
    tables = [table for name, table in metadata.tables.items() if name != "quarantined"]
    found = set[str]()
    for table in tables:
        for column in table.columns:
            kept = connection.execute(f"SELECT rowid, {column.name} FROM {table.name}").fetchone()
            assert kept is not None, f"{table.name} has no row"
            change = f"UPDATE {table.name} SET {column.name} = ? WHERE rowid = ?"
            connection.execute(change, (b"\xff{", kept[0]))
            read_everything(sqlite)
            found |= {f"{row.table}.{row.reason.split()[0]}" for row in sqlite.quarantine.all()}
            connection.execute("DELETE FROM quarantined")
            connection.execute(change, (kept[1], kept[0]))
    read_everything(sqlite)
    connection.close()

    assert sqlite.quarantine.all() == []
    assert {"jobs.sop_instance_uids", "deliveries.state", "selections.reasons", "prior_results.refers_to"} <= found
    assert len(found) > 50


def read_everything(journal: Journal) -> None:
    uids = ["1.1.1", "1.2.1"]
    readings: list[Callable[[], object]] = [
        journal.jobs.find,
        lambda: journal.jobs.due_for_enqueue(1e9),
        journal.jobs.running,
        lambda: journal.series.quiet(1e9),
        lambda: journal.series.stored_uids("1.1"),
        lambda: journal.series.recorded_uids("1.1"),
        lambda: journal.series.instances(uids),
        lambda: journal.documents.find("1.2"),
        lambda: journal.deliveries.due(1e9),
        lambda: journal.deliveries.awaiting_commitment(1e9),
        lambda: journal.deliveries.jobs_to_plan([PEER]),
        lambda: journal.deliveries.of_job(KEY),
        lambda: journal.transactions.overdue(1e9),
        lambda: journal.commitments.due(1e9, "sender", 10),
        lambda: journal.priors.acquisition("1.1"),
        lambda: journal.priors.search_of("1.1"),
        lambda: journal.priors.results_of("1.1"),
        lambda: journal.priors.series_with_results("1.2"),
        lambda: journal.priors.scans_of(KEY),
        journal.priors.patients,
        journal.selections.open_studies,
        journal.selections.all,
        lambda: journal.selections.may_be_put_back("1.1"),
        lambda: journal.stored.all(has_destinations=True, with_backfill=False),
        lambda: journal.erasure.delete(journal.erasure.expired(-1.0)),
        lambda: health(journal.database),
    ]
    for read in readings:
        read()
    for record in (journal.jobs.find(), journal.priors.scans_of(KEY)):
        assert len(record) <= 2
    for job in (KEY, *(record.job.job_key for record in journal.jobs.find())):
        try:
            journal.priors.of_job(job)
            journal.jobs.get(job)
        except (DamagedRecord, UnknownJob):
            pass


def fill(journal: Journal) -> None:
    """Write at least one row into each table."""
    journal.series.record_instances([received(1, "1.1"), received(2, "1.1")], 0.0)
    (found,) = journal.series.quiet(60.0)
    prior = PriorScan(study_uid="3", series_uid="3.1", job_key=KEY, ct_uids=("3.1.1",), results=(("4", "4.1"),))
    priors = Priors(search=PriorSearch.FOUND, reason=None, scans=(prior,))
    job = journal.jobs.create(found, "config", 0.0, priors)
    assert job is not None
    finish(journal, job.job_key)
    journal.deliveries.ensure(job.job_key, [PEER], 0.0)
    (delivery,) = journal.deliveries.due(0.0)
    journal.deliveries.mark_stored(delivery, 0.0)
    journal.transactions.open("1.9", PEER.name, [delivery.document.sop_instance_uid], 0.0)
    journal.commitments.add("1.8", "sender", [("1.2", "1.1.1")], 0.0)
    journal.selections.record_score(found, Score(points=1, reasons=("thin",)), 2)
    acquisition = AcquisitionRecord(
        series_uid="1.1",
        study_uid="1.2",
        patient_key=KEY,
        person_key=KEY,
        acquired_on="20260101000000",
        role=SENT,
        is_complete=True,
        read_at=0.0,
    )
    journal.priors.record_acquisition(acquisition)
    uids = {"sop_instance_uid": "4.1", "sop_class_uid": "1.2", "series_uid": "4", "study_uid": "1.2"}
    journal.priors.record_results([Result(**uids, ct_series_uid="1.1", is_ours=False, refers_to=(("1.2", "1.3"),))])
    journal.priors.record_search("1.1", PriorSearch.FOUND, None, 0.0)
    journal.series.record_instances([received(3, "1.1"), received(1, "1.2")], 0.0)


def finish(journal: Journal, job_key: str) -> None:
    assert journal.leases.claim(job_key, "worker", 100.0, 0.0)
    document = Document(sop_class_uid="1.2", sop_instance_uid="2.25.1", file_name="sr.dcm")
    assert journal.leases.mark_analysed(job_key, "worker", [document], 0.0)


@pytest.mark.parametrize(("offset", "fact"), [(0, "file is not a database"), (4096 + 8, "malformed")])
def test_a_damaged_file_is_named_in_one_line_with_its_remedy(file: Path, offset: int, fact: str) -> None:
    with Journal(f"sqlite:///{file}") as journal:
        fill(journal)
    content = bytearray(file.read_bytes())
    content[offset : offset + 4096] = b"\xa5" * 4096
    file.write_bytes(content)

    with pytest.raises(JournalDamaged) as raised, Journal(f"sqlite:///{file}") as journal:
        journal.jobs.find()

    assert fact in str(raised.value)
    assert "journal.db-wal" in str(raised.value)
    assert "\n" not in str(raised.value)
