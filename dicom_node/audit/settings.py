"""Settings of the audit trail."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class AuditSettings(BaseModel):
    """Where audit messages are written and sent, and what they say."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = True
    folder: str = ""
    """Folder of the files; empty: `audit` in the data directory."""
    rotate_mb: Annotated[int, Field(ge=1)] = 64
    """A new file begins every day (UTC), and when a file is longer than this."""
    keep_days: Annotated[int, Field(ge=0)] = 0
    """Days until a file is deleted; 0 keeps it for ever: how long audit records are kept is the law's to say."""
    syslog: Annotated[str, Field(pattern=r"^$|^(tls|udp)://(\[[0-9A-Fa-f:.]+\]|[^\s:/@\[\]]+):[0-9]{1,5}$")] = ""
    """The audit record repository: tls://host:6514 (RFC 5425) or udp://host:514 (RFC 5426)."""
    ca: str = ""
    """File of the certificates (PEM) that verify the repository's; empty: those of public authorities."""
    certificate: str = ""
    """File of our certificate chain (PEM), for a repository that asks for one (mutual TLS)."""
    key: str = ""
    """File of its private key (PEM)."""
    source_id: Annotated[str, Field(max_length=64)] = ""
    """AuditSourceID; empty: our AE title."""
    site_id: Annotated[str, Field(max_length=64)] = ""
    """AuditEnterpriseSiteID."""
    patient_ids: bool = False
    """Whether messages name the patient by ID, and queries with their values."""

    @model_validator(mode="after")
    def _has_certificate_and_key(self) -> Self:
        if bool(self.certificate) != bool(self.key):
            raise ValueError("certificate and key are both needed, or neither")
        return self

    def folder_in(self, data_dir: Path) -> Path:
        """Return the folder of the files."""
        return Path(self.folder) if self.folder else data_dir.resolve() / "audit"
