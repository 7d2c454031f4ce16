"""Agreement of a model with the readers, compared with the readers' agreement with each other, on the same lesions.

The readers' majority is smoother than any single reader and easier to agree with: the fair comparison with the readers'
pairwise Dice is the model's mean Dice with the single readers. Both are given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from training.data.datasets import reader_masks
from training.evaluation.bootstrap import Estimate, estimate_mean, estimate_median
from training.evaluation.case import Bools, EvaluatedCase
from training.evaluation.metrics import dice


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderNumbers:
    """A lesion outlined by two or more readers: mean Dice over pairs of readers, and over the readers."""

    patient: str
    case: str
    readers: int
    readers_pairwise_dice: float
    model_to_majority_dice: float
    model_to_readers_dice: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Over lesions: the readers' agreement with each other, and the model's with their majority and with each of them.

    model_minus_readers: mean over lesions of the model's Dice with the readers minus the readers' pairwise Dice.
    """

    lesions: int
    readers_pairwise_mean: Estimate
    readers_pairwise_median: Estimate
    model_to_majority_mean: Estimate
    model_to_majority_median: Estimate
    model_to_readers_mean: Estimate
    model_to_readers_median: Estimate
    model_minus_readers: Estimate
    model_to_majority_minus_readers: Estimate


def reader_numbers(case: EvaluatedCase, marked: Bools) -> ReaderNumbers | None:
    """Return the agreement on one lesion; None with fewer than two readers."""
    if case.readers is None:
        return None
    masks = reader_masks(case.readers)
    if len(masks) < 2:
        return None
    return ReaderNumbers(
        patient=case.patient,
        case=case.name,
        readers=len(masks),
        readers_pairwise_dice=_mean_dice(list(combinations(masks, 2))),
        model_to_majority_dice=_mean_dice([(marked, case.mask)]),
        model_to_readers_dice=_mean_dice([(marked, mask) for mask in masks]),
    )


def agreement(numbers: Sequence[ReaderNumbers]) -> Agreement:
    """Return the agreement over lesions, with intervals over patients."""
    patients = [item.patient for item in numbers]
    pairwise = [item.readers_pairwise_dice for item in numbers]
    majority = [item.model_to_majority_dice for item in numbers]
    single = [item.model_to_readers_dice for item in numbers]
    return Agreement(
        lesions=len(numbers),
        readers_pairwise_mean=estimate_mean(patients, pairwise),
        readers_pairwise_median=estimate_median(patients, pairwise),
        model_to_majority_mean=estimate_mean(patients, majority),
        model_to_majority_median=estimate_median(patients, majority),
        model_to_readers_mean=estimate_mean(patients, single),
        model_to_readers_median=estimate_median(patients, single),
        model_minus_readers=estimate_mean(patients, [a - b for a, b in zip(single, pairwise, strict=True)]),
        model_to_majority_minus_readers=estimate_mean(
            patients, [a - b for a, b in zip(majority, pairwise, strict=True)]
        ),
    )


def _mean_dice(pairs: Sequence[tuple[Bools, Bools]]) -> float:
    values = [value for one, other in pairs if (value := dice(one, other)) is not None]
    return float(np.mean(values))
