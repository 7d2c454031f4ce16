"""False positives on tumour-free slices of patients, and in scans without a tumour.

Marks on slices count whatever their size: a stack of one or two slices is too thin for the product's rule on the
smallest lesion. These figures are therefore upper bounds of what the product would report.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from training.data.volume import Stack
from training.evaluation.bootstrap import Estimate, estimate
from training.evaluation.case import Bools, EvaluatedCase
from training.evaluation.detection import Detected
from training.evaluation.froc import false_per_scan
from worker.phantom.chest import PhantomSpec, chest_phantom

FREE_SEED = 5000
"""First seed of the generated chests without a lesion; training and the demo use other seeds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FreeSlices:
    """A patient's tumour-free slices: their number, how many have a mark, and the number and area of marks."""

    patient: str
    slices: int
    marked_slices: int
    marks: int
    marked_mm2: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FalsePositiveRates:
    """False positives on tumour-free slices and in tumour-free scans; n of an estimate counts cases that have any."""

    tumour_free_slices: int
    share_of_slices_with_marks: Estimate
    marks_per_slice: Estimate
    marked_mm2_per_slice: Estimate
    tumour_free_scans: int
    false_lesions_per_tumour_free_scan: Estimate


def free_slices(case: EvaluatedCase, marked: Bools) -> FreeSlices:
    """Count the marks on a case's tumour-free slices; for a crop, zero slices: outside its mask nothing is known."""
    free = case.seen & ~case.mask.any((1, 2)) & case.whole
    planes = [plane for plane in marked[free] if plane.any()]
    return FreeSlices(
        patient=case.patient,
        slices=int(free.sum()),
        marked_slices=len(planes),
        marks=sum(int(ndimage.label(plane, np.ones((3, 3)))[1]) for plane in planes),
        marked_mm2=float(sum(np.count_nonzero(plane) for plane in planes) * case.spacing_mm[1] * case.spacing_mm[2]),
    )


def false_positives(
    counted: Sequence[FreeSlices], detected: Sequence[Detected], peak_threshold: float
) -> FalsePositiveRates:
    """Return the rates over all tumour-free slices and scans, with intervals over patients."""
    some = [item for item in counted if item.slices]
    scans = [case for case in detected if not case.has_truth]
    table = np.array([(item.slices, item.marked_slices, item.marks, item.marked_mm2) for item in some], np.float64)

    def per_slice(column: int) -> Estimate:
        return estimate(
            [item.patient for item in some], lambda drawn: float(np.divide(*table[drawn].sum(0)[[column, 0]]))
        )

    return FalsePositiveRates(
        tumour_free_slices=sum(item.slices for item in some),
        share_of_slices_with_marks=per_slice(1),
        marks_per_slice=per_slice(2),
        marked_mm2_per_slice=per_slice(3),
        tumour_free_scans=len(scans),
        false_lesions_per_tumour_free_scan=estimate(
            [case.patient for case in scans], lambda drawn: false_per_scan([scans[i] for i in drawn], peak_threshold)
        ),
    )


def free_chests(count: int) -> Iterator[Stack]:
    """Yield generated whole chests without a lesion, with seeds that are used nowhere else."""
    for seed in range(FREE_SEED, FREE_SEED + count):
        noise = float(np.random.default_rng(seed).uniform(5, 40))
        phantom = chest_phantom(
            PhantomSpec(seed=seed, shape=(54, 216, 280), spacing_mm=(4.0, 1.25, 1.25), lesions=(), noise_hu=noise)
        )
        yield Stack(
            source="phantom-free",
            patient=f"phantom-{seed}",
            name=f"phantom-{seed}",
            hu=phantom.hu.astype(np.int16),
            mask=np.zeros(phantom.hu.shape, bool),
            spacing_mm=phantom.spec.spacing_mm,
            whole=True,
        )
