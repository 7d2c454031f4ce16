"""How well a series suits the analysis, by its headers: points with their reasons, or why it does not suit at all.

Thin slices come first: of 1.25, 2.5 and 5 mm, the two thinner ones measure tumours better, and the three must not be
mixed (Zhao et al., Transl Oncol 2014;7:88-93; QIBA Profile "CT Tumor Volume Change for Advanced Disease", 2018). A
description never decides alone: it costs points, and the pixels tell (`worker/ct/chest.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dicom_node.selection.body_region import shows_other_region
from dicom_node.selection.image_kind import MONOCHROMATIC, REFORMATS, image_kind
from dicom_node.selection.rules import SelectionRule
from dicom_node.selection.series_facts import SeriesFacts

MAX_TILT_DEG = 30.0
"""The largest tilt of a CT gantry; beyond, slices are coronal, sagittal or oblique."""
FEWEST_SLICES = 3
BASE = 50
PREFERRED = 1000
"""Points of a rule that prefers: more than all others together."""
SPACINGS = ((1.5, 20), (2.5, 15), (3.5, 8), (5.5, 0), (float("inf"), -15))
"""Up to this distance of slices in mm, points."""
COVERAGES = ((120.0, -20), (200.0, 0), (450.0, 10), (float("inf"), 6))
"""Up to this length in mm, points: lungs are 200 to 300 mm long; longer scans have other organs, too."""
FIELDS = ((250.0, -10), (500.0, 5), (float("inf"), -5))
"""Up to this side of a slice in mm, points: less shows one lung; more are attenuation scans of PET."""

_ATTENUATION = re.compile(r"attenuation|\bCT ?AC\b|\bAC ?CT\b|\bACCT\b|\bPET\b", re.IGNORECASE)
_ANGIOGRAPHY = re.compile(r"angio|\bCTA\b|\bCTPA\b|coronar|cardiac", re.IGNORECASE)
_PHANTOM = re.compile(r"phantom|\bQA\b|\bQC\b|water ?cal|catphan", re.IGNORECASE)
_SHARP = re.compile(r"^(B[6-9]\d|B[rl][6-9]\d|H[6-9]\d|FC[358]\d|(LUNG|BONE|EDGE|ULTRA|YC|YD|D|E|L)\b)", re.IGNORECASE)
"""Kernels for lung and bone of Siemens, GE, Canon and Philips; noise makes small volumes less certain."""

Points = tuple[int, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """points: None if the series does not suit. reasons: without patient data."""

    points: int | None
    reasons: tuple[str, ...]


def score_of(facts: SeriesFacts, rules: Sequence[SelectionRule] = ()) -> Score:
    """Return the score of a series."""
    unfit = [*_unfit(facts), *_against_rules(facts, rules)]
    if unfit:
        return Score(points=None, reasons=tuple(unfit))
    found = [*_geometry(facts), *_making(facts), *_text(facts), *_preferences(facts, rules)]
    return Score(points=BASE + sum(points for points, _ in found), reasons=tuple(f"{why} ({p:+d})" for p, why in found))


def _unfit(facts: SeriesFacts) -> Iterator[str]:
    """Yield why the worker would reject the series whatever its pixels show."""
    if not facts.is_ct:
        yield "not a CT image"
    if kind := image_kind(facts.image_type):
        yield f"{kind[0]}: Image Type says {kind[1]}"
    if facts.tilt_deg is not None and facts.tilt_deg > MAX_TILT_DEG:
        yield f"not axial: the slices are tilted by {facts.tilt_deg:.0f} degrees (limit {MAX_TILT_DEG:g})"
    if facts.slices < FEWEST_SLICES:
        yield f"{facts.slices} slice(s), at least {FEWEST_SLICES} are needed"


def _against_rules(facts: SeriesFacts, rules: Sequence[SelectionRule]) -> Iterator[str]:
    for number, rule in enumerate(rules, start=1):
        if rule.then != "prefer" and rule.holds(facts.sample) != (rule.then == "require"):
            yield f"selection.rules, number {number}: {rule.then} by {rule.element}"


def _preferences(facts: SeriesFacts, rules: Sequence[SelectionRule]) -> Iterator[Points]:
    for number, rule in enumerate(rules, start=1):
        if rule.then == "prefer" and rule.holds(facts.sample):
            yield PREFERRED, f"preferred by selection.rules, number {number}"


def _geometry(facts: SeriesFacts) -> Iterator[Points]:
    for value, steps, what in (
        (facts.spacing_mm, SPACINGS, "{:.4g} mm from slice to slice"),
        (facts.coverage_mm, COVERAGES, "{:.0f} mm long"),
        (facts.field_mm, FIELDS, "{:.0f} mm wide"),
    ):
        if value is None:
            yield -30, "position, orientation or pixel spacing is missing"
        else:
            yield next(points for limit, points in steps if value <= limit), what.format(value)


def _making(facts: SeriesFacts) -> Iterator[Points]:
    values = {value.upper() for value in facts.image_type}
    if "DERIVED" in values:
        yield -10, "derived from other images"
    if "SECONDARY" in values or values & REFORMATS:
        yield -10, "reformatted"
    if values & MONOCHROMATIC:
        yield -15, "virtual monochromatic images"
    if _SHARP.match(facts.kernel):
        yield -4, "a sharp kernel"
    if facts.has_contrast:
        yield 2, "contrast agent"


def _text(facts: SeriesFacts) -> Iterator[Points]:
    if shows_other_region(facts.text):
        yield -25, "described as another region of the body"
    if _ATTENUATION.search(facts.text):
        yield -20, "described as a scan for attenuation correction"
    if facts.has_contrast and _ANGIOGRAPHY.search(facts.text):
        yield -5, "described as angiography"
    if _PHANTOM.search(facts.text):
        yield -30, "described as a phantom"
