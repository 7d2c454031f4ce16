"""Syslog transports: TLS with octet counting (RFC 5425), and UDP (RFC 5426)."""

from __future__ import annotations

import errno
import fcntl
import select
import socket
import ssl
import struct
import termios
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol
from urllib.parse import urlsplit

from dicom_node.audit.settings import AuditSettings
from dicom_node.errors import SettingsError

_DRAIN_PAUSE_S = 0.01
_JUDGEMENT_S = 0.5


class Transport(Protocol):
    """Sends syslog messages to one repository. `send` and `close` are called by one thread."""

    address: str

    def send(self, messages: Sequence[bytes]) -> None:
        """Send all messages. Raises OSError: then it is not known which of them have arrived."""

    def close(self) -> None:
        """Close the connection; `send` opens it again."""


def make_transport(settings: AuditSettings, timeout_s: float) -> Transport:
    """Return the transport that the settings name. Raises SettingsError if a certificate cannot be read."""
    url = urlsplit(settings.syslog)
    host, port = url.hostname or "", url.port or 0
    if url.scheme == "udp":
        return UdpTransport(host, port)
    return TlsTransport(host, port, _context(settings), timeout_s)


def _context(settings: AuditSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.ca or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2  # PS3.15 A.6, BCP 195
        if settings.certificate:
            context.load_cert_chain(settings.certificate, settings.key)
    except OSError as error:  # also ssl.SSLError
        reason = error.strerror or type(error).__name__
        raise SettingsError(f"audit.ca, audit.certificate and audit.key: cannot be read: {reason}") from None
    return context


class TlsTransport:
    """A TLS connection that stays open; the repository's certificate is verified, with its name."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext, timeout_s: float) -> None:
        self.address = f"{host}:{port}"
        self._host, self._port, self._timeout_s = host, port, timeout_s
        self._context = context
        self._connection: ssl.SSLSocket | None = None

    def send(self, messages: Sequence[bytes]) -> None:
        """Send all messages, and wait until the other machine has received them."""
        if self._connection is not None and _is_closed(self._connection):
            self.close()
        connection = self._connection = self._connection or self._connect()
        connection.sendall(b"".join(b"%d %b" % (len(message), message) for message in messages))  # RFC 5425 4.3
        self._wait_until_received(connection)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            with suppress(OSError, ValueError):
                self._connection.settimeout(0)
                self._connection.unwrap()  # RFC 5425 4.4: close_notify, whose answer is not waited for
            self._connection.close()
        self._connection = None

    def _connect(self) -> ssl.SSLSocket:
        plain = socket.create_connection((self._host, self._port), self._timeout_s)
        try:
            connection = self._context.wrap_socket(plain, server_hostname=self._host)
        except BaseException:
            plain.close()
            raise
        # TLS 1.3: we are done before the server has judged our certificate; its answer or a session ticket follows.
        select.select([connection], [], [], _JUDGEMENT_S)
        if _is_closed(connection):
            connection.close()
            raise ConnectionRefusedError(errno.ECONNREFUSED, "closed after the handshake: check audit.certificate")
        return connection

    def _wait_until_received(self, connection: ssl.SSLSocket) -> None:
        """Wait until TCP has an acknowledgement of everything, because a broken connection loses what it has not."""
        until = time.monotonic() + self._timeout_s
        while _unacknowledged(connection):
            if time.monotonic() > until:
                raise TimeoutError(errno.ETIMEDOUT, "no acknowledgement")
            time.sleep(_DRAIN_PAUSE_S)
        if _is_closed(connection):
            raise ConnectionResetError(errno.ECONNRESET, "closed by the repository")


class UdpTransport:
    """One datagram for each message; nobody says whether it arrives."""

    def __init__(self, host: str, port: int) -> None:
        self.address = f"{host}:{port}"
        self._host, self._port = host, port
        self._socket: socket.socket | None = None

    def send(self, messages: Sequence[bytes]) -> None:
        """Send all messages."""
        connected = self._socket = self._socket or self._connect()
        for message in messages:
            connected.send(message)

    def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None

    def _connect(self) -> socket.socket:
        found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_DGRAM)
        family, kind, protocol, _, where = found[0]
        connected = socket.socket(family, kind, protocol)
        connected.connect(where)
        return connected


def _is_closed(connection: ssl.SSLSocket) -> bool:
    """Whether the other side has closed the connection. A repository sends nothing else."""
    if not select.select([connection], [], [], 0)[0]:
        return False
    timeout = connection.gettimeout()
    connection.settimeout(0)
    try:
        return connection.recv(1) == b""
    except ssl.SSLWantReadError:  # a session ticket of TLS 1.3
        return False
    except OSError:
        return True
    finally:
        connection.settimeout(timeout)


def _unacknowledged(connection: socket.socket) -> int:
    """Return how many bytes wait for an acknowledgement (Linux, tcp(7): SIOCOUTQ)."""
    return int(struct.unpack("i", fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, b"\0" * 4))[0])
