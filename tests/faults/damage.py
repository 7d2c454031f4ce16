"""Damage of what a site has on its disk: a received file, a job's row, the database."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tests.faults.site import Site

Restore = Callable[[], None]

_PAGE = 4096
_GARBAGE = 700
_SIDE_FILES = ("-wal", "-shm")


@dataclass(frozen=True, slots=True, kw_only=True)
class DamagedFile:
    """A received file and its content after the damage."""

    path: Path
    content: bytes

    @property
    def series_uid(self) -> str:
        return self.path.parent.name

    @property
    def is_still_there(self) -> bool:
        """Whether nobody has sent the instance again."""
        return self.path.is_file() and self.path.read_bytes() == self.content


def damage_file(inbox: Path, series_uids: Sequence[str], rng: random.Random) -> DamagedFile | None:
    """Damage one received file in place; None if there is none yet."""
    files = sorted(file for uid in series_uids for file in (inbox / uid).glob("[!.]*.dcm"))
    if not files:
        return None
    file = rng.choice(files)
    size = file.stat().st_size
    with file.open("r+b") as opened:
        how = rng.choice(("pixels", "header", "cut", "empty"))
        if how in ("pixels", "header"):
            opened.seek(-size // 2 if how == "pixels" else 132, os.SEEK_END if how == "pixels" else os.SEEK_SET)
            opened.write(rng.randbytes(_GARBAGE))
        else:
            opened.truncate(size // 2 if how == "cut" else 0)
    return DamagedFile(path=file, content=file.read_bytes())


def damage_row(journal: Path, series_uid: str) -> Restore:
    """Break the JSON in the row of a series' job."""
    with closing(sqlite3.connect(journal, timeout=10)) as database, database:
        select = "SELECT job_key, sop_instance_uids FROM jobs WHERE series_uid = ?"
        key, right = database.execute(select, [series_uid]).fetchone()
    set_row(journal, key, '["1.2.3", ')
    return lambda: set_row(journal, key, right)


def set_row(journal: Path, job_key: str, value: str) -> None:
    """Write the column `sop_instance_uids` of a job."""
    with closing(sqlite3.connect(journal, timeout=10)) as database, database:
        database.execute("UPDATE jobs SET sop_instance_uids = ? WHERE job_key = ?", [value, job_key])


def damage_database(site: Site, rng: random.Random) -> Restore:
    """Damage the journal's file while the service is off, and return what brings the backup back."""
    backup = site.folder / "journal.backup"
    with site.switched_off():
        with closing(sqlite3.connect(site.journal, timeout=10)) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        shutil.copyfile(site.journal, backup)
        size = site.journal.stat().st_size
        with site.journal.open("r+b") as file:
            how = rng.choice(("header", "pages", "cut"))
            if how == "cut":
                file.truncate(size // 2)
            for _ in range(1 if how == "header" else 8 if how == "pages" else 0):
                file.seek(0 if how == "header" else rng.randrange(1, size // _PAGE) * _PAGE)
                file.write(rng.randbytes(_GARBAGE))

    def restore() -> None:
        with site.switched_off():
            for ending in _SIDE_FILES:
                site.journal.with_name(site.journal.name + ending).unlink(missing_ok=True)
            shutil.copyfile(backup, site.journal)

    return restore
