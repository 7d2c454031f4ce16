"""Detection: which lesions of a case were found, and which candidates are false positives.

A lesion is a 3D connected component of at least the card's smallest volume, as in the product. Smaller components of
the reference are ignored, and so are candidates that hit them (as LUNA16 ignores irrelevant findings).

A candidate is a component above the outline's threshold; its score is the segmenter's. It hits a lesion if both masks
have an intersection over union of 0.1 or more (nnDetection, Baumgartner et al., MICCAI 2021, arXiv:2106.00817), or if
the distance of their centroids is at most the radius of a ball of the lesion's volume (LUNA16, Setio et al., Med Image
Anal 42 (2017) 1: within half a diameter). A lesion's score is that of its best candidate; further candidates on it are
no false positives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.lung_tumour.scoring import score
from models.segmenter import ModelCard
from models.volume import Mask
from training.evaluation.attachment import Attachment, attachment_of
from training.evaluation.case import Bools, EvaluatedCase
from training.evaluation.metrics import dice, hausdorff_95_mm, long_axis_mm, surface_dice
from training.evaluation.predict import OperatingPoint
from worker.lesions.lesion import Lesion, find_lesions

MIN_IOU = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class LesionNumbers:
    """A lesion of the reference and its marks at the operating point; None for values that need a mark.

    score: the highest of the candidates that hit it, at any peak threshold; None if none hits it.
    """

    source: str
    patient: str
    case: str
    lesion: int
    attachment: Attachment
    long_axis_mm: float
    volume_ml: float
    score: float | None
    found: bool
    dice: float | None
    surface_dice_2mm: float | None
    hd95_mm: float | None
    volume_error_mm3: float | None
    long_axis_error_mm: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Detected:
    """The lesions of a case, and the scores of candidates that hit neither a lesion nor an ignored component.

    has_truth: False if the reference is empty.
    """

    source: str
    patient: str
    case: str
    slices: int
    has_truth: bool
    lesions: tuple[LesionNumbers, ...]
    false_scores: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    lesion: Lesion
    score: float


def detect(case: EvaluatedCase, point: OperatingPoint, card: ModelCard) -> Detected:
    """Match the candidates of a case with the lesions of its reference."""
    all_lesions = find_lesions(
        Mask(voxels=case.mask, affine=case.affine), replace(card, smallest_lesion_ml=0.0), "reference"
    )
    ignored = tuple(lesion for lesion in all_lesions if _volume_ml(lesion, case) < card.smallest_lesion_ml - 1e-9)
    reported = all_lesions[: len(all_lesions) - len(ignored)]  # the largest come first
    candidates = _candidates(case, point.threshold, card)
    hits = [[lesion for lesion in all_lesions if _hits(candidate.lesion, lesion, case)] for candidate in candidates]
    return Detected(
        source=case.source,
        patient=case.patient,
        case=case.name,
        slices=int(case.seen.sum()),
        has_truth=bool(all_lesions),
        lesions=tuple(
            _numbers(lesion, [c for c, hit in zip(candidates, hits, strict=True) if lesion in hit], case, point)
            for lesion in reported
        ),
        false_scores=tuple(c.score for c, hit in zip(candidates, hits, strict=True) if not hit),
    )


def _candidates(case: EvaluatedCase, threshold: float, card: ModelCard) -> list[_Candidate]:
    found = find_lesions(Mask(voxels=case.probability > threshold, affine=case.affine), card, "candidates")
    peaks = np.array([case.probability[_box(lesion)][lesion.voxels].max() for lesion in found], np.float64)
    sure = score(peaks, np.array([_volume_ml(lesion, case) for lesion in found]))
    return [_Candidate(lesion=lesion, score=float(one)) for lesion, one in zip(found, sure, strict=True)]


def _hits(candidate: Lesion, lesion: Lesion, case: EvaluatedCase) -> bool:
    radius_mm = (750 * _volume_ml(lesion, case) / np.pi) ** (1 / 3)
    apart_mm = float(np.linalg.norm(np.subtract(candidate.centroid_mm, lesion.centroid_mm)))
    if apart_mm <= radius_mm:
        return True
    common = _overlap(candidate, lesion)
    union = np.count_nonzero(candidate.voxels) + np.count_nonzero(lesion.voxels) - common
    return bool(common >= MIN_IOU * union)


def _overlap(one: Lesion, other: Lesion) -> int:
    low = np.maximum(one.corner, other.corner)
    high = np.minimum(*(np.add(lesion.corner, lesion.voxels.shape) for lesion in (one, other)))
    if (high <= low).any():
        return 0
    parts = [
        lesion.voxels[tuple(slice(a - c, b - c) for a, b, c in zip(low, high, lesion.corner, strict=True))]
        for lesion in (one, other)
    ]
    return int(np.count_nonzero(parts[0] & parts[1]))


def _numbers(lesion: Lesion, hits: Sequence[_Candidate], case: EvaluatedCase, point: OperatingPoint) -> LesionNumbers:
    marked = [hit for hit in hits if hit.score >= point.peak_threshold]
    axis_mm, volume_ml = long_axis_mm(lesion, case), _volume_ml(lesion, case)
    both = _on_one_grid([hit.lesion for hit in marked], lesion) if marked else None
    marked_ml = sum(_volume_ml(hit.lesion, case) for hit in marked)
    return LesionNumbers(
        source=case.source,
        patient=case.patient,
        case=case.name,
        lesion=lesion.number,
        attachment=attachment_of(lesion, case),
        long_axis_mm=axis_mm,
        volume_ml=volume_ml,
        score=max((hit.score for hit in hits), default=None),
        found=bool(marked),
        dice=dice(*both) if both else None,
        surface_dice_2mm=surface_dice(*both, case.spacing_mm) if both else None,
        hd95_mm=hausdorff_95_mm(*both, case.spacing_mm) if both else None,
        volume_error_mm3=1000 * (marked_ml - volume_ml) if marked else None,
        long_axis_error_mm=max(long_axis_mm(hit.lesion, case) for hit in marked) - axis_mm if marked else None,
    )


def _on_one_grid(marked: Sequence[Lesion], lesion: Lesion) -> tuple[Bools, Bools]:
    """Return the marked voxels on a lesion, and the lesion, on the smallest grid that contains both."""
    low = np.min([part.corner for part in (*marked, lesion)], 0)
    high = np.max([np.add(part.corner, part.voxels.shape) for part in (*marked, lesion)], 0)
    union, truth = np.zeros(high - low, bool), np.zeros(high - low, bool)
    for part in marked:
        union[_box(part, low)] |= part.voxels
    truth[_box(lesion, low)] = lesion.voxels
    return union, truth


def _box(lesion: Lesion, origin: Sequence[int] | NDArray[np.intp] = (0, 0, 0)) -> tuple[slice, ...]:
    start = np.subtract(lesion.corner, origin)
    return tuple(slice(int(a), int(a) + n) for a, n in zip(start, lesion.voxels.shape, strict=True))


def _volume_ml(lesion: Lesion, case: EvaluatedCase) -> float:
    return float(np.count_nonzero(lesion.voxels)) * case.voxel_ml
