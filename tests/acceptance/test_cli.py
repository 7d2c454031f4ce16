import json
import os
import subprocess
import sys
from pathlib import Path

import pydicom
import pytest

from worker.phantom.chest import PhantomLesion, PhantomSpec, chest_phantom
from worker.phantom.dicom import write_series

ROOT = Path(__file__).parent.parent.parent
LESION = PhantomLesion(centre_mm=(-78.0, -12.0, 10.0), half_axes_mm=(18.0, 18.0, 18.0))


def lungspread(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "worker.cli", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def ct(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ct")
    spec = PhantomSpec(shape=(20, 176, 176), spacing_mm=(4.0, 2.0, 2.0), lesions=(LESION,))
    write_series(folder, chest_phantom(spec))
    return folder


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "lungspread.toml"
    path.write_text(
        f'[node]\ndata_dir = "{tmp_path / "var"}"\nport = 1\nmin_free_mb = 1\n'
        '[[peers]]\nname = "gone"\nae_title = "GONE"\nhost = "127.0.0.1"\nport = 1\n'
        "query_priors = true\n"
    )
    return path


NOTES_CONNECTIONS = """
import sys
def note(event, arguments):
    if event in ("socket.connect", "socket.sendto", "socket.getaddrinfo"):
        with open({file!r}, "a") as file:
            print(event, arguments[1:], file=file)
sys.addaudithook(note)
"""


@pytest.fixture
def connections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with every connection that the processes of a test open; it is not there if they open none."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(NOTES_CONNECTIONS.format(file=str(tmp_path / "connections")))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")]))
    return tmp_path / "connections"


def test_run_writes_seg_sr_findings_and_pictures_and_speaks_to_nobody(
    ct: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, connections: Path
) -> None:
    monkeypatch.setenv("LUNGSPREAD_WORKER__ENSEMBLE_SIZE", "1")
    monkeypatch.setenv("LUNGSPREAD_WORKER__FLIP_TTA", "false")

    done = lungspread("run", ct, "--out", tmp_path / "out", "--pictures")

    assert done.returncode == 0, done.stderr
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names >= {"seg.dcm", "sr.dcm", "findings.json", "overview.png", "lesion-1.png"}
    lesions = json.loads((tmp_path / "out" / "findings.json").read_text())["lesions"]
    assert lesions[0]["centroid_lps_mm"] == pytest.approx(LESION.centre_mm, abs=3)
    assert not connections.exists()


def test_a_rejected_series_exits_with_2_and_one_line(ct: Path, tmp_path: Path) -> None:
    for path in sorted(ct.glob("*.dcm")):
        if path.name != "0010.dcm":
            (tmp_path / path.name).symlink_to(path)

    rejected = lungspread("run", tmp_path, "--out", tmp_path / "out")

    assert rejected.returncode == 2
    assert rejected.stderr.count("\n") == 1
    assert "8.00 mm" in rejected.stderr
    assert pydicom.dcmread(ct / "0001.dcm").SeriesInstanceUID in rejected.stderr


def test_a_folder_without_dicom_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no image")

    rejected = lungspread("run", tmp_path, "--out", tmp_path / "out")

    assert rejected.returncode == 2
    assert rejected.stderr.count("\n") == 1


def test_an_unknown_setting_exits_with_1_and_one_line(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("[node]\nprot = 104\n")

    failed = lungspread("jobs", "--config", tmp_path / "bad.toml")

    assert failed.returncode == 1
    assert failed.stderr == "lungspread: node.prot: there is no such setting\n"


def test_a_new_data_directory_has_no_jobs(config: Path) -> None:
    listed = lungspread("jobs", "--json", "--config", config)

    assert listed.returncode == 0
    assert json.loads(listed.stdout) == []


def test_retry_of_an_unknown_job_fails(config: Path) -> None:
    failed = lungspread("retry", "abc", "--config", config)

    assert failed.returncode == 1
    assert "0 jobs begin with abc" in failed.stderr


def test_doctor_reports_failures_with_hints(config: Path) -> None:
    done = lungspread("doctor", "--config", config)

    assert done.returncode == 1
    assert "ok   model" in done.stdout
    assert "ok   journal" in done.stdout
    assert "FAIL peer gone" in done.stdout
    assert "-> check host, port and AE title of gone" in done.stdout
    assert "FAIL priors of gone" in done.stdout


def test_doctor_reports_an_ensemble_size_larger_than_the_model(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUNGSPREAD_WORKER__ENSEMBLE_SIZE", "9")

    done = lungspread("doctor", "--config", config)

    assert "FAIL model" in done.stdout
    assert "worker.ensemble_size is 9, the model has 5" in done.stdout


def test_send_to_an_unknown_peer_lists_the_peers(ct: Path, config: Path) -> None:
    failed = lungspread("send", ct, "--to", "nobody", "--config", config)

    assert failed.returncode == 1
    assert "no peer is called nobody; there are: gone" in failed.stderr
