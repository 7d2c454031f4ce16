from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from dicom_node.journal import Journal


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """A PostgreSQL server of our own on a Unix socket; its programs do not run as root."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("no PostgreSQL below /usr/lib/postgresql")
    user = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    shutil.chown(folder, user)
    programs = found[-1].parent
    initdb = [f"{programs}/initdb", "-D", f"{folder}/data", "-U", "journal", "-A", "trust", "--no-sync"]
    made = subprocess.run(initdb, user=user, cwd="/", capture_output=True, check=False, text=True)
    if made.returncode:
        pytest.skip(f"initdb: {made.stderr.strip()}")
    command = [f"{programs}/postgres", "-D", f"{folder}/data", "-k", str(folder), "-c", "listen_addresses="]
    server = subprocess.Popen(command, user=user, cwd="/", stderr=subprocess.DEVNULL)
    ready = [f"{programs}/pg_isready", "-q", "-h", str(folder)]
    while subprocess.run(ready, check=False).returncode:
        assert server.poll() is None
        time.sleep(0.1)
    yield f"postgresql+psycopg://journal@/postgres?host={folder}"
    server.send_signal(signal.SIGINT)
    server.wait()
    shutil.rmtree(folder)


@pytest.fixture(params=["sqlite", "postgresql"])
def journal_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/journal.db"
    url: str = request.getfixturevalue("postgresql")
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    return url


@pytest.fixture
def journal(journal_url: str) -> Iterator[Journal]:
    journal = Journal(journal_url)
    yield journal
    journal.close()
