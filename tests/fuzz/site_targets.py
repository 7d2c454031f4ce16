"""What is fed to a running node: bytes on its port, DIMSE messages and DICOMweb requests."""

from __future__ import annotations

import contextlib
import random
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from dicom_node.network.status import configure_libraries
from tests.faults.site import Site
from tests.fixtures.ports import free_port
from tests.fuzz.corpus import samples
from tests.fuzz.mutate import mutated, mutated_data_set
from tests.fuzz.pdus import Fragment, association_request, command, fragments_of, http_request, message, p_data, pdu
from tests.fuzz.targets import Fault
from tests.fuzz.watch import MOST_MB, peak_mb

ANSWERS_WITHIN_S = 5.0
_CHECK_EVERY = 20
_TIME = len("2026-11-30 06:38:54,409 ")
_STRANGER, _PEER = "127.0.0.3", "127.0.0.1"
"""Addresses."""


@dataclass(slots=True, kw_only=True)
class OnSite:
    """A site whose node and worker are fed; after some inputs an allowed peer's C-ECHO is answered, as ever."""

    bad_lines: ClassVar[re.Pattern[bytes]] = re.compile(
        rb"unexpected|thread ended|ended with exit code|answered 500|Segmentation|Traceback|Exception"
    )
    _site: Site | None = None
    _log_at: int = 0
    _inputs: int = 0
    _outside: frozenset[str] = frozenset()
    _http_port: int = field(default_factory=free_port)

    @contextmanager
    def open(self, folder: Path) -> Iterator[None]:
        configure_libraries()
        web = f'\n[dicomweb]\nenabled = true\nport = {self._http_port}\npeer_without_token = "sender"\n'
        with Site(folder=folder / "site", has_own_disk=False, more=web) as site:
            self._site = site
            self._outside = self._names()
            self._prepare()
            yield

    @property
    def site(self) -> Site:
        assert self._site is not None
        return self._site

    def feed(self, rng: random.Random) -> str:
        outcome = self._feed(rng)
        self._inputs += 1
        if self._inputs % _CHECK_EVERY == 0:
            self._check()
        self._read_log()
        return outcome

    def _prepare(self) -> None:
        return

    def _feed(self, rng: random.Random) -> str:
        raise NotImplementedError

    def _names(self) -> frozenset[str]:
        """Return the files of the site outside inbox and outbox."""
        folders = (self.site.folder, self.site.disk.folder)
        return frozenset(str(path) for folder in folders for path in folder.iterdir())

    def _check(self) -> None:
        answer = _exchange(
            self.site.node_port,
            [association_request(), _ECHO],
            source=_PEER,
            answers=2,
            within_s=ANSWERS_WITHIN_S,
        )
        if answer[:1] != b"\x02" or b"\x30\x80" not in answer:  # A-ASSOCIATE-AC, and a C-ECHO-RSP in it
            raise Fault(f"an allowed peer's C-ECHO is not answered within {ANSWERS_WITHIN_S:g} s")
        for name in ("node", "worker"):
            if (memory_mb := peak_mb(self.site.child(name).pid)) > MOST_MB:
                self.site.kill(name)
                raise Fault(f"memory of the {name}: {memory_mb:.0f} MiB")
        if strangers := {name for name in self._names() - self._outside if "journal" not in name}:
            raise Fault(f"files outside the spool: {len(strangers)}")

    def _read_log(self) -> None:
        with self.site.log.open("rb") as log:
            log.seek(self._log_at)
            new = log.read()
        self._log_at += len(new)
        if (found := self.bad_lines.search(new)) is not None:
            end = new.find(b"\n", found.end())
            start = new.rfind(b"\n", 0, found.start()) + 1
            raise Fault(f"the log says: {new[start + _TIME : end][:160].decode(errors='replace')}")


class Port(OnSite):
    """Bytes on the port before and within an association request, from a stranger's address and from a peer's."""

    def _feed(self, rng: random.Random) -> str:
        start = rng.choice(
            (association_request(), association_request(), pdu(4, bytes(64)), pdu(7, bytes(4)), b"GET / ")
        )
        data = mutated(start, rng, [association_request()]) + (rng.randbytes(200) if rng.random() < 0.2 else b"")
        source, within_s = rng.choice((_STRANGER, _PEER)), 0.05 * rng.randrange(2)
        answer = _exchange(self.site.node_port, [data], source=source, answers=0, within_s=within_s)
        return f"answer {answer[0]}" if answer else "no answer"


class Dimse(OnSite):
    """Messages of an allowed peer whose command sets, data sets and fragments are mutated."""

    def _feed(self, rng: random.Random) -> str:
        sample = samples()[0]
        context, command_set, data_set = message(rng, sample)
        if rng.random() < 0.4:
            command_set = mutated(command_set, rng)
        if data_set and rng.random() < 0.6:
            data_set = mutated_data_set(data_set, rng)
        fragments = _shuffled(fragments_of(context, command_set, data_set), rng)
        pdus = [p_data([fragment]) for fragment in fragments] if rng.random() < 0.7 else [p_data(fragments)]
        if rng.random() < 0.2:
            pdus = [mutated(one, rng) for one in pdus]
        answer = _exchange(self.site.node_port, [association_request(), *pdus], source=_PEER, answers=2, within_s=0.3)
        return f"{answer.count(bytes([4, 0]))} data PDUs" if answer else "no answer"


class Dicomweb(OnSite):
    """HTTP requests whose head, body or multipart structure are mutated."""

    def _feed(self, rng: random.Random) -> str:
        sample = samples()[0]
        file = sample.files[rng.randrange(len(sample.files))]
        head, body = http_request(rng, mutated(file, rng) if rng.random() < 0.5 else file)
        length = len(body)
        if body and rng.random() < 0.4:
            body = mutated(body, rng)
        if rng.random() < 0.7:
            length = len(body)
        head += f"Content-Length: {length}\r\nConnection: close\r\n\r\n".encode()
        if rng.random() < 0.5:
            head = mutated(head, rng)
        answer = _exchange(self._http_port, [head + body], source=_PEER, answers=1, within_s=1.0, ends=True)
        status = answer[9:12].decode("latin-1") if answer.startswith(b"HTTP/1.1 ") else "none"
        if status.startswith("5") and status != "503":
            raise Fault(f"HTTP status {status}")
        return f"status {status}"


_ECHO = p_data(fragments_of(3, command(0x0030, "1.2.840.10008.1.1", has_data_set=False), b""))


def _shuffled(fragments: list[Fragment], rng: random.Random) -> list[Fragment]:
    """Return the fragments as they are, or in another order, some missing, repeated or with other control headers."""
    how = rng.choice(("as they are", "as they are", "order", "missing", "repeated", "control", "context"))
    at = rng.randrange(len(fragments))
    context, control, body = fragments[at]
    if how == "order":
        rng.shuffle(fragments)
    elif how == "missing":
        del fragments[at]
    elif how == "repeated":
        fragments.insert(at, fragments[at])
    elif how == "control":
        fragments[at] = (context, rng.randrange(256), body)
    elif how == "context":
        fragments[at] = (rng.randrange(256), control, body)
    return fragments


def _exchange(
    port: int, messages: list[bytes], *, source: str, answers: int, within_s: float, ends: bool = False
) -> bytes:
    """Send messages, wait for so many answers (or the end), and return what came back, if the peer did not hang up."""
    received, until = b"", time.monotonic() + within_s
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5, (source, 0)) as connection:
        for number, sent in enumerate(messages):
            connection.sendall(sent)
            if number == 0 and answers:
                received += _receive(connection, until)
        while (ends or answers > 1) and time.monotonic() < until:
            more = _receive(connection, until)
            if not more:
                break
            received += more
            if not ends and len(received) > 200 and more[:1] in (b"\x04", b"\x07"):
                break
        if not answers and within_s:
            received += _receive(connection, until)
    return received


def _receive(connection: socket.socket, until: float) -> bytes:
    connection.settimeout(max(0.001, until - time.monotonic()))
    with contextlib.suppress(TimeoutError):
        return connection.recv(65536)
    return b""
