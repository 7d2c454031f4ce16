from __future__ import annotations

import logging
import stat
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dicom_node.audit.files import AuditFiles, file_names, newest_name, remove_old

TODAY = f"{datetime.now(UTC):%Y-%m-%d}"


def content(folder: Path) -> list[bytes]:
    return [line for name in file_names(folder) for line in (folder / name).read_bytes().splitlines(keepends=True)]


def test_only_the_user_can_read_the_files(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    AuditFiles(folder, 1).append(b"one\n")

    (file,) = folder.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_line_is_in_the_file_when_append_returns(tmp_path: Path) -> None:
    files = AuditFiles(tmp_path, 1)
    for number in range(3):
        files.append(b"%d\n" % number)
        assert content(tmp_path)[-1] == b"%d\n" % number


def test_a_new_file_begins_at_the_size_and_no_line_is_lost_or_split(tmp_path: Path) -> None:
    writers = [AuditFiles(tmp_path, 1), AuditFiles(tmp_path, 1)]  # two processes
    lines = [b"%05d %b\n" % (number, b"x" * 2000) for number in range(1200)]

    def write(number: int) -> None:
        for line in lines[number::2]:
            writers[number].append(line)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(file_names(tmp_path)) == 3  # 2.4 MB in files of 1 MiB
    assert sorted(content(tmp_path)) == lines


def test_a_line_cut_by_a_power_failure_is_ended_before_the_next(tmp_path: Path) -> None:
    (tmp_path / f"audit-{TODAY}-0001.log").write_bytes(b"whole\ncut")

    AuditFiles(tmp_path, 1).append(b"next\n")

    assert content(tmp_path) == [b"whole\n", b"cut\n", b"next\n"]


def test_lines_that_cannot_be_written_wait_and_are_written_in_order(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "audit"
    folder.write_text("a file in place of the folder")
    files = AuditFiles(folder, 1)
    for number in range(50):
        files.append(b"%d\n" % number)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert str(folder) in caplog.text

    folder.unlink()
    files.sync()

    assert content(folder) == [b"%d\n" % number for number in range(50)]
    assert "50 had waited, 0 are lost" in caplog.messages[-1]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_an_error_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / f"audit-{TODAY}-0001.log").symlink_to("/dev/full")

    AuditFiles(tmp_path, 1).append(b"line\n")

    assert "No space left on device" in caplog.text


def test_a_clock_that_was_set_back_does_not_reopen_an_older_file(tmp_path: Path) -> None:
    (tmp_path / "audit-2999-01-01-0007.log").write_bytes(b"line\n")

    assert newest_name(tmp_path, "", 1 << 20) == "audit-2999-01-01-0007.log"


def test_files_are_deleted_after_the_days_that_are_configured_unless_they_are_not_sent(tmp_path: Path) -> None:
    old = [f"audit-2020-01-0{day}-0001.log" for day in range(1, 6)]
    for name in (*old, f"audit-{TODAY}-0001.log"):
        (tmp_path / name).touch()

    assert remove_old(tmp_path, 0) == []
    assert remove_old(tmp_path, 30, first_unsent=old[2]) == old[:2]
    assert remove_old(tmp_path, 30) == old[2:]
    assert file_names(tmp_path) == [f"audit-{TODAY}-0001.log"]
