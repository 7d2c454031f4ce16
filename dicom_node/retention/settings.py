"""Settings of the retention: how many days each kind of data is kept."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Days = Annotated[int, Field(ge=0, le=36500)]
"""0: for ever."""


class RetentionSettings(BaseModel):
    """How many days are kept: received series (CT), results in the outbox, and records in the journal.

    Nothing that waits for analysis, for delivery or for storage commitment is removed, whatever its age. The PACS has
    the series, and the results that it stored.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    committed_days: Days = 30
    """A received series whose results were delivered and committed. If a prior comes late, it is compared again."""
    rejected_days: Days = 30
    """A series that was rejected, and the report of it."""
    failed_days: Days = 90
    """A series whose job failed, and its results: a person decides on them (`lungspread retry`)."""
    superseded_days: Days = 30
    """A series whose job was replaced, and the replaced results."""
    unselected_days: Days = 30
    """A series that is not analysed: another one of its study was chosen."""
    priors_days: Days = 14
    """Earlier scans and results that were fetched for a comparison; they are fetched again when needed."""
    results_days: Days = 365
    """Delivered results, which `lungspread timeline` and later comparisons read; then those of the PACS are fetched."""
    records_days: Days = 1825
    """The journal's records of a patient, UIDs and keys without names, after all that was stored of him is removed."""
