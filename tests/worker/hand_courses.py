"""Courses of a patient as they stand in a test: dates a number of days apart, lesions by a letter."""

from __future__ import annotations

from datetime import date, timedelta

from worker.tracked import State, TimePoint, TrackedLesion

START = date(2024, 1, 1)


def day(days: int) -> date:
    return START + timedelta(days=days)


def at(days: int, *lesions: TrackedLesion, slice_mm: float = 1.0) -> TimePoint:
    return TimePoint(date=day(days), slice_mm=slice_mm, lesions=lesions)


def lesion(uid: str, long_axis_mm: float, volume_ml: float | None = None, organ: str = "lung") -> TrackedLesion:
    return TrackedLesion(tracking_uid=uid, long_axis_mm=long_axis_mm, volume_ml=volume_ml, organ=organ)


def gone(uid: str) -> TrackedLesion:
    return TrackedLesion(tracking_uid=uid, state=State.VANISHED)


def too_small(uid: str, long_axis_mm: float | None = None, volume_ml: float | None = None) -> TrackedLesion:
    return TrackedLesion(tracking_uid=uid, state=State.TOO_SMALL, long_axis_mm=long_axis_mm, volume_ml=volume_ml)


def hidden(uid: str) -> TrackedLesion:
    return TrackedLesion(tracking_uid=uid, state=State.NOT_EVALUABLE)


def doubtful(uid: str, long_axis_mm: float) -> TrackedLesion:
    return TrackedLesion(tracking_uid=uid, state=State.DOUBTFUL, long_axis_mm=long_axis_mm)


def merged(uid: str, into: str) -> TrackedLesion:
    return TrackedLesion(tracking_uid=uid, state=State.MERGED, merged_into=into)


def part(uid: str, long_axis_mm: float, of: str, volume_ml: float | None = None) -> TrackedLesion:
    return TrackedLesion(tracking_uid=uid, long_axis_mm=long_axis_mm, volume_ml=volume_ml, split_from=of)
