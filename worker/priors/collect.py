"""Reading of a patient's prior scans from their files."""

from __future__ import annotations

from models.segmenter import ModelCard
from worker.follow_up.prior import CollectedPriors
from worker.priors.files import CollectedFiles
from worker.priors.read import PriorUnreadable, read_prior


def read_priors(files: CollectedFiles, card: ModelCard) -> CollectedPriors:
    """Return the prior scans that can be read; an unreadable one is skipped, and its error is added to `reason`."""
    priors, reasons = [], [files.reason] if files.reason else []
    for scan in files.scans:
        try:
            priors.append(read_prior(scan, card))
        except PriorUnreadable as unreadable:
            reasons.append(str(unreadable))
    return CollectedPriors(search=files.search, reason="; ".join(reasons) or None, priors=tuple(priors))
