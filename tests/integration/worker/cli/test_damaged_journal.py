"""What the commands say of a damaged journal, and of what waits for a person."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dicom_node.journal.journal import Journal
from dicom_node.queue.assembler import assemble
from dicom_node.selection.selector import every_series
from tests.fixtures.dicom_node.journals import received
from worker.cli.check import Check
from worker.cli.checks import run_checks
from worker.cli.main import app
from worker.cli.terminal import out
from worker.settings import Settings, load_settings


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "lungspread.toml"
    file.write_text(f'[node]\ndata_dir = "{tmp_path}/data"\n[worker]\nmodel = "no_such_model"\n')
    return file


@pytest.fixture
def settings(config: Path) -> Settings:
    return load_settings(config)


@pytest.fixture
def queued(settings: Settings) -> list[str]:
    """The keys of two queued jobs."""
    with Journal(settings.journal.url_in(settings.node.data_dir)) as journal:
        for series_uid in ("1.1", "1.2"):
            journal.series.record_instances([received(1, series_uid)], 0.0)
        return [job.job_key for job in assemble(journal, "config", every_series(journal, 20.0, 60.0), 60.0)]


def damage_row(settings: Settings, job_key: str) -> None:
    connection = sqlite3.connect(settings.node.data_dir / "journal.db")
    connection.execute("UPDATE jobs SET sop_instance_uids = '[' WHERE job_key = ?", (job_key,))
    connection.commit()
    connection.close()


def damage_file(settings: Settings) -> None:
    (settings.node.data_dir / "journal.db").write_bytes(b"\xa5" * 8192)


@pytest.fixture(autouse=True)
def _wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(out, "width", 300)


def run(config: Path, *arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, [*arguments, "--config", str(config)])
    return done.exit_code, done.output


def checked(settings: Settings) -> dict[str, Check]:
    return {check.subject: check for check in run_checks(settings)}


def test_doctor_answers_all_its_checks_when_the_journal_is_damaged(settings: Settings, queued: list[str]) -> None:
    assert queued
    damage_file(settings)

    checks = checked(settings)

    assert list(checks) == ["configuration", "disk", "privacy", "redis", "journal", "storage", "model", "node"]
    assert not checks["journal"].passed
    assert "file is not a database" in checks["journal"].fact
    assert "put a copy of the journal back" in checks["journal"].fact


def test_doctor_answers_when_a_check_meets_what_nobody_expected(settings: Settings) -> None:
    settings.node.data_dir.mkdir()
    (settings.node.data_dir / "journal.db").mkdir()  # a folder in place of the file
    (settings.node.data_dir / "outbox").write_bytes(b"")  # a file in place of the folder

    checks = checked(settings)

    assert list(checks)[-2:] == ["model", "node"]
    assert not checks["journal"].passed
    assert not checks["storage"].passed


def test_doctor_counts_what_waits_for_a_person(settings: Settings, queued: list[str]) -> None:
    with Journal(settings.journal.url_in(settings.node.data_dir)) as journal:
        journal.leases.claim(queued[0], "worker", 100.0, 60.0)
        journal.leases.release(queued[0], "worker", "ValueError", 61.0, max_attempts=1)
    assert "2 jobs (1 failed, 0 rejected), 0 refused documents, 0 damaged rows" in checked(settings)["journal"].fact

    damage_row(settings, queued[1])

    found = checked(settings)["journal"]
    assert found.passed is False
    assert "1 damaged rows" in found.fact


def test_every_command_that_reads_a_damaged_journal_ends_with_one_line(
    config: Path, settings: Settings, queued: list[str]
) -> None:
    damage_file(settings)
    commands = [["jobs"], ["retry", queued[0]], ["repair"], ["clean-up"], ["timeline", "--list"], ["erase", "ab"]]

    for command in commands:
        code, output = run(config, *command)
        assert (code, output.count("\n")) == (3, 1), output
        assert output.startswith("lungspread: the journal is damaged")


def test_jobs_shows_a_damaged_row_and_repair_has_it_made_again(
    config: Path, settings: Settings, queued: list[str]
) -> None:
    damage_row(settings, queued[0])

    code, output = run(config, "jobs")
    assert code == 0
    assert queued[1][:12] in output
    assert "a row of jobs: sop_instance_uids is not valid" in output

    assert "sop_instance_uids is not valid" in run(config, "repair")[1]
    assert "1 rows are removed" in run(config, "repair", "--apply")[1]
    with Journal(settings.journal.url_in(settings.node.data_dir)) as journal:
        (again,) = assemble(journal, "config", every_series(journal, 20.0, 60.0), 60.0)
    assert again.job_key == queued[0]


def test_jobs_of_one_state_are_listed_and_made_urgent(config: Path, queued: list[str]) -> None:
    assert run(config, "prioritise", queued[0][:8], "stat")[0] == 0
    _, output = run(config, "jobs", "--state", "queued")
    assert "stat" in output
    assert queued[0][:12] in run(config, "jobs", "--state", "queued")[1]
    assert queued[0][:12] not in run(config, "jobs", "--state", "failed")[1]
    assert run(config, "prioritise", queued[0][:8], "at once")[0] == 2
