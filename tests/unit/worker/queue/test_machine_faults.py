from __future__ import annotations

import errno
import shutil
from pathlib import Path

import pytest

from dicom_node.errors import JournalUnavailable, SpoolFull
from dicom_node.storage.spool import Spool
from worker.queue.machine_faults import machine_fault


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "data")


def failed(code: int, path: Path | None = None) -> OSError:
    return OSError(code, "as the kernel says", str(path) if path else None)


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (errno.EACCES, "access"),
        (errno.EROFS, "writable"),
        (errno.ENOSPC, "free some space"),
        (errno.EDQUOT, "free some space"),
        (errno.EIO, "disk"),
        (errno.EMFILE, "ulimit"),
        (errno.ENFILE, "ulimit"),
    ],
)
def test_a_fault_of_the_machine_is_told_with_path_and_remedy(spool: Spool, code: int, remedy: str) -> None:
    for path in (spool.outbox / ".key.x7" / "seg.dcm", None):  # a write fails without a path
        fault = machine_fault(failed(code, path), spool)
        assert fault is not None
        assert fault.startswith(f"{spool.outbox}: ")
        assert f"({errno.errorcode[code]})" in fault
        assert remedy in fault


def test_the_fault_behind_another_error_is_found(spool: Spool) -> None:
    with pytest.raises(SpoolFull) as full, spool.new_outbox("a" * 64):
        raise failed(errno.ENOSPC)

    assert "ENOSPC" in (machine_fault(full.value, spool) or "")


def test_a_journal_that_does_not_respond_is_a_fault_of_the_machine(spool: Spool) -> None:
    assert "journal.url" in (machine_fault(JournalUnavailable("the database is locked"), spool) or "")


@pytest.mark.parametrize(
    "error", [ValueError("x"), MemoryError(), failed(errno.ENOENT, Path("/x")), failed(errno.ENOMEM)]
)
def test_the_jobs_own_faults_are_not_the_machines(spool: Spool, error: Exception) -> None:
    assert machine_fault(error, spool) is None


def test_one_received_file_that_cannot_be_read_is_a_fault_of_its_job(spool: Spool) -> None:
    assert machine_fault(failed(errno.EIO, spool.inbox / "1.2" / "1.2.3.dcm"), spool) is None


def test_a_data_directory_that_is_gone_is_a_fault_of_the_machine(spool: Spool) -> None:
    path = spool.inbox / "1.2" / "1.2.3.dcm"
    shutil.rmtree(spool.inbox.parent)

    fault = machine_fault(failed(errno.ENOENT, path), spool)

    assert fault is not None
    assert fault.startswith(f"{spool.inbox}: ")
    assert "mounted" in fault
