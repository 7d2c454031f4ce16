"""The time point of a group in the SR, TID 1502: which scan of the course it is of. Knows no lesion.

Scans are counted and told apart by the days since the baseline and the UIDs of their series: no date stands in the
content, besides those that every header has.
"""

from __future__ import annotations

import highdicom as hd

from worker.codes import follow_up as codes
from worker.follow_up.comparison import Comparison


def time_point(comparison: Comparison | None) -> hd.sr.TimePointContext | None:
    """Return the current time point in full; None where nothing is known of the course."""
    if comparison is None or not comparison.scans:
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


def time_point_in_words(comparison: Comparison | None) -> hd.sr.TimePointContext | None:
    """Return the current time point without a number: OHIF 3.13 draws no lines of a group that has other numbers."""
    if comparison is None or not comparison.scans:
        return None
    return hd.sr.TimePointContext(
        time_point=_label(comparison),
        time_point_type=_type(comparison),
        subject_time_point_identifier=comparison.scans[-1].series_uid,
    )


def offset_days(comparison: Comparison, index: int) -> int:
    """Return the days from the baseline to a scan of the course: RECIST's baseline, else the first scan."""
    baseline = comparison.recist.baseline.date if comparison.recist else comparison.scans[0].date
    return (comparison.scans[index].date - baseline).days


def _label(comparison: Comparison) -> str:
    return f"Time point {len(comparison.scans)}"


def _type(comparison: Comparison) -> hd.sr.CodedConcept | None:
    """Of the others, CID 6146 could only say what treatment they follow, which nobody told us."""
    is_baseline = offset_days(comparison, len(comparison.scans) - 1) == 0
    return hd.sr.CodedConcept.from_code(codes.BASELINE_SCAN) if is_baseline else None
