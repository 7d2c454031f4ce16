"""The socket of an association: reads a PDU in few calls, within limits of its length and time."""

from __future__ import annotations

import contextlib
import select
import time
from typing import Any

from pynetdicom.association import Association
from pynetdicom.transport import AssociationSocket

MAX_PDU_BYTES = 1 << 20
"""A longer PDU ends its association; we announce an eighth of it."""
MAX_REQUEST_BYTES = 1 << 18
"""Enough for 128 presentation contexts of thirty transfer syntaxes each; decoding a longer PDU takes too long."""
MAX_VALUES = 128
"""Presentation data values of one PDU: peers send one or two; each becomes a few hundred bytes of memory."""
_SELECT_TIMEOUT_S = 0.005
_HEADER_BYTES, _VALUE_LENGTH_BYTES, _P_DATA = 6, 4, 0x04
"""PS3.8 9.3.1 and table 9-23."""


class BufferedSocket(AssociationSocket):
    """A socket that limits length, parts and time of each PDU.

    begun: what was read from the connection before.
    """

    def __init__(self, association: Association, begun: bytearray | None = None, **options: Any) -> None:  # noqa: ANN401
        super().__init__(association, **options)
        self._begun = begun or bytearray()
        self._is_data = False
        """Whether the PDU whose header was read last is a P-DATA-TF."""

    @property
    def ready(self) -> bool:
        """Whether data can be read; the acceptor waits in select() where pynetdicom sleeps and polls."""
        is_ready: bool = bool(self._begun) or super().ready
        if is_ready or not self.assoc.is_acceptor or self.socket is None:
            return is_ready
        with contextlib.suppress(OSError, ValueError):  # closed meanwhile; the next call detects it
            return bool(select.select([self.socket], [], [], _SELECT_TIMEOUT_S)[0])
        return False

    def recv(self, nr_bytes: int) -> bytearray:
        """Return `nr_bytes` bytes, or fewer if the peer closed the connection or the time is over.

        Raises OSError, which ends the association, if a PDU is longer than any that was negotiated.
        """
        limit = MAX_PDU_BYTES if self.assoc.is_established else MAX_REQUEST_BYTES
        if nr_bytes > limit or self.socket is None:
            raise OSError(f"PDU of {nr_bytes} bytes, the limit is {limit}")
        begun, self._begun = self._begun[:nr_bytes], self._begun[nr_bytes:]
        received = begun + self._read(nr_bytes - len(begun)) if begun else self._read(nr_bytes)
        if self._is_data:
            require_few_values(received)
        self._is_data = len(received) == _HEADER_BYTES and received[0] == _P_DATA and not self._is_data
        return received

    def _read(self, nr_bytes: int) -> bytearray:
        assert self.socket is not None  # noqa: S101 - `recv` has looked
        received, have = bytearray(nr_bytes), 0
        until = time.monotonic() + (self.socket.gettimeout() or 0)
        with memoryview(received) as view:
            while have < nr_bytes:
                count = self.socket.recv_into(view[have:])
                if count == 0 or time.monotonic() > until:
                    break
                have += count
        del received[have:]
        return received

    def _shutdown_socket(self) -> None:
        super()._shutdown_socket()
        if self.socket is not None:
            self.socket.close()  # pynetdicom leaves a socket open that was never connected


def require_few_values(body: bytes | bytearray) -> None:
    """Raise OSError if the body of a P-DATA-TF has more than MAX_VALUES presentation data values (PS3.8 9.3.5)."""
    position = count = 0
    while position < len(body) and count <= MAX_VALUES:
        position += _VALUE_LENGTH_BYTES + int.from_bytes(body[position : position + _VALUE_LENGTH_BYTES], "big")
        count += 1
    if count > MAX_VALUES:
        raise OSError(f"PDU of more than {MAX_VALUES} presentation data values")
