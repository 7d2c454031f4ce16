"""TLS of DICOMweb, of our clients and of our server: TLS 1.2 or later (BCP 195), mutual where it is configured."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from dicom_node.errors import SettingsError
from dicom_node.settings import DicomwebSettings, Peer


def client_context(peer: Peer) -> ssl.SSLContext:
    """Return the TLS of requests to a peer: it is verified, and sees our certificate if it asks for one.

    Raises SettingsError if a file of certificates or the key cannot be read.
    """
    with _readable(f"peers: dicomweb_ca of {peer.name}"):
        # Without `dicomweb_ca`: the authorities that this machine trusts, to which a hospital can add its own.
        context = ssl.create_default_context(cafile=peer.dicomweb_ca or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if peer.dicomweb_certificate:
        with _readable(f"peers: dicomweb_certificate and dicomweb_key of {peer.name}"):
            # Always with a passphrase: without one, OpenSSL would ask for it on the terminal.
            passphrase = peer.dicomweb_key_passphrase.get_secret_value
            context.load_cert_chain(peer.dicomweb_certificate, peer.dicomweb_key, passphrase)
    return context


def server_context(settings: DicomwebSettings) -> ssl.SSLContext | None:
    """Return the TLS of our server; None if it has no certificate.

    Raises SettingsError if a file of certificates or the key cannot be read.
    """
    if not settings.tls_certificate:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    with _readable("dicomweb.tls_certificate and dicomweb.tls_key"):
        passphrase = settings.tls_key_passphrase.get_secret_value
        context.load_cert_chain(settings.tls_certificate, settings.tls_key, passphrase)
    if settings.tls_client_ca:
        with _readable("dicomweb.tls_client_ca"):
            context.load_verify_locations(settings.tls_client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


@contextmanager
def _readable(setting: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:  # also ssl.SSLError
        reason = getattr(error, "reason", None) or error.strerror or type(error).__name__
        raise SettingsError(f"{setting} cannot be read: {reason}") from None
