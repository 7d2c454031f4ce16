"""HTTP with the DICOMweb services of one peer: with its own address alone, and with limits of size and of time.

urllib3 without requests, which follows redirections to other hosts, takes proxies and passwords from the environment,
and waits for ever for an answer of which a byte comes now and then.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from urllib3 import BaseHTTPResponse, Timeout
from urllib3.connectionpool import HTTPConnectionPool, connection_from_url
from urllib3.exceptions import HTTPError
from urllib3.util import parse_url

from dicom_node.errors import PacsUnavailable, SettingsError
from dicom_node.network.http_tls import client_context
from dicom_node.network.scu import MIN_BYTES_PER_S
from dicom_node.settings import NodeSettings, Peer

MAX_ANSWER_BYTES = 4 << 20
"""Longest answer that is read as a whole, such as that of a search: about a thousand studies of one patient."""
_CHUNK_BYTES = 1 << 16


class _Refused(HTTPError):  # noqa: N818 - the name says what we do
    """What we do not accept of an answer; the text is for the log."""

    def __init__(self, why: str, status: int) -> None:
        super().__init__(why)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """A request. path: below the peer's `dicomweb_url`, with its query. length: of the body, in bytes."""

    method: str = "GET"
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Iterable[bytes] | None = None
    length: int = 0


class Answer:
    """The answer to a request, whose body is read from the network as it is asked for."""

    def __init__(self, response: BaseHTTPResponse, deadline: _Deadline, connection: _Connection) -> None:
        self.status = response.status
        self.content_type = response.headers.get("Content-Type", "")
        self._response = response
        self._deadline, self._connection = deadline, connection

    @property
    def is_empty(self) -> bool:
        """Whether it says that it has no body."""
        return self._response.headers.get("Content-Length") == "0"

    def read(self) -> bytes:
        """Return the whole body, of at most 4 MiB."""
        return b"".join(self.chunks(MAX_ANSWER_BYTES, "the limit of an answer that is no series"))

    def chunks(self, most_bytes: int, limited_by: str) -> Iterator[bytes]:
        """Yield the body as it arrives. limited_by: what sets the limit, for the error."""
        if self._response.headers.get("Content-Encoding", "identity") != "identity":
            raise _Refused("the answer is compressed, which was not asked for", self.status)
        received = 0
        while chunk := self._response.read1(_CHUNK_BYTES):
            received += len(chunk)
            self._deadline.extend(len(chunk))
            if received > most_bytes:
                raise _Refused(f"the answer has more than {most_bytes >> 20} MiB ({limited_by})", self.status)
            yield chunk
        if self._connection.was_ended:  # to http.client, a head or a chunk's size that breaks off is a whole one
            raise HTTPError


class HttpSession:
    """Requests to one peer, one at a time, each on a connection of its own; no redirection is followed."""

    def __init__(self, peer: Peer, node: NodeSettings) -> None:
        """Raises SettingsError if the peer's URL, certificates or key cannot be used."""
        self._peer = peer
        self._node = node
        self._connection = _Connection()
        self._aborted = threading.Event()
        self._pool, self._root = self._open_pool()

    def abort(self) -> None:
        """End the exchange of another thread; it raises PacsUnavailable there."""
        self._aborted.set()
        self._connection.end()

    @contextmanager
    def exchange(self, service: str, request: HttpRequest) -> Iterator[Answer]:
        """Send a request, and yield its answer. service: its name, for errors.

        Raises PacsUnavailable, also while the answer is read. Its text has neither URL nor answer, which contain
        patient data. The whole exchange has `node.network_timeout_s`, and longer for large bodies, by a rate.
        """
        self._aborted.clear()
        self._connection.was_ended = False
        deadline = _Deadline(self._node, request.length)
        with self._translate(service, deadline), self._ended_at(deadline):
            response = self._pool.request(
                request.method,
                self._root + request.path,
                body=request.body,
                headers=self._headers(request),
                redirect=False,
                retries=False,
                timeout=Timeout(connect=self._node.connect_timeout_s, read=deadline.silence_s),
                preload_content=False,
                decode_content=False,
            )
            with contextlib.closing(response):
                yield Answer(response, deadline, self._connection)

    def _open_pool(self) -> tuple[HTTPConnectionPool, str]:
        """Return the connections to the peer, and the path of its services."""
        try:
            url = parse_url(self._peer.dicomweb_url)
            tls = {"ssl_context": client_context(self._peer)} if url.scheme == "https" else {}
            pool = connection_from_url(self._peer.dicomweb_url, **tls)
        except HTTPError:
            raise SettingsError(f"peers: dicomweb_url of {self._peer.name} is not a URL") from None
        pool.ConnectionCls = self._connection.watched(pool.ConnectionCls)
        return pool, (url.path or "").rstrip("/")

    def _headers(self, request: HttpRequest) -> dict[str, str]:
        headers = {"Connection": "close", **request.headers}
        if request.body is not None:
            headers["Content-Length"] = str(request.length)
        if secret := self._peer.dicomweb_authorization.get_secret_value():
            headers["Authorization"] = secret
        return headers

    @contextmanager
    def _ended_at(self, deadline: _Deadline) -> Iterator[None]:
        """End the connection at the deadline: a timeout of the socket begins anew with each byte."""
        done = threading.Event()

        def watch() -> None:
            while (left_s := deadline.left_s()) > 0:
                if done.wait(left_s):
                    return
            self._connection.end()

        watcher = threading.Thread(target=watch, name=f"deadline of {self._peer.name}", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()
            self._connection.close()

    @contextmanager
    def _translate(self, service: str, deadline: _Deadline) -> Iterator[None]:
        try:
            yield
        except HTTPError as error:
            status = error.status if isinstance(error, _Refused) else None
            raise PacsUnavailable(self._peer.name, f"{service}: {self._why(error, deadline)}", status) from None

    def _why(self, error: HTTPError, deadline: _Deadline) -> str:
        if self._aborted.is_set():
            return "aborted by us"
        if self._connection.was_ended:
            return f"no whole answer in {deadline.limit_s:.0f} s"
        return str(error) if isinstance(error, _Refused) else type(error).__name__


class _Deadline:
    """When an exchange must have ended: the longer, the more bytes are sent and received."""

    def __init__(self, node: NodeSettings, bytes_to_send: int) -> None:
        self._started_at = time.monotonic()
        self.silence_s = node.network_timeout_s + bytes_to_send / MIN_BYTES_PER_S
        self.limit_s = node.connect_timeout_s + self.silence_s

    def extend(self, received_bytes: int) -> None:
        self.limit_s += received_bytes / MIN_BYTES_PER_S

    def left_s(self) -> float:
        return self._started_at + self.limit_s - time.monotonic()


class _Connection:
    """The open connection, which any thread may end."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self.was_ended = False

    def watched(self, kind: type) -> type:
        """Return a class of urllib3's connections that says which socket it has opened."""
        opened = self._opened

        class Watched(kind):  # type: ignore[misc]
            def _new_conn(self) -> socket.socket:
                connection: socket.socket = super()._new_conn()
                opened(connection)
                return connection

        return Watched

    def end(self) -> None:
        """Shut the connection down at once; a thread that waits for it continues."""
        with self._lock, contextlib.suppress(OSError):
            self.was_ended = True
            if self._socket is not None:
                self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Forget the connection: it is open as long as the duplicate is."""
        with self._lock:
            if self._socket is not None:
                self._socket.close()
            self._socket = None

    def _opened(self, connection: socket.socket) -> None:
        self.close()
        with self._lock:
            self._socket = connection.dup()  # TLS takes the socket itself over, already for its handshake
