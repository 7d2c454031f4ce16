"""The settings of the node, its peers, the queue and the journal, checked. worker/settings.py reads them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from dicom_node.storage.spool import journal_file


def _ae_title(text: str) -> str:
    # PS3.5 table 6.2-1: at most 16 characters, no backslash, no control character, not only spaces.
    if not re.fullmatch(r"[ -\[\]-~]{1,16}", text) or not text.strip():
        raise ValueError("an AE title has 1 to 16 printable ASCII characters and no backslash")
    return text.strip()


AeTitle = Annotated[str, AfterValidator(_ae_title)]
Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NodeSettings(_Section):
    """How the node listens, where it keeps what it receives, and how patiently it delivers."""

    ae_title: AeTitle = "LUNGSPREAD"
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 11112
    """0 takes a free port."""
    data_dir: Path = Path("var")
    quiet_period_s: Seconds = 20.0
    """A series is complete when nothing of it has arrived for this long."""
    min_free_mb: Annotated[int, Field(ge=0)] = 1024
    """Below this free space nothing more is taken in."""
    retention_days: Annotated[int, Field(ge=0)] = 0
    """A received series is removed this many days after its results were committed; 0 keeps it for ever."""
    max_associations: Annotated[int, Field(ge=1)] = 32
    network_timeout_s: Seconds = 60.0
    """A peer that is silent for this long is gone."""
    connect_timeout_s: Seconds = 10.0
    retry_backoff_s: Seconds = 5.0
    """A delivery that failed is tried again after this pause, which doubles each time ..."""
    retry_backoff_max_s: Seconds = 300.0
    """... up to this one."""
    retry_deadline_s: Seconds = 604800.0
    """A delivery whose pauses add up to this is given up: its job is FAILED."""
    commitment_timeout_s: Seconds = 600.0
    """A storage commitment without an answer for this long is asked for again."""
    commitment_wait_s: Seconds = 5.0
    """How long the association stays open for a commitment report that comes the same way."""
    priors_time_limit_s: Seconds = 300.0
    """A series waits no longer than this for the patient's earlier scans, to be fetched and to be analysed."""
    priors_size_limit_mb: Annotated[int, Field(ge=0)] = 4096
    """No more CT than this is fetched for one series; results are small, and always fetched."""
    max_priors: Annotated[int, Field(ge=1)] = 5
    """A scan is compared with this many earlier ones at most, the newest."""
    deliver_backfill: bool = False
    """Whether the results of earlier scans that were fetched and analysed are delivered, too."""


class Peer(_Section):
    """A DICOM application that the node speaks with, and what it may do."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    ae_title: AeTitle
    host: str
    port: Port
    may_send: bool = False
    """It may send series to us, and ask us for storage commitment of them."""
    send_results: bool = False
    """It receives every result."""
    query_priors: bool = False
    """It is asked for earlier examinations."""
    retrieve: Literal["move", "get", "wado"] = "move"
    """How they come: by C-MOVE (it must know our AE title and address), C-GET, or DICOMweb."""
    dicomweb_url: Annotated[str, Field(pattern=r"^$|^https?://[^@\s]+$")] = ""
    """The root of its DICOMweb services, for `wado`."""
    dicomweb_authorization: Annotated[SecretStr, Field(repr=False)] = SecretStr("")
    """The value of the HTTP header Authorization, such as `Bearer ...`."""
    storage_commitment: bool = False
    """It is asked for storage commitment of what it received."""

    @model_validator(mode="after")
    def _has_a_url_for_dicomweb(self) -> Self:
        if self.retrieve == "wado" and not self.dicomweb_url:
            raise ValueError('retrieve = "wado" needs a dicomweb_url')
        return self


class QueueSettings(_Section):
    """Where the queue is, and when a job is given to somebody else."""

    url: Annotated[str, Field(pattern=r"^(embedded$|rediss?://|redis\+socket://)")] = "embedded"
    """`embedded` starts a Redis server in the data directory."""
    lease_s: Seconds = 60.0
    """A worker that has not renewed its lease on a job for this long has lost it."""
    max_attempts: Annotated[int, Field(ge=1)] = 5
    """A job that failed or lost its worker so often is given up."""
    requeue_after_s: Seconds = 30.0
    """A job that no worker took is rung again after this pause, which doubles each time ..."""
    requeue_max_s: Seconds = 600.0
    """... up to this one."""


class JournalSettings(_Section):
    """Where the journal is."""

    url: Annotated[str, Field(pattern=r"^$|^sqlite:///|^postgresql\+psycopg://")] = ""
    """Empty: SQLite in the data directory."""

    def url_in(self, data_dir: Path) -> str:
        """Return the database URL, for this data directory."""
        return self.url or f"sqlite:///{journal_file(data_dir)}"
