"""The time point of a group in the SR, TID 1502.

A scan is identified by its number, the days since the baseline and its Series Instance UID: the content holds no
dates.
"""

from __future__ import annotations

import highdicom as hd

from worker.codes import follow_up as codes
from worker.follow_up.comparison import Comparison


def time_point(comparison: Comparison) -> hd.sr.TimePointContext | None:
    """Return the full context of the current time point, or None without scans to compare."""
    if not comparison.scans:
        return None
    return hd.sr.TimePointContext(
        time_point=_label(comparison),
        time_point_type=_type(comparison),
        time_point_order=len(comparison.scans),
        subject_time_point_identifier=comparison.scans[-1].series_uid,
        temporal_offset_from_event=hd.sr.LongitudinalTemporalOffsetFromEvent(
            value=offset_days(comparison, len(comparison.scans) - 1), unit=codes.DAY, event_type=codes.BASELINE_EVENT
        ),
    )


def time_point_without_numbers(comparison: Comparison) -> hd.sr.TimePointContext | None:
    """Return the time point without NUM items: OHIF 3.13 draws no lines of a group that has other NUM items."""
    if not comparison.scans:
        return None
    return hd.sr.TimePointContext(
        time_point=_label(comparison),
        time_point_type=_type(comparison),
        subject_time_point_identifier=comparison.scans[-1].series_uid,
    )


def offset_days(comparison: Comparison, index: int) -> int:
    """Return the days from the baseline (of RECIST, else the first scan) to the scan with this index."""
    baseline = comparison.recist.baseline.date if comparison.recist else comparison.scans[0].date
    return (comparison.scans[index].date - baseline).days


def _label(comparison: Comparison) -> str:
    return f"Time point {len(comparison.scans)}"


def _type(comparison: Comparison) -> hd.sr.CodedConcept | None:
    """Return the baseline type or None: the other types of CID 6146 require the treatment, which is unknown."""
    is_baseline = offset_days(comparison, len(comparison.scans) - 1) == 0
    return hd.sr.CodedConcept.from_code(codes.BASELINE_SCAN) if is_baseline else None
