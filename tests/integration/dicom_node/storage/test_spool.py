from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from dicom_node.errors import DataDirInUse, InvalidUid, SpoolFull
from dicom_node.storage.spool import Spool, sole_use

KEY = "0123456789abcdef" * 4
WRITE_FOR_EVER = """
import sys
from pathlib import Path
from dicom_node.storage.spool import Spool
spool = Spool(Path(sys.argv[1]))
number = 0
while True:
    content = bytes([number % 256]) * 200_000
    spool.write_instance("1.2", f"1.2.{number}", content[:100_000], content[100_000:])
    print(number, flush=True)
    number += 1
"""
FILL = """
import errno, sys
from pathlib import Path
from dicom_node.errors import SpoolFull
from dicom_node.storage.spool import Spool
spool = Spool(Path(sys.argv[1]), min_free_mb=-1000)  # as if the disk was filled after the check of free space
written = 0
try:
    while True:
        spool.write_instance("1.2", f"1.2.{written}", b"x" * 300_000)
        written += 1
except SpoolFull as full:
    print(written, [path.name for path in spool.inbox.rglob("*.part")], full)
try:
    with spool.new_outbox("0" * 64) as folder:
        (folder / "seg.dcm").write_bytes(b"x" * 300_000)
except SpoolFull as full:
    print("outbox", full)
"""


def relative_paths(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_an_instance_is_written_under_its_uids_and_is_private(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "var")

    path = spool.write_instance("1.2", "1.2.3", b"DICM", bytearray(b"-"), memoryview(b"pixels"))

    assert path == tmp_path / "var/inbox/1.2/1.2.3.dcm"
    assert path.read_bytes() == b"DICM-pixels"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert relative_paths(spool.inbox) == ["1.2", "1.2/1.2.3.dcm"]
    assert spool.instance_paths("1.2", ["1.2.3"]) == [path]


def test_an_instance_sent_again_replaces_the_first(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.write_instance("1.2", "1.2.3", b"first")

    assert spool.write_instance("1.2", "1.2.3", b"second").read_bytes() == b"second"


@pytest.mark.parametrize("uid", ["", "..", "1.2/3", "1..2", ".1", "1.", "1.2\n", "a.b", "1" * 65, "1.2\0", "\u0661.2"])
def test_an_invalid_uid_never_becomes_a_path(tmp_path: Path, uid: str) -> None:
    spool = Spool(tmp_path)

    with pytest.raises(InvalidUid):
        spool.write_instance(uid, "1.2.3", b"x")
    with pytest.raises(InvalidUid):
        spool.write_instance("1.2", uid, b"x")
    with pytest.raises(InvalidUid):
        spool.remove_series(uid)
    assert relative_paths(tmp_path) == ["inbox", "outbox"]


def test_a_uid_of_64_characters_with_a_leading_zero_is_accepted(tmp_path: Path) -> None:
    uid = "1.02." + "3" * 59

    assert Spool(tmp_path).write_instance(uid, uid, b"x").read_bytes() == b"x"


def test_no_instance_is_written_below_the_minimum_of_free_space(tmp_path: Path) -> None:
    free_mb = shutil.disk_usage(tmp_path).free >> 20
    Spool(tmp_path, free_mb - 500).write_instance("1.2", "1.2.3", b"x")

    with pytest.raises(SpoolFull, match=f"node.min_free_mb is {free_mb + 500}"):
        Spool(tmp_path, free_mb + 500).write_instance("1.2", "1.2.4", b"x")


def test_a_full_disk_raises_spool_full_and_leaves_no_partial_files(tmp_path: Path) -> None:
    mounted = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    program = f'mount -t tmpfs -o size=2m,mode=700 none "{tmp_path}" && exec "$0" -c "$1" "{tmp_path}"'
    ended = subprocess.run([*mounted, program, sys.executable, FILL], capture_output=True, text=True, check=False)
    if "unshare" in ended.stderr or "mount:" in ended.stderr:
        pytest.skip(f"no small disk can be mounted: {ended.stderr.strip()}")

    assert ended.stderr == ""
    assert ended.stdout == "6 [] the disk answered ENOSPC\noutbox the disk answered ENOSPC\n"


def test_after_a_sigkill_every_written_instance_is_complete_and_partial_files_are_removed(tmp_path: Path) -> None:
    written = 0
    for pause_s in (0.05, 0.13, 0.21, 0.34):
        writer = subprocess.Popen([sys.executable, "-c", WRITE_FOR_EVER, tmp_path], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        assert writer.stdout.readline() == "0\n"
        time.sleep(pause_s)
        writer.kill()
        written = max(written, 1 + writer.communicate()[0].count("\n"))

    spool = Spool(tmp_path)
    spool.remove_orphans()
    contents = {path.name: path.read_bytes() for path in (spool.inbox / "1.2").iterdir()}
    assert len(contents) >= written > 4
    for name, content in contents.items():
        assert content == bytes([int(name.split(".")[2]) % 256]) * 200_000


def test_many_threads_write_into_one_new_series_at_once(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    threads = [
        threading.Thread(target=spool.write_instance, args=("1.2", f"1.2.{number}", b"x")) for number in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(list((spool.inbox / "1.2").glob("*.dcm"))) == 16


def test_an_outbox_is_published_atomically(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    with spool.new_outbox(KEY) as folder:
        (folder / "seg.dcm").write_bytes(b"seg")
        assert not spool.document_path(KEY, "seg.dcm").exists()
        spool.publish(folder, KEY)

    assert spool.document_path(KEY, "seg.dcm").read_bytes() == b"seg"
    assert relative_paths(spool.outbox) == [KEY, f"{KEY}/seg.dcm"]


def test_an_outbox_that_was_not_published_leaves_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    with spool.new_outbox(KEY) as folder:
        (folder / "seg.dcm").write_bytes(b"seg")

    assert relative_paths(spool.outbox) == []


def test_a_second_result_replaces_the_first_completely(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for names in (["seg.dcm", "sr.dcm"], ["sr.dcm"]):
        with spool.new_outbox(KEY) as folder:
            for name in names:
                (folder / name).write_bytes(b"x")
            spool.publish(folder, KEY)

    assert relative_paths(spool.outbox) == [KEY, f"{KEY}/sr.dcm"]


def test_the_folder_of_a_killed_worker_is_removed_by_the_next_worker_of_the_job_only(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for name in (f".{KEY}.left", f".{'f' * 64}.alive"):
        (spool.outbox / name).mkdir()
    with spool.new_outbox(KEY):
        pass

    assert relative_paths(spool.outbox) == [f".{'f' * 64}.alive"]


def test_orphans_are_removed_and_recent_hidden_folders_are_kept(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    kept = spool.write_instance("1.2", "1.2.3", b"whole")
    (kept.parent / ".abc.part").write_bytes(b"half")
    (spool.inbox / ".1.9.removed").mkdir()
    for name, age_s in ((".old", 100_000), (".young", 1000)):
        (spool.outbox / name).mkdir()
        os.utime(spool.outbox / name, (time.time() - age_s,) * 2)

    assert spool.remove_orphans() == 3
    assert relative_paths(tmp_path) == ["inbox", "inbox/1.2", "inbox/1.2/1.2.3.dcm", "outbox", "outbox/.young"]


def test_only_the_removed_series_is_deleted(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for series_uid in ("1.2", "1.3"):
        spool.write_instance(series_uid, "1.9", b"x")
    spool.remove_series("1.2")
    spool.remove_series("1.2")

    assert relative_paths(spool.inbox) == ["1.3", "1.3/1.9.dcm"]


def test_an_invalid_job_key_never_becomes_a_path(tmp_path: Path) -> None:
    with pytest.raises(InvalidUid):
        Spool(tmp_path).document_path("../inbox", "seg.dcm")
    assert Spool(tmp_path).document_path(KEY, "../../seg.dcm") == tmp_path / "outbox" / KEY / "seg.dcm"


def test_a_data_directory_is_for_one_service_at_a_time(tmp_path: Path) -> None:
    with (
        sole_use(tmp_path),
        pytest.raises(DataDirInUse, match="another `lungspread serve` runs on"),
        sole_use(tmp_path),
    ):
        pass
    with sole_use(tmp_path):
        pass
