"""The DICOMweb server: uvicorn in a thread of the node."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import uvicorn

from dicom_node.audit.trail import AuditTrail, no_audit
from dicom_node.dicomweb.access import Access
from dicom_node.dicomweb.application import make_application
from dicom_node.dicomweb.connections import MAX_HEAD_BYTES, limited_protocol
from dicom_node.dicomweb.request_body import BodyLimits, RequestSlots
from dicom_node.dicomweb.results import Results
from dicom_node.dicomweb.retrieve import RetrieveService
from dicom_node.dicomweb.search_service import SearchService
from dicom_node.dicomweb.store import StoreService
from dicom_node.errors import SettingsError
from dicom_node.journal.documents import DocumentJournal
from dicom_node.network.http_tls import server_context
from dicom_node.settings import DicomwebSettings, NodeSettings, Peer
from dicom_node.storage.receiver import InstanceReceiver
from dicom_node.storage.spool import Spool

log = logging.getLogger(__name__)

_STOP_S = 1
"""How long open requests may take when the node ends; a sender without an answer sends again."""
_JOIN_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DicomwebServer:
    """What the server serves, to whom and where."""

    settings: DicomwebSettings
    node: NodeSettings
    peers: Sequence[Peer]
    receiver: InstanceReceiver
    documents: DocumentJournal
    spool: Spool
    audit: AuditTrail = field(default_factory=no_audit)

    def open(self) -> RunningDicomweb:
        """Start to listen, and return the server without blocking. Raises SettingsError if that is not possible."""
        access = Access(self.peers, self.settings, self.audit)
        results = Results(self.documents, self.spool)
        limits = BodyLimits(most_bytes=self.settings.max_request_mb << 20, timeout_s=self.node.network_timeout_s)
        slots = RequestSlots(self.node.max_associations)
        application = make_application(
            StoreService(access=access, receiver=self.receiver, limits=limits, slots=slots),
            SearchService(access=access, results=results, public_url=self.settings.public_url),
            RetrieveService(access=access, results=results, public_url=self.settings.public_url),
        )
        tls = server_context(self.settings)
        config = uvicorn.Config(
            application,
            http=limited_protocol(head_s=self.node.connect_timeout_s),
            h11_max_incomplete_event_size=MAX_HEAD_BYTES,
            access_log=False,  # URLs of searches have patient names and IDs
            log_config=None,
            lifespan="off",
            ws="none",
            server_header=False,
            proxy_headers=False,  # `public_url` says what a proxy changes
            ssl_context_factory=None if tls is None else lambda *_: tls,
            timeout_graceful_shutdown=_STOP_S,
        )
        config.load()
        running = RunningDicomweb(config, self._listen(), handshake_s=self.node.connect_timeout_s)
        log.info("DICOMweb server listens on %s:%d", self.settings.host, running.port)
        return running

    def _listen(self) -> socket.socket:
        host, port = self.settings.host, self.settings.port
        try:
            return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        except OSError as error:
            reason = f"cannot listen on {host}:{port}: {error.strerror}"
            raise SettingsError(f"dicomweb.host and dicomweb.port: {reason}") from None


class RunningDicomweb:
    """A server that listens until it is closed; `port` is its port."""

    def __init__(self, config: uvicorn.Config, listening: socket.socket, handshake_s: float) -> None:
        """handshake_s: how long the TLS handshake of a client may take."""
        self.port = int(listening.getsockname()[1])
        self._server = uvicorn.Server(config)
        self._handshake_s = handshake_s if config.is_ssl else None
        self._listening = listening
        self._thread = threading.Thread(target=self._run, name="DICOMweb", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening, and end open requests after a second."""
        self._server.should_exit = True
        self._thread.join(_JOIN_S)

    def _run(self) -> None:
        with self._listening:
            asyncio.run(self._serve())

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        # uvicorn does not pass the limit on: by default, a client may hold its connection for a minute.
        create_server = partial(loop.create_server, ssl_handshake_timeout=self._handshake_s)
        setattr(loop, "create_server", create_server)  # noqa: B010 - a method, to the type checker
        await self._server.serve([self._listening])
