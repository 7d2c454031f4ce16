"""What the PACS holds of a patient from earlier: found, checked to be the same person, and fetched. Knows no pixels."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class PriorSearch(StrEnum):
    """How the search for a patient's earlier scans ended."""

    FOUND = "found"
    NONE_EXISTS = "none exists"
    NOT_FETCHED = "not fetched"
    """A peer was away, too slow, or refused; or the limits of time or size were met before the first was here."""
    NOT_ASKED = "not asked"
    """No peer is asked for priors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorScan:
    """One earlier scan: what the spool holds of it, by UID."""

    study_uid: str
    series_uid: str
    """Of the CT series."""
    job_key: str | None
    """Our finished job of it, whose outbox holds SEG and SR; None where the results came from the PACS."""
    ct_uids: tuple[str, ...]
    """The CT's instances; empty where the PACS has none any more, or it was too large."""
    results: tuple[tuple[str, str], ...]
    """(series UID, SOP instance UID) of the SEG and SR that were fetched, ours and readers'."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Priors:
    """What a job is compared with."""

    search: PriorSearch
    reason: str | None
    """One line: UIDs, counts and limits."""
    scans: tuple[PriorScan, ...]
    """By date of the scan, the oldest first."""


NOT_ASKED = Priors(search=PriorSearch.NOT_ASKED, reason=None, scans=())
