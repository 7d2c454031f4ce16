"""Which lesion of the current scan is a known one: registers, then matches. Names and measures nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.volume import Mask
from worker.findings import Findings
from worker.follow_up.lesion_history import KnownLesion, is_gone
from worker.follow_up.matching import Body, Event, Match, match
from worker.lesions.lesion import Lesion
from worker.priors.read import Prior
from worker.registration.register import Method, Registration, register

ERROR_MM = {Method.DEFORMABLE: 6.0, Method.RIGID: 9.0, Method.LUNG_BOX: 12.0, Method.NONE: 9.0}
"""How far from its expected place a lesion lies, one standard deviation on each axis, by how the scans were brought
together; without lungs, within one frame of reference, breathing alone moves it."""
MOST_POINTS = 1500


@dataclass(frozen=True, slots=True, kw_only=True)
class Identification:
    """What became of each known lesion, and what each lesion of the current scan is."""

    registration: Registration
    """With the latest earlier scan."""
    matches: tuple[Match, ...]
    """By tracking UIDs: earlier ones as known, later ones as the current scan gave them."""
    out_of_view: frozenset[str]
    """Known lesions whose place lies outside of the current scan."""


def identify(findings: Findings, known: Iterable[KnownLesion], latest: Prior) -> Identification:
    """Match the current scan with the latest earlier one; for what is new then, look among those that were gone."""
    registration = register_scans(latest, findings)
    bodies = [body_of(finding.lesion, findings) for finding in findings.findings]
    seen = [lesion for lesion in known if lesion.history[-1][0] is latest and lesion.last.outline is not None]
    earlier = [_earlier_body(lesion, registration) for lesion in seen]
    matches = match(earlier, bodies, ERROR_MM[registration.method])
    matches = _with_returned(matches, bodies, [lesion for lesion in known if is_gone(lesion.last)], findings)
    vanished = {match.earlier[0] for match in matches if match.event is Event.VANISHED}
    hidden = {body.key for body in earlier if body.key in vanished and not _is_in_view(body, findings)}
    return Identification(registration=registration, matches=matches, out_of_view=frozenset(hidden))


def register_scans(earlier: Prior, findings: Findings) -> Registration:
    """Bring an earlier scan's lungs onto the current scan's."""
    lungs = findings.lungs
    return register(earlier.lungs, Mask(voxels=lungs.lobes > 0, affine=lungs.affine) if lungs else None)


def body_of(lesion: Lesion, findings: Findings) -> Body:
    """Return a lesion of the current scan as the matching sees it."""
    affine = findings.volume.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ lesion.corner
    outline = Mask(voxels=lesion.voxels, affine=affine)
    return Body(key=lesion.tracking_uid, points_mm=_points(outline), volume_ml=_volume_ml(outline))


def _earlier_body(lesion: KnownLesion, registration: Registration) -> Body:
    outlined = lesion.last_outlined
    assert outlined is not None and outlined[1].outline is not None  # noqa: PT018, S101  (asked of outlined lesions)
    outline = outlined[1].outline
    points_mm = registration.to_later(_points(outline))
    return Body(key=lesion.tracking_uid, points_mm=points_mm, volume_ml=_volume_ml(outline))


def _with_returned(
    matches: Sequence[Match], bodies: Sequence[Body], gone: Sequence[KnownLesion], findings: Findings
) -> tuple[Match, ...]:
    """Replace what is new by what has returned, where a lesion that was gone had lain at that place."""
    by_scan: dict[str, list[KnownLesion]] = {}
    scans = {}
    for lesion in gone:
        if lesion.last_outlined is not None:
            scan = lesion.last_outlined[0]
            scans[scan.series_uid] = scan
            by_scan.setdefault(scan.series_uid, []).append(lesion)
    found = list(matches)
    for series_uid, lesions in by_scan.items():
        new = {match.later[0] for match in found if match.event is Event.NEW}
        if new:
            registration = register_scans(scans[series_uid], findings)
            earlier = [_earlier_body(lesion, registration) for lesion in lesions]
            again = match(earlier, [body for body in bodies if body.key in new], ERROR_MM[registration.method])
            found = _replaced(found, again)
    return tuple(found)


def _replaced(matches: Sequence[Match], again: Sequence[Match]) -> list[Match]:
    returned = {
        key: replace(match, event=Event.RETURNED, earlier=match.earlier[:1], later=match.later[:1])
        for match in again
        if match.earlier and match.later and match.is_confident
        for key in match.later[:1]
    }
    return [returned.get(match.later[0], match) if match.event is Event.NEW else match for match in matches]


def _points(outline: Mask) -> NDArray[np.float64]:
    """Return the centres of the voxels, in LPS mm, or an even sample of them."""
    voxels = np.argwhere(outline.voxels)
    voxels = voxels[:: -(-len(voxels) // MOST_POINTS)]
    return np.asarray(voxels @ outline.affine[:3, :3].T + outline.affine[:3, 3], np.float64)


def _volume_ml(outline: Mask) -> float:
    return float(np.count_nonzero(outline.voxels)) * outline.voxel_ml


def _is_in_view(body: Body, findings: Findings) -> bool:
    """Say whether the place of a lesion lies within the current scan."""
    inverse = np.linalg.inv(findings.volume.affine)
    index = inverse[:3, :3] @ body.centre_mm + inverse[:3, 3]
    return bool(((index >= -0.5) & (index <= np.array(findings.volume.hu.shape) - 0.5)).all())
