"""TLS of both network roles, and whose certificate it is: PS3.15 B.12 (BCP 195, RFC 8996 and RFC 9325)."""

from __future__ import annotations

import errno
import hashlib
import logging
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from dicom_node.errors import SettingsError
from dicom_node.settings import NodeSettings, Peer

log = logging.getLogger(__name__)

CIPHERS = "ECDHE+AESGCM"
"""RFC 9325 4.2: those of TLS 1.2; the ones of TLS 1.3 need no choice."""
_FINGERPRINT_DIGITS = 64
_ANOTHERS = "the certificate has none of the peer's tls_names"


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """The names of a verified certificate, and the SHA-256 of its encoding."""

    names: frozenset[str]
    """Common name, DNS names and IP addresses of its subject."""
    fingerprint: str

    def is_of(self, peer: Peer) -> bool:
        """Return whether it has a name or the fingerprint of `tls_names`, or the name of the peer's host."""
        allowed = {_plain(name) for name in peer.tls_names or (peer.host,)}
        return not allowed.isdisjoint(self.names | {self.fingerprint})


def certificate_of(connection: ssl.SSLSocket) -> Certificate | None:
    """Return the other side's certificate; None if it has none."""
    encoded = connection.getpeercert(binary_form=True)
    if encoded is None:
        return None
    names = frozenset(map(_plain, _names(connection.getpeercert() or {})))
    return Certificate(names=names, fingerprint=hashlib.sha256(encoded).hexdigest())


def failure_of(error: OSError) -> str:
    """Return why a handshake or a file of certificates failed, in a few words of OpenSSL."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, ssl.SSLError) and (reason := getattr(error, "reason", None)):
        return str(reason).lower().replace("_", " ")
    return error.strerror or ("not in time" if isinstance(error, TimeoutError) else type(error).__name__)


def server_context(node: NodeSettings) -> ssl.SSLContext:
    """Return the TLS of our listener. Raises SettingsError if a file cannot be read."""
    context = _context(ssl.PROTOCOL_TLS_SERVER, node)
    context.num_tickets = 0  # a session ticket makes a socket readable on which no PDU arrives
    if node.tls_mutual:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


class ServerTls:
    """The TLS of our listener; files that were renewed are read again."""

    def __init__(self, node: NodeSettings) -> None:
        self._node = node
        self._context, self._changed = server_context(node), self._changes()

    def wrap(self, connection: socket.socket) -> ssl.SSLSocket:
        """Return the connection with TLS, before its handshake."""
        return self._current().wrap_socket(connection, server_side=True, do_handshake_on_connect=False)

    def _current(self) -> ssl.SSLContext:
        if (changed := self._changes()) != self._changed:
            self._changed = changed
            try:
                self._context = server_context(self._node)
                log.info("the files of node.tls_certificate, tls_key and tls_ca are read again")
            except SettingsError as error:
                log.error("the certificates before are kept: %s", error)  # noqa: TRY400
        return self._context

    def _changes(self) -> list[float]:
        files = (self._node.tls_certificate, self._node.tls_key, self._node.tls_ca)
        return [Path(file).stat().st_mtime for file in files if file and Path(file).exists()]


def client_context(peer: Peer, node: NodeSettings) -> ClientContext:
    """Return the TLS of an association with a peer. Raises SettingsError if a file cannot be read."""
    context = _context(ssl.PROTOCOL_TLS_CLIENT, node, ClientContext)
    assert isinstance(context, ClientContext)  # noqa: S101 - of the class that was given
    context.peer = peer
    return context


class ClientContext(ssl.SSLContext):
    """The TLS of one association that we request; `failure` says why its handshake failed."""

    peer: Peer
    failure: str = ""


class _ClientSocket(ssl.SSLSocket):
    def do_handshake(self, block: bool = False) -> None:
        """Look at the name of the certificate, too, which TLS of DICOM has in its common name more often than not."""
        context = self.context
        assert isinstance(context, ClientContext)  # noqa: S101 - see `client_context`
        try:
            super().do_handshake(block)
            certificate = certificate_of(self)
            if certificate is None or not certificate.is_of(context.peer):
                raise OSError(errno.EACCES, _ANOTHERS)  # noqa: TRY301 - as the failures of OpenSSL
        except OSError as error:
            context.failure = failure_of(error)
            raise


ClientContext.sslsocket_class = _ClientSocket


def _context(protocol: int, node: NodeSettings, kind: type[ssl.SSLContext] = ssl.SSLContext) -> ssl.SSLContext:
    context = kind(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.check_hostname = False  # `Certificate.is_of` does it, for both roles
    try:
        if node.tls_certificate:
            context.load_cert_chain(node.tls_certificate, node.tls_key, password=lambda: "")  # it asks for none
        if node.tls_ca:
            context.load_verify_locations(node.tls_ca)
        elif protocol == ssl.PROTOCOL_TLS_CLIENT:
            context.load_default_certs()
    except OSError as error:
        raise SettingsError(f"node.tls_certificate, tls_key and tls_ca: {failure_of(error)}") from None
    return context


def _names(certificate: Mapping[str, Any]) -> Iterator[str]:
    yield from (value for kind, value in certificate.get("subjectAltName", ()) if kind in {"DNS", "IP Address"})
    yield from (value for part in certificate.get("subject", ()) for key, value in part if key == "commonName")


def _plain(name: str) -> str:
    """Return the one way to write a name, an address or a fingerprint."""
    try:
        return str(ip_address(name.strip()))
    except ValueError:
        digits = name.replace(":", "").lower()
        return digits if len(digits) == _FINGERPRINT_DIGITS else name.strip().lower()
