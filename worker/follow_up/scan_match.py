"""Identification of known lesions in the current scan by registration and matching."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.volume import Mask
from worker.findings import Findings
from worker.follow_up.lesion_history import KnownLesion, may_return
from worker.follow_up.matching import Event, LesionPoints, Match, match
from worker.follow_up.prior import Prior
from worker.lesions.lesion import Lesion
from worker.registration.register import Method, Registration, register

ERROR_MM = {Method.DEFORMABLE: 6.0, Method.RIGID: 9.0, Method.LUNG_BOX: 12.0, Method.NONE: 9.0}
"""Registration error of a lesion's position by method, one standard deviation on each axis; for Method.NONE, within one
frame of reference, the error is that of breathing."""
MOST_POINTS = 1500


@dataclass(frozen=True, slots=True, kw_only=True)
class Identification:
    """Matches between the known lesions and the lesions of the current scan."""

    registration: Registration
    """With the latest prior scan."""
    matches: tuple[Match, ...]
    """Keys are tracking UIDs: the known ones, and those assigned in the current scan."""
    out_of_view: frozenset[str]
    """Tracking UIDs of vanished lesions whose position is outside of the current scan."""


def identify(findings: Findings, known: Iterable[KnownLesion], latest: Prior) -> Identification:
    """Return the matches with the latest prior scan; new lesions are then matched with lesions absent from it."""
    registration = register_scans(latest, findings)
    current = [body_of(finding.lesion, findings) for finding in findings.findings]
    listed = [lesion for lesion in known if lesion.history[-1][0] is latest and lesion.last.outline is not None]
    prior = [_prior_body(lesion, registration) for lesion in listed]
    matches = match(prior, current, ERROR_MM[registration.method])
    matches = _with_returned(matches, current, [lesion for lesion in known if may_return(lesion.last)], findings)
    vanished = {match.prior[0] for match in matches if match.event is Event.VANISHED}
    out_of_view = {body.key for body in prior if body.key in vanished and not _is_in_view(body, findings)}
    return Identification(registration=registration, matches=matches, out_of_view=frozenset(out_of_view))


def register_scans(prior: Prior, findings: Findings) -> Registration:
    """Return the registration of a prior scan's lungs to the current scan's lungs."""
    lungs = findings.lungs
    return register(prior.lungs, Mask(voxels=lungs.lobes > 0, affine=lungs.affine) if lungs else None)


def body_of(lesion: Lesion, findings: Findings) -> LesionPoints:
    """Return the points of a lesion of the current scan for matching."""
    affine = findings.volume.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ lesion.corner
    outline = Mask(voxels=lesion.voxels, affine=affine)
    return LesionPoints(key=lesion.tracking_uid, points_mm=_points(outline), volume_ml=_volume_ml(outline))


def _prior_body(lesion: KnownLesion, registration: Registration) -> LesionPoints:
    outlined = lesion.last_outlined
    assert outlined is not None and outlined[1].outline is not None  # noqa: PT018, S101  (outlined lesions only)
    outline = outlined[1].outline
    points_mm = registration.to_later(_points(outline))
    return LesionPoints(key=lesion.tracking_uid, points_mm=points_mm, volume_ml=_volume_ml(outline))


def _with_returned(
    matches: Sequence[Match], current: Sequence[LesionPoints], absent: Sequence[KnownLesion], findings: Findings
) -> tuple[Match, ...]:
    """Replace NEW by RETURNED for lesions that match a lesion absent from the latest prior scan."""
    by_scan: dict[str, list[KnownLesion]] = {}
    scans = {}
    for lesion in absent:
        if lesion.last_outlined is not None:
            scan = lesion.last_outlined[0]
            scans[scan.series_uid] = scan
            by_scan.setdefault(scan.series_uid, []).append(lesion)
    updated = list(matches)
    for series_uid, lesions in by_scan.items():
        new = {match.later[0] for match in updated if match.event is Event.NEW}
        if new:
            registration = register_scans(scans[series_uid], findings)
            prior = [_prior_body(lesion, registration) for lesion in lesions]
            rematched = match(prior, [body for body in current if body.key in new], ERROR_MM[registration.method])
            updated = _replaced(updated, rematched)
    return tuple(updated)


def _replaced(matches: Sequence[Match], rematched: Sequence[Match]) -> list[Match]:
    returned = {
        key: replace(match, event=Event.RETURNED, prior=match.prior[:1], later=match.later[:1])
        for match in rematched
        if match.prior and match.later and match.is_confident
        for key in match.later[:1]
    }
    return [returned.get(match.later[0], match) if match.event is Event.NEW else match for match in matches]


def _points(outline: Mask) -> NDArray[np.float64]:
    """Return the centres of the voxels or an even sample of at most MOST_POINTS, (n, 3), LPS mm."""
    voxels = np.argwhere(outline.voxels)
    voxels = voxels[:: -(-len(voxels) // MOST_POINTS)]
    return np.asarray(voxels @ outline.affine[:3, :3].T + outline.affine[:3, 3], np.float64)


def _volume_ml(outline: Mask) -> float:
    return float(np.count_nonzero(outline.voxels)) * outline.voxel_ml


def _is_in_view(body: LesionPoints, findings: Findings) -> bool:
    """Return whether the centre of a lesion lies within the current scan."""
    inverse = np.linalg.inv(findings.volume.affine)
    index = inverse[:3, :3] @ body.centre_mm + inverse[:3, 3]
    return bool(((index >= -0.5) & (index <= np.array(findings.volume.hu.shape) - 0.5)).all())
