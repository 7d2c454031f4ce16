from __future__ import annotations

import time

import pytest
from pydantic import ValidationError
from pydicom import Dataset

from dicom_node.jobs import Priority
from dicom_node.priority.settings import PrioritySettings

ALL_BUT_LOW = {Priority.STAT, Priority.HIGH, Priority.ROUTINE}


def at(clock: str) -> float:
    """A time of day, local, as seconds since 1970."""
    return time.mktime(time.strptime(f"2026-05-04 {clock}", "%Y-%m-%d %H:%M"))


@pytest.mark.parametrize(
    ("off_peak", "clock", "is_held"),
    [
        ("20:00-06:00", "12:00", True),
        ("20:00-06:00", "20:00", False),
        ("20:00-06:00", "05:59", False),
        ("20:00-06:00", "06:00", True),
        ("01:00-05:00", "00:59", True),
        ("01:00-05:00", "03:00", False),
        ("", "12:00", False),
    ],
)
def test_low_jobs_wait_for_the_off_peak_hours_and_stat_never(off_peak: str, clock: str, is_held: bool) -> None:
    held = PrioritySettings(off_peak=off_peak).held(at(clock))

    assert held == ({Priority.LOW} if is_held else set())


def test_routine_jobs_wait_too_if_the_site_says_so() -> None:
    settings = PrioritySettings(off_peak="20:00-06:00", off_peak_jobs="routine")

    assert settings.held(at("12:00")) == {Priority.ROUTINE, Priority.LOW}


@pytest.mark.parametrize("off_peak", ["20-6", "24:00-06:00", "20:00", "20:00-06:60"])
def test_hours_that_are_none_are_refused(off_peak: str) -> None:
    with pytest.raises(ValidationError):
        PrioritySettings(off_peak=off_peak)


def test_the_built_in_rules_are_those_of_the_standards_values() -> None:
    header = Dataset()
    header.RequestedProcedurePriority = "stat"

    assert [rule.then for rule in PrioritySettings().rules if rule.holds(header)] == ["stat"]
