"""FROC: sensitivity by lesion against false positives per scan.

As in LUNA16 (Setio et al., Med Image Anal 42 (2017) 1): every score is used once as a threshold, and the score of the
curve is the mean sensitivity at 1/8, 1/4, 1/2, 1, 2, 4 and 8 false positives per scan. Unlike there, the curve is a
staircase and not interpolated: at each rate it has the sensitivity of a threshold with at most that many false
positives. A scan is all data of a patient; if these are some slices, the rate refers to them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.evaluation.bootstrap import Estimate, Indices, estimate_each
from training.evaluation.detection import Detected

RATES = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""False positives per scan."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Points of falling threshold: candidates with at least this score count."""

    thresholds: NDArray[np.float64]
    sensitivity: NDArray[np.float64]
    false_per_scan: NDArray[np.float64]

    def sensitivity_at(self, rate: float) -> float:
        """Return the highest sensitivity with at most `rate` false positives per scan."""
        return float(self.sensitivity[self.false_per_scan <= rate].max(initial=0.0))  # nan stays nan


@dataclass(frozen=True, slots=True, kw_only=True)
class RatePoint:
    """The sensitivity at a rate of false positives."""

    false_per_scan: float
    sensitivity: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Froc:
    """Sensitivities of the curve, their mean, and the operating point."""

    lesions: int
    scans: int
    at_rates: tuple[RatePoint, ...]
    mean_sensitivity: Estimate
    sensitivity_at_operating_point: Estimate
    false_per_scan_at_operating_point: Estimate
    curve: Curve


def curve_of(cases: Sequence[Detected]) -> Curve:
    """Return the curve of some cases; without lesions its sensitivity is nan."""
    lesions = _lesion_scores(cases)
    false = np.array([score for case in cases for score in case.false_scores])
    thresholds = np.unique(np.concatenate([lesions[np.isfinite(lesions)], false]))[::-1]
    found = _at_least(lesions, thresholds) / (len(lesions) or math.nan)
    return Curve(thresholds=thresholds, sensitivity=found, false_per_scan=_at_least(false, thresholds) / len(cases))


def froc(cases: Sequence[Detected], peak_threshold: float) -> Froc:
    """Return the sensitivities at RATES and at the operating point, with intervals over patients."""

    def statistics(indices: Indices) -> list[float]:
        drawn = [cases[i] for i in indices]
        curve = curve_of(drawn)
        at_rates = [curve.sensitivity_at(rate) for rate in RATES]
        return [
            *at_rates,
            float(np.mean(at_rates)),
            sensitivity(drawn, peak_threshold),
            false_per_scan(drawn, peak_threshold),
        ]

    *at_rates, mean, found, false = estimate_each([case.patient for case in cases], statistics)
    return Froc(
        lesions=sum(len(case.lesions) for case in cases),
        scans=len(cases),
        at_rates=tuple(
            RatePoint(false_per_scan=rate, sensitivity=value) for rate, value in zip(RATES, at_rates, strict=True)
        ),
        mean_sensitivity=mean,
        sensitivity_at_operating_point=found,
        false_per_scan_at_operating_point=false,
        curve=curve_of(cases),
    )


def sensitivity(cases: Sequence[Detected], peak_threshold: float) -> float:
    """Return the share of lesions whose score reaches the threshold; nan without lesions."""
    scores = _lesion_scores(cases)
    return float((scores >= peak_threshold).mean()) if scores.size else math.nan


def false_per_scan(cases: Sequence[Detected], peak_threshold: float) -> float:
    """Return the mean number of false candidates per scan whose score reaches the threshold."""
    return sum(score >= peak_threshold for case in cases for score in case.false_scores) / len(cases)


def _lesion_scores(cases: Sequence[Detected]) -> NDArray[np.float64]:
    """Return each lesion's score, minus infinity if no candidate hit it."""
    return np.array(
        [-np.inf if lesion.score is None else lesion.score for case in cases for lesion in case.lesions], np.float64
    )


def _at_least(scores: NDArray[np.float64], thresholds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how many scores reach each threshold."""
    return len(scores) - np.searchsorted(np.sort(scores), thresholds, side="left").astype(np.float64)
