"""Draws the coronal overview: lungs and lobes as outlines, every lesion filled, with its number. Measures nothing.

It is a projection through the whole body, pale and inverted as it is meant for paper: air is white, bone grey.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain, pairwise

import numpy as np
from numpy.typing import NDArray

from models.lungs.lungs import Lobe, Lungs
from worker.findings import Finding, Findings
from worker.outputs.page.sheet import BLACK, GREY, LineStyle, Rect, Sheet, TextStyle
from worker.outputs.page.upright_volume import (
    CORONAL,
    Points,
    UprightVolume,
    body_of,
    outlines,
    turned_upright,
    upright_volume_of,
)
from worker.outputs.page.viewport import GreyRange, Window, seen_in, show

# Okabe and Ito 2008. The side tells right from left; colour and dashes tell upper, middle and lower.
UPPER = LineStyle(colour="#0072b2", width_pt=0.9)
MIDDLE = LineStyle(colour="#d55e00", width_pt=0.9, dashes=(3.0, 1.5))
LOWER = LineStyle(colour=BLACK, width_pt=0.8, dashes=(4.0, 1.2, 1.0, 1.2))
LOBES = {
    Lobe.RIGHT_UPPER: UPPER,
    Lobe.RIGHT_MIDDLE: MIDDLE,
    Lobe.RIGHT_LOWER: LOWER,
    Lobe.LEFT_UPPER: UPPER,
    Lobe.LEFT_LOWER: LOWER,
}
FILL = "#e69f00"
LEADER = LineStyle(colour=BLACK, width_pt=0.35)
DARKEST = 0.42
"""The tone of the densest part, 0 white to 1 black."""
AROUND_MM = 20.0
"""So much is shown around lungs and lesions."""
DEPTH_STEP = 4
"""Every fourth row is enough for a picture of this size."""
MARGIN_MM, TITLE_MM, LEGEND_MM, PITCH_MM = 5.0, 4.4, 3.6, 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shadow:
    """A lesion's projection. outlines and centre: (vertical, across) indices."""

    number: int
    outlines: list[Points]
    centre: tuple[float, float]


def draw_overview(paper: Sheet, rect: Rect, findings: Findings, most: int) -> None:
    """Draw all lesions into a region of the sheet; the first `most` get their numbers beside the picture."""
    title, rest = rect.split_below(TITLE_MM)
    paper.text((title.left, title.top + 2.6), "Coronal overview", TextStyle(size_pt=7.5, bold=True), title.width)
    picture, legend = rest.split_below(rest.height - LEGEND_MM)
    scene = upright_volume_of(findings)
    lobes = _lobe_outlines(findings.lungs, scene) if findings.lungs else {}
    shadows = [_shadow(finding, findings) for finding in findings.findings]
    inner = Rect(
        left=picture.left + MARGIN_MM, top=picture.top, width=picture.width - 2 * MARGIN_MM, height=picture.height
    )
    of_lesions = [outline for shadow in shadows for outline in shadow.outlines]
    window = _window(inner, scene, list(chain.from_iterable(lobes.values())), of_lesions)
    _draw_projection(paper, window, scene)
    for lobe, lobe_outlines in lobes.items():
        for outline in lobe_outlines:
            paper.line(window.places_of(outline), LOBES[lobe])
    for shadow in reversed(shadows):
        for outline in shadow.outlines:
            paper.shape(window.places_of(outline), FILL)
    _draw_numbers(paper, window, shadows[:most])
    _draw_legend(paper, legend, has_lobes=bool(lobes))


def spread_out(wanted: Sequence[float], pitch: float, low: float, high: float) -> list[float]:
    """Return places between low and high, in the order of those wanted, at least a pitch apart and near to them."""
    pitch = min(pitch, (high - low) / max(len(wanted) - 1, 1))
    places: list[float] = []
    for place in wanted:
        places.append(max(place, low, *(earlier + pitch for earlier in places[-1:])))
    for position in reversed(range(len(places))):
        after = places[position + 1] - pitch if position + 1 < len(places) else high
        places[position] = min(places[position], after)
    return places


def _shadow(finding: Finding, findings: Findings) -> _Shadow:
    body = body_of(finding.lesion, findings)
    height, _, side = np.argwhere(body.voxels).mean(axis=0) + body.corner
    return _Shadow(number=finding.lesion.number, outlines=body.shadow(CORONAL), centre=(float(height), float(side)))


def _lobe_outlines(lungs: Lungs, scene: UprightVolume) -> dict[Lobe, list[Points]]:
    """Return the outlines of each lobe's projection, in the scene's (vertical, across) indices."""
    lobes, affine = turned_upright(lungs.lobes, lungs.affine)
    to_scene = np.linalg.inv(scene.affine) @ affine
    middle = (lobes.shape[1] - 1) / 2
    found = {}
    for lobe in Lobe:
        coarse = outlines((lobes == lobe).any(axis=1))
        points = [np.insert(outline, 1, middle, axis=1) for outline in coarse]
        found[lobe] = [(point @ to_scene[:3, :3].T + to_scene[:3, 3])[:, [0, 2]] for point in points]
    return found


def _window(rect: Rect, scene: UprightVolume, lobes: list[Points], lesions: list[Points]) -> Window:
    """Show lungs and lesions with their surroundings; all of the scan where the lungs were not found."""
    height_mm, _, width_mm = scene.spacing
    corners = np.array([(-0.5, -0.5), (scene.hu.shape[0] - 0.5, scene.hu.shape[2] - 0.5)])
    points = np.concatenate([*lobes, *lesions]) if lobes else np.concatenate([corners, *lesions])
    around = np.array([AROUND_MM / height_mm, AROUND_MM / width_mm]) if lobes else np.zeros(2)
    low, high = points.min(axis=0) - around, points.max(axis=0) + around
    tall, wide = (high - low) * (height_mm, width_mm)
    return Window(
        rect=rect,
        plane=CORONAL,
        centre=(float(low[0] + high[0]) / 2, float(low[1] + high[1]) / 2),
        scale=max(tall / rect.height, wide / rect.width),
        spacing=scene.spacing,
    )


def _draw_projection(paper: Sheet, window: Window, scene: UprightVolume) -> None:
    density: NDArray[np.float32] = np.maximum(scene.hu[:, ::DEPTH_STEP], -1000).mean(axis=1) + np.float32(1000)
    densest = max(float(np.percentile(density[::2, ::2], 99.5)), 1.0)
    show(paper, window, seen_in(window, density, outside=0.0), GreyRange(black=densest / DARKEST, white=0.0))


def _draw_numbers(paper: Sheet, window: Window, shadows: Sequence[_Shadow]) -> None:
    """Write each number beside the picture, on the side of its lesion, with a line that leads to it."""
    rect, middle = window.rect, window.rect.left + window.rect.width / 2
    places = {shadow.number: window.place_of(*shadow.centre) for shadow in shadows}
    for is_left in (True, False):
        numbers = sorted((n for n in places if (places[n][0] < middle) == is_left), key=lambda n: places[n][1])
        heights = spread_out([places[n][1] for n in numbers], PITCH_MM, rect.top + 1.5, rect.bottom - 1.5)
        ink = TextStyle(size_pt=_number_pt(heights), bold=True, align="right" if is_left else "left")
        edge = rect.left if is_left else rect.right
        out = -0.8 if is_left else 0.8
        for number, height in zip(numbers, heights, strict=True):
            paper.text((edge + out, height + ink.size_pt * 0.13), str(number), ink)
            paper.line([(edge, height), places[number]], LEADER)


def _number_pt(heights: Sequence[float]) -> float:
    """Return a size at which numbers at these heights do not touch."""
    pitch = min((b - a for a, b in pairwise(heights)), default=PITCH_MM)
    return min(7.0, 2.35 * pitch)


def _draw_legend(paper: Sheet, rect: Rect, *, has_lobes: bool) -> None:
    """Say below the picture which side is which, and what its lines are."""
    ink, bold, baseline = TextStyle(size_pt=6, colour=GREY), TextStyle(size_pt=6.5, bold=True), rect.bottom - 0.6
    left, right = rect.left + MARGIN_MM, rect.right - MARGIN_MM - 3
    paper.text((left, baseline), "R", bold)
    paper.text((right + 3, baseline), "L", replace(bold, align="right"))
    left += 5
    if not has_lobes:
        paper.text((left, baseline), "projection; lungs not found: no lobes drawn", ink, right - left)
        return
    for words, trace in (("upper", UPPER), ("middle", MIDDLE), ("lower lobe", LOWER)):
        paper.line([(left, baseline - 0.8), (left + 7, baseline - 0.8)], trace)
        paper.text((left + 8, baseline), words, ink)
        left += 8 + paper.text_width_mm(words, ink) + 3
    paper.text((left, baseline), "projection", ink, right - left)
