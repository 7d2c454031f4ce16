"""Whichever command comes first: the data directory and its files are its user's alone."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from dicom_node.journal.journal import Journal
from dicom_node.storage.private_folder import make_private, open_to_others
from dicom_node.storage.spool import Spool

OPEN = 0o022


def lungspread(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command under the usual umask of a login."""
    environment = os.environ | {"LUNGSPREAD_NODE__DATA_DIR": str(folder)}
    command = [sys.executable, "-m", "worker.cli", *arguments]
    return subprocess.run(command, env=environment, umask=OPEN, capture_output=True, text=True, check=False)


def modes(folder: Path) -> dict[str, int]:
    paths = [folder, *folder.rglob("*")]
    return {path.relative_to(folder).as_posix(): stat.S_IMODE(path.stat().st_mode) for path in paths}


@pytest.mark.parametrize("command", ["jobs", "doctor"])
def test_what_the_first_command_makes_is_private(command: str, tmp_path: Path) -> None:
    data_dir = tmp_path / "site" / "data"
    lungspread(data_dir, command)

    made = modes(data_dir)
    assert made["."] == 0o700
    assert "journal.db" in made
    assert {name for name, mode in made.items() if mode & 0o077} == set()


def test_doctor_names_a_directory_that_others_can_read_and_the_remedy(tmp_path: Path) -> None:
    Spool(tmp_path)
    tmp_path.chmod(0o755)
    said = lungspread(tmp_path, "doctor").stdout

    assert f"FAIL privacy: {tmp_path} is open to other users of this machine" in said
    assert f"-> chmod -R go-rwx {tmp_path}" in said
    tmp_path.chmod(0o700)
    assert "privacy: " in (said := lungspread(tmp_path, "doctor").stdout)
    assert "FAIL privacy" not in said


def test_a_node_takes_the_rights_of_others_from_its_directory_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data_dir = tmp_path / "data"
    Spool(data_dir)
    with Journal(f"sqlite:///{data_dir}/journal.db"):
        (data_dir / "journal.db").chmod(0o644)
    data_dir.chmod(0o755)
    Spool(data_dir)

    assert open_to_others(data_dir) == []
    assert modes(data_dir)["."] == 0o700
    assert modes(data_dir)["journal.db"] == 0o600
    assert f"{data_dir} was open to other users of this machine, and is private now" in caplog.messages


def test_a_folder_that_is_not_ours_keeps_its_rights_and_what_we_make_in_it_is_private(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    home, shared = tmp_path / "home", tmp_path / "shared"
    for folder, mode in ((home, 0o755), (shared, 0o1777)):
        folder.mkdir()
        folder.chmod(mode)
    (home / "letter.txt").write_text("not ours")
    for folder, mode in ((home, 0o755), (shared, 0o1777)):
        spool = Spool(folder)
        assert stat.S_IMODE(folder.stat().st_mode) == mode
        assert stat.S_IMODE(spool.inbox.stat().st_mode) == 0o700
    assert len(caplog.messages) == 2


def test_an_empty_directory_becomes_private(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir(mode=0o755)
    make_private(volume)

    assert stat.S_IMODE(volume.stat().st_mode) == 0o700
