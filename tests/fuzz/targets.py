"""What is fed in one process: files, headers, series, frames, configuration and the rows of the journal."""

from __future__ import annotations

import contextlib
import random
import re
import sqlite3
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from dicom_node.errors import NodeError
from dicom_node.journal.journal import Journal
from dicom_node.network.status import configure_libraries
from dicom_node.selection.series_facts import read_facts
from dicom_node.series import Instance, Series
from dicom_node.storage.dataset_header import read_header
from dicom_node.storage.receiver import InstanceReceiver, received_file
from dicom_node.storage.spool import Spool
from tests.fuzz.corpus import Sample, samples
from tests.fuzz.mutate import bomb, element, mutated, mutated_data_set
from worker.cli.journal_jobs import list_jobs
from worker.pipeline import read_scan
from worker.settings import load_settings

ROOT = Path(__file__).parent.parent.parent
_BOMBS = 0.0005
"""Share of the inputs of a target that inflate to a gigabyte."""
_DEFLATED = "1.2.840.10008.1.2.1.99"


class Fault(Exception):  # noqa: N818 - named for the fact
    """The target did what it must not do."""


class Target(Protocol):
    """Something that takes bytes from outside. `feed` raises what it must not raise; declared errors it swallows."""

    def open(self, folder: Path) -> contextlib.AbstractContextManager[None]:
        """Prepare the target in an empty folder, for a `with` block."""
        ...

    def feed(self, rng: random.Random) -> str:
        """Make one input, feed it, and return what became of it in a word, for the table."""
        ...


@dataclass(slots=True)
class Headers:
    """`read_header` over mutated data sets."""

    @contextmanager
    def open(self, folder: Path) -> Iterator[None]:  # noqa: ARG002 - it needs none
        configure_libraries()
        yield

    def feed(self, rng: random.Random) -> str:
        sample, number = _choose(rng)
        data_set = sample.files[number][sample.data_set_start(number) :]
        syntax = rng.choice((sample.syntax, sample.syntax, _choose(rng)[0].syntax))
        if rng.random() < _BOMBS:
            data_set, syntax = bomb(), _DEFLATED
        elif sample.syntax == _DEFLATED or rng.random() < 0.3:
            data_set = mutated(data_set, rng)
        else:
            data_set = mutated_data_set(data_set, rng, [_choose(rng)[0].files[0]])
        return _outcome(lambda: read_header(data_set, syntax))


@dataclass(slots=True)
class Files:
    """`InstanceReceiver.keep` over mutated files; nothing is written outside the inbox."""

    _receiver: InstanceReceiver | None = None
    _folder: Path = field(default_factory=Path)

    @contextmanager
    def open(self, folder: Path) -> Iterator[None]:
        configure_libraries()
        self._folder = folder
        with Journal(f"sqlite:///{folder}/node/journal.db") as journal:
            self._receiver = InstanceReceiver(journal.series, Spool(folder / "node"))
            yield
            self._receiver.close()

    def feed(self, rng: random.Random) -> str:
        assert self._receiver is not None
        receiver = self._receiver
        sample, number = _choose(rng)
        file = _mutated_file(sample, number, rng)
        outcome = _outcome(lambda: receiver.keep(received_file(file, "SENDER", is_fetched=True)))
        if strangers := [path.name for path in self._folder.iterdir() if path.name != "node"]:
            raise Fault(f"files outside the data directory: {len(strangers)}")
        return outcome


@dataclass(slots=True)
class SeriesOfFiles:
    """What node and worker read of a series, one or all of whose files are mutated. frames: only in their pixels."""

    frames: bool
    _folder: Path = field(default_factory=Path)

    @contextmanager
    def open(self, folder: Path) -> Iterator[None]:
        configure_libraries()
        warnings.simplefilter("ignore")
        self._folder = folder
        yield

    def feed(self, rng: random.Random) -> str:
        sample, _ = _choose(rng)
        chosen = rng.randrange(len(sample.files))
        is_everywhere = rng.random() < 0.2
        state = rng.getrandbits(64)
        paths = []
        for number in range(len(sample.files)):
            path = self._folder / f"{number}.dcm"
            is_chosen = is_everywhere or number == chosen
            own = random.Random(state)  # the same mutation in every file
            path.write_bytes(self._mutated(sample, number, own) if is_chosen else sample.files[number])
            paths.append(path)
        _outcome(lambda: read_facts(paths))
        return _outcome(lambda: read_scan(paths))

    def _mutated(self, sample: Sample, number: int, rng: random.Random) -> bytes:
        return _mutated_pixels(sample, number, rng) if self.frames else _mutated_file(sample, number, rng)


@dataclass(slots=True)
class Configuration:
    """`load_settings` over mutated configuration files."""

    _file: Path = field(default_factory=Path)
    _text: bytes = b""

    @contextmanager
    def open(self, folder: Path) -> Iterator[None]:
        self._file = folder / "lungspread.toml"
        shipped = (ROOT / "lungspread.toml").read_text(encoding="utf-8")
        self._text = re.sub(r"(?m)^#(?=[\[a-z])", "", shipped).encode()  # with the settings of a peer
        self._file.write_bytes(self._text)
        load_settings(self._file)
        yield

    def feed(self, rng: random.Random) -> str:
        self._file.write_bytes(mutated(self._text, rng, [self._text]))
        return _outcome(lambda: load_settings(self._file))


@dataclass(slots=True)
class Rows:
    """`lungspread jobs` over a journal one of whose values is damaged."""

    _folder: Path = field(default_factory=Path)
    _columns: list[tuple[str, str]] = field(default_factory=list)

    @property
    def _database(self) -> Path:
        return self._folder / "journal.db"

    @contextmanager
    def open(self, folder: Path) -> Iterator[None]:
        self._folder = folder
        (folder / "lungspread.toml").write_text(f'[node]\ndata_dir = "{folder}"\n')
        with Journal(f"sqlite:///{self._database}") as journal:
            for number in range(3):
                _add_job(journal, f"1.2.{number}")
        with closing(sqlite3.connect(self._database)) as database:
            for table in ("jobs", "series", "instances", "selections"):
                columns = database.execute(f"PRAGMA table_info({table})").fetchall()
                self._columns += [(table, column[1]) for column in columns]
        yield

    def feed(self, rng: random.Random) -> str:
        table, column = rng.choice(self._columns)
        values = (b"", b"[", '["1.2', "{}", "null", "[1]", "nan", -1, 1 << 62, rng.randbytes(9), "x" * 5000, "[" * 5000)
        with closing(sqlite3.connect(self._database)) as database:
            database.execute("PRAGMA foreign_keys = OFF")
            number, right = database.execute(f"SELECT rowid, {column} FROM {table} LIMIT 1").fetchone() or (0, None)
            with contextlib.suppress(sqlite3.IntegrityError), database:
                database.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", [rng.choice(values), number])
            try:
                return _outcome(lambda: list_jobs(load_settings(self._folder / "lungspread.toml")))
            finally:
                with database:
                    database.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", [right, number])


def _add_job(journal: Journal, series_uid: str) -> None:
    instance = Instance(
        sop_instance_uid=f"{series_uid}.1",
        sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
        series_uid=series_uid,
        study_uid="1.2",
        calling_ae_title="SENDER",
        data_set_sha256="0" * 64,
    )
    journal.series.record_instances([instance], 1.0)
    series = Series(series_uid=series_uid, study_uid="1.2", sop_instance_uids=(f"{series_uid}.1",))
    journal.jobs.create(series, "config", 1.0)


def _choose(rng: random.Random) -> tuple[Sample, int]:
    sample = rng.choice(samples())
    return sample, rng.randrange(len(sample.files))


def _mutated_file(sample: Sample, number: int, rng: random.Random) -> bytes:
    file, start = sample.files[number], sample.data_set_start(number)
    if rng.random() < _BOMBS:
        deflated = next(sample for sample in samples() if sample.syntax == _DEFLATED)
        return deflated.files[0][: deflated.data_set_start(0)] + bomb()
    if rng.random() < 0.15:
        return mutated(file, rng, [_choose(rng)[0].files[0]])
    return file[:start] + mutated_data_set(file[start:], rng, [_choose(rng)[0].files[0]])


def _mutated_pixels(sample: Sample, number: int, rng: random.Random) -> bytes:
    file, start = sample.files[number], sample.pixels_start(number)
    other, frame = _choose(rng)
    pixels = mutated(file[start:], rng, [other.files[frame][other.pixels_start(frame) :]])
    if rng.random() < 0.1:  # more rows than pixels
        size = element(0x00280010, "US", rng.randbytes(2)) + element(0x00280011, "US", rng.randbytes(2))
        at = file.find(b"\x28\x00\x10\x00US")
        return file[:at] + size + file[at + len(size) : start] + pixels
    return file[:start] + pixels


def _outcome(call: Callable[[], object]) -> str:
    """Call, and return "accepted", or "refused" if a declared error is raised; another error passes."""
    try:
        call()
    except NodeError:
        return "refused"
    return "accepted"
