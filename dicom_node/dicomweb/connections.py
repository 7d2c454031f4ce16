"""Limits of connections to the DICOMweb server, so that strangers cannot keep its peers out."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

from dicom_node.setting_types import is_loopback

MAX_CONNECTIONS = 256
"""Most open connections; a further one is closed at once."""
MAX_OF_ONE_ADDRESS = 32
"""Most open connections of one address, except of this machine, where a proxy may stand before the server."""
MAX_HEAD_BYTES = 16_384
"""Longest request line with headers (h11's limit too)."""


def limited_protocol(head_s: float) -> type[asyncio.Protocol]:
    """Return uvicorn's HTTP/1.1 with these limits, of which it has none itself.

    head_s: how long a request line with its headers may take, from the connection or the answer before on.
    """

    class LimitedProtocol(H11Protocol):
        _ending: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if self._is_one_too_many():
                transport.abort()
            else:
                self._end_later()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.cycle is not None and not self.cycle.response_complete:
                self._let_live()  # the request has its own limits: request_body.py
            elif self._ending is None:
                self._end_later()

        def connection_lost(self, exc: Exception | None) -> None:
            self._let_live()
            super().connection_lost(exc)

        def _is_one_too_many(self) -> bool:
            address = self.client[0] if self.client else ""
            clients = [getattr(other, "client", None) for other in self.connections]
            of_address = sum(client is not None and client[0] == address for client in clients)
            return len(self.connections) > MAX_CONNECTIONS or (
                of_address > MAX_OF_ONE_ADDRESS and not is_loopback(address)
            )

        def _end_later(self) -> None:
            self._ending = self.loop.call_later(head_s, self.transport.abort)

        def _let_live(self) -> None:
            if self._ending is not None:
                self._ending.cancel()
                self._ending = None

    return LimitedProtocol
