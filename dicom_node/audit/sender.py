"""Sends what the files of the audit trail hold to an audit record repository, from where it stopped.

Syslog has no acknowledgement: a message counts as sent when the other machine has received it. Some may be sent
twice after an interruption; none is left out while its file exists.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from dicom_node.audit.files import file_names
from dicom_node.audit.transport import Transport
from dicom_node.errors import AuditNotSent

log = logging.getLogger(__name__)

_MOST_IN_BATCH = 500
_POSITIONS = "sent.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """A line of a file, and where it ends."""

    name: str
    end: int
    content: bytes


class AuditSender:
    """Sends the lines of a folder, from the remembered position of each file."""

    def __init__(self, folder: Path, transport: Transport) -> None:
        self._folder = folder
        self._transport = transport
        self._sent_up_to = _read_positions(folder)

    def step(self, _now: float = 0.0) -> None:
        """Send what was written since the last call. Raises AuditNotSent: the loop tries again after a pause."""
        lines = self._unsent()
        while batch := list(islice(lines, _MOST_IN_BATCH)):
            self._send(batch)

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()

    def first_unsent(self) -> str:
        """Return a name that sorts after those of files that are sent and before those of all others."""
        return min(self._sent_up_to, default="")

    def _send(self, batch: list[_Line]) -> None:
        messages = [line.content for line in batch if line.content.startswith(b"<")]
        if len(messages) < len(batch):
            log.error("%d damaged lines in %s are not sent", len(batch) - len(messages), self._folder)
        try:
            self._transport.send(messages)
        except OSError as error:
            self._transport.close()
            why = f"{type(error).__name__}: {error.strerror or 'no reason given'}"
            waiting = f"audit messages of {self._unsent_bytes()} bytes wait in {self._folder}"
            raise AuditNotSent(f"{self._transport.address}: {why}; {waiting}") from None
        self._remember(self._sent_up_to | {line.name: line.end for line in batch})

    def _unsent(self) -> Iterator[_Line]:
        """Yield the complete lines after the positions; another process may still append to the last but one file."""
        for name in self._names():
            yield from _lines_after(self._folder / name, self._sent_up_to.get(name, 0))

    def _unsent_bytes(self) -> int:
        return sum((self._folder / name).stat().st_size - self._sent_up_to.get(name, 0) for name in self._names())

    def _names(self) -> list[str]:
        """Return the names of the files that may have lines to send."""
        return [name for name in file_names(self._folder) if name >= self.first_unsent()]

    def _remember(self, positions: dict[str, int]) -> None:
        """Write the positions of the last two files, and of earlier ones that are not done."""
        last_two = file_names(self._folder)[-2:]
        self._sent_up_to = {
            name: end
            for name, end in positions.items()
            if name in last_two or end < (self._folder / name).stat().st_size
        }
        new = self._folder / f".{_POSITIONS}.part"
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "w", encoding="ascii") as file:  # noqa: PTH123 - a descriptor, not a path
            json.dump(self._sent_up_to, file)
        new.replace(self._folder / _POSITIONS)


def _lines_after(path: Path, start: int) -> Iterator[_Line]:
    with path.open("rb") as file:
        file.seek(start)
        for line in file:
            if line.endswith(b"\n"):
                start += len(line)
                yield _Line(name=path.name, end=start, content=line[:-1])


def _read_positions(folder: Path) -> dict[str, int]:
    try:
        read = json.loads((folder / _POSITIONS).read_text(encoding="ascii"))
        return {str(name): int(end) for name, end in read.items()}
    except FileNotFoundError:
        return {}
    except (ValueError, AttributeError, TypeError):
        log.error("%s cannot be read: all audit messages of %s are sent again", _POSITIONS, folder)  # noqa: TRY400
        return {}
