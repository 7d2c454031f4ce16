"""Validated settings of the node, its peers, the queue and the journal; worker/settings.py reads them from file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator

from dicom_node.jobs import PriorityName
from dicom_node.section import Section
from dicom_node.setting_types import AeTitle, HeaderValue, PeerAddress, Seconds, Token, Url, is_loopback
from dicom_node.storage.spool import journal_file


class NodeSettings(Section):
    """Settings of the node: network address, data directory, limits, and retries of deliveries."""

    ae_title: AeTitle = "LUNGSPREAD"
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 11112
    """0 selects a free port."""
    data_dir: Path = Path("var")
    quiet_period_s: Seconds = 20.0
    """A series is complete when no instance has arrived for this long."""
    min_free_mb: Annotated[int, Field(ge=0)] = 1024
    """With less free disk space, instances are refused (status 0xA700)."""
    max_instance_mb: Annotated[int, Field(ge=1)] = 2048
    """An association on which a longer instance arrives is aborted."""
    max_associations: Annotated[int, Field(ge=1)] = 32
    association_timeout_s: Seconds = 5.0
    """A connection without a complete association request for this long is closed."""
    tls: Literal["off", "also", "only"] = "off"
    """`also` listens on `port` without TLS and on `tls_port` with TLS, `only` on `tls_port` alone."""
    tls_port: Annotated[int, Field(ge=0, le=65535)] = 2762
    tls_certificate: str = ""
    """File of our certificate chain (PEM)."""
    tls_key: str = ""
    """File of its private key (PEM)."""
    tls_ca: str = ""
    """File of the certificates (PEM) that verify those of the peers."""
    tls_mutual: bool = True
    """Whether a peer that connects must have a certificate, too."""
    network_timeout_s: Seconds = 60.0
    """An association on which the peer sends nothing for this long is ended."""
    connect_timeout_s: Seconds = 10.0
    retry_backoff_s: Seconds = 5.0
    """A failed delivery is retried after this pause, which doubles each time ..."""
    retry_backoff_max_s: Seconds = 300.0
    """... up to this limit."""
    retry_deadline_s: Seconds = 604800.0
    """A delivery is given up when its pauses add up to this; its job is then FAILED."""
    commitment_timeout_s: Seconds = 600.0
    """A storage commitment request without a report for this long is repeated."""
    commitment_wait_s: Seconds = 5.0
    """How long the association stays open for a commitment report on the same association."""
    priors_time_limit_s: Seconds = 300.0
    """The longest wait of a series for the patient's prior scans to be fetched and analysed."""
    priors_size_limit_mb: Annotated[int, Field(ge=0)] = 4096
    """Limit of the CT fetched for one series; SEG and SR are small and always fetched."""
    max_priors: Annotated[int, Field(ge=1)] = 5
    """A scan is compared with at most this many prior scans, the newest ones."""
    changed_instances: Literal["new_version", "refuse"] = "new_version"
    """What becomes of an instance that is stored already with other content: it replaces that one, and its series is
    analysed again; or it is refused (status 0xC102)."""
    deliver_backfill: bool = False
    """Whether the results of prior scans that were fetched and analysed are delivered too."""

    @model_validator(mode="after")
    def _has_what_tls_needs(self) -> Self:
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ValueError("tls_certificate and tls_key are both needed, or neither")
        if self.tls != "off" and not self.tls_certificate:
            raise ValueError(f'tls = "{self.tls}" needs tls_certificate and tls_key')
        if self.tls != "off" and self.tls_mutual and not self.tls_ca:
            raise ValueError(f'tls = "{self.tls}" needs tls_ca, or tls_mutual = false')
        return self


class DicomwebSettings(Section):
    """The DICOMweb server: its network address, and who may use it."""

    enabled: bool = False
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    """0 selects a free port."""
    public_url: Annotated[str, Field(pattern=r"^$|^https?://[^@\s]+$")] = ""
    """The root by which clients reach it through a proxy; empty: as the request names the host."""
    tls_certificate: str = ""
    """File of the certificate chain (PEM); empty: HTTP without TLS."""
    tls_key: str = ""
    """File of its private key (PEM)."""
    tls_key_passphrase: Annotated[SecretStr, Field(repr=False)] = SecretStr("")
    """Passphrase of the key, if it has one."""
    tls_client_ca: str = ""
    """File of certificates (PEM): clients must show one that these have signed (mutual TLS), besides their token."""
    plain_http: bool = False
    """Whether other machines may connect without TLS, for a proxy that has it; else `host` is a loopback address."""
    max_request_mb: Annotated[int, Field(ge=1)] = 4096
    """A longer request is refused (HTTP status 413)."""
    peer_without_token: str = ""
    """Name of the peer that requests of this machine without a token come from; empty: they are refused (401)."""

    @model_validator(mode="after")
    def _has_certificate_and_key(self) -> Self:
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ValueError("tls_certificate and tls_key are both needed, or neither")
        if self.tls_client_ca and not self.tls_certificate:
            raise ValueError("tls_client_ca needs tls_certificate and tls_key")
        if self.enabled and not (self.tls_certificate or self.plain_http or is_loopback(self.host)):
            raise ValueError("tokens would come without TLS: set tls_certificate and tls_key, or plain_http = true")
        return self


class Peer(Section):
    """A remote DICOM application and its permissions."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    ae_title: AeTitle
    host: str = ""
    """Empty, with port 0, if it has no DICOM network address and is reached by DICOMweb alone."""
    port: Annotated[int, Field(ge=0, le=65535)] = 0
    addresses: tuple[PeerAddress, ...] = ()
    """Addresses, networks or host names that it connects from; empty: `host`. `any` does not check them."""
    tls: bool = False
    """Whether DICOM with it, in both directions, needs TLS."""
    tls_names: tuple[str, ...] = ()
    """Its certificate has one of these names or SHA-256 fingerprints; empty: `host`."""
    may_send: bool = False
    """It may send series to us and request storage commitment of them."""
    may_retrieve: bool = False
    """It may search and retrieve our results from the DICOMweb server."""
    priority: PriorityName = "routine"
    """How urgent the series are that it sends, where no rule of [priority] says so."""
    send_results: bool = False
    """It receives every result."""
    deliver: Literal["store", "stow"] = "store"
    """How results are sent: C-STORE or STOW-RS."""
    query_priors: bool = False
    """It is queried for prior studies."""
    retrieve: Literal["move", "get", "wado"] = "move"
    """How prior studies are retrieved: C-MOVE (the peer must know our AE title and address), C-GET, or DICOMweb."""
    dicomweb_url: Annotated[str, Field(pattern=r"^$|^https?://[^@\s?#]+$")] = ""
    """The root of its DICOMweb services, for `wado` and `stow`."""
    dicomweb_authorization: Annotated[HeaderValue, Field(repr=False)] = SecretStr("")
    """The value of the HTTP header Authorization that we send, for example `Bearer ...`."""
    dicomweb_plain_http: bool = False
    """Whether `dicomweb_authorization` may be sent to another machine without TLS."""
    dicomweb_ca: str = ""
    """File of the certificates (PEM) by which its https is verified; empty: those that this machine trusts."""
    dicomweb_certificate: str = ""
    """File of the certificate chain (PEM) that we show to its https (mutual TLS)."""
    dicomweb_key: str = ""
    """File of the private key (PEM) of `dicomweb_certificate`."""
    dicomweb_key_passphrase: Annotated[SecretStr, Field(repr=False)] = SecretStr("")
    """Passphrase of the key, if it has one."""
    dicomweb_token: Annotated[Token, Field(repr=False)] = SecretStr("")
    """The bearer token by which our DICOMweb server knows it."""
    storage_commitment: bool = False
    """It is sent a storage commitment request for every result it stored."""

    @property
    def has_address(self) -> bool:
        """Whether it takes part in the DICOM network."""
        return bool(self.host)

    @model_validator(mode="after")
    def _has_a_url_for_dicomweb(self) -> Self:
        for key, value, service in (("retrieve", self.retrieve, "wado"), ("deliver", self.deliver, "stow")):
            if value == service and not self.dicomweb_url:
                raise ValueError(f'{key} = "{service}" needs a dicomweb_url')
        return self

    @model_validator(mode="after")
    def _keeps_its_secrets(self) -> Self:
        if bool(self.dicomweb_certificate) != bool(self.dicomweb_key):
            raise ValueError("dicomweb_certificate and dicomweb_key are both needed, or neither")
        url = urlsplit(self.dicomweb_url)
        is_readable = url.scheme == "http" and not is_loopback(url.hostname or "")
        if is_readable and self.dicomweb_authorization.get_secret_value() and not self.dicomweb_plain_http:
            raise ValueError(
                "dicomweb_authorization would go without TLS: use https, or set dicomweb_plain_http = true"
            )
        return self

    @model_validator(mode="after")
    def _has_an_address_for_dicom(self) -> Self:
        if self.has_address != bool(self.port):
            raise ValueError("host and port are both needed, or neither")
        needs = {
            'send_results by deliver = "store"': self.send_results and self.deliver == "store",
            f'query_priors by retrieve = "{self.retrieve}"': self.query_priors and self.retrieve != "wado",
            "storage_commitment": self.storage_commitment,
        }
        if not self.has_address and (needed := [name for name, is_set in needs.items() if is_set]):
            raise ValueError(f"{needed[0]} needs host and port")
        return self


class QueueSettings(Section):
    """Settings of the queue: its URL, leases and repeated attempts."""

    url: Annotated[Url, Field(pattern=r"^(embedded$|rediss?://|redis\+socket://)", repr=False)] = "embedded"
    """`embedded` starts a Valkey server in the data directory; else a Redis or Valkey server."""
    lease_s: Seconds = 60.0
    """A worker that does not renew its lease on a job for this long loses the job."""
    max_attempts: Annotated[int, Field(ge=1)] = 5
    """A job that failed or lost its worker this many times is given up."""
    requeue_after_s: Seconds = 30.0
    """A job that no worker claimed is enqueued again after this pause, which doubles each time ..."""
    requeue_max_s: Seconds = 600.0
    """... up to this limit."""


class JournalSettings(Section):
    """The database of the journal."""

    url: Annotated[Url, Field(pattern=r"^$|^sqlite:///|^postgresql\+psycopg://", repr=False)] = ""
    """Empty: SQLite in the data directory."""

    def url_in(self, data_dir: Path) -> str:
        """Return the database URL; the default is SQLite in this data directory."""
        return self.url or f"sqlite:///{journal_file(data_dir)}"
