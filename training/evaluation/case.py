"""Cases, the units of evaluation: stacks of one patient or one crop, with the predicted probabilities."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.data.datasets import Stack
from training.evaluation.predict import Predicted

AIR_HU = -1000

Spacing = tuple[float, float, float]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluatedCase:
    """All whole slices of a patient, or one crop, at their positions along z, so that distances are right.

    hu: int16 (slice, row, column). mask: bool, the reference. probability: float32. seen: bool (slice), False for
    slices that the collection lacks: there hu is air, and mask and probability are empty. readers: uint8 or None, as in
    Stack.
    """

    source: str
    patient: str
    name: str
    hu: NDArray[np.int16]
    mask: Bools
    probability: NDArray[np.float32]
    seen: Bools
    spacing_mm: Spacing
    whole: bool
    readers: NDArray[np.uint8] | None = None

    @property
    def affine(self) -> NDArray[np.float64]:
        """Affine of the grid, its first voxel at the origin: (slice, row, column, 1) to LPS mm."""
        matrix = np.zeros((4, 4))
        matrix[2, 0], matrix[1, 1], matrix[0, 2] = self.spacing_mm
        matrix[3, 3] = 1
        return matrix

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel in millilitres."""
        return float(np.prod(self.spacing_mm)) / 1000


def grouped(predicted: Sequence[Predicted]) -> list[list[Predicted]]:
    """Return the predictions of each case: all whole slices of a patient together, each crop separately."""
    groups: dict[tuple[str, str], list[Predicted]] = defaultdict(list)
    for item in predicted:
        groups[item.stack.source, item.stack.patient if item.stack.whole else item.stack.name].append(item)
    return [groups[key] for key in sorted(groups)]


def case_of(items: Sequence[Predicted]) -> EvaluatedCase:
    """Combine the stacks of one case. Raises ValueError if two of them contain the same slice."""
    first = items[0].stack
    low = min(item.stack.first_slice for item in items)
    shape = (max(item.stack.first_slice + len(item.stack.hu) for item in items) - low, *first.hu.shape[1:])
    hu, mask = np.full(shape, AIR_HU, np.int16), np.zeros(shape, bool)
    probability, seen = np.zeros(shape, np.float32), np.zeros(shape[0], bool)
    for item in items:
        where = slice(item.stack.first_slice - low, item.stack.first_slice - low + len(item.stack.hu))
        if seen[where].any():
            raise ValueError(f"{item.stack.name}: two stacks of the case contain the same slice")
        hu[where], mask[where], seen[where] = item.stack.hu, item.stack.mask, True
        probability[where] = item.probability
    return EvaluatedCase(
        source=first.source,
        patient=first.patient,
        name=case_name(first),
        hu=hu,
        mask=mask,
        probability=probability,
        seen=seen,
        spacing_mm=first.spacing_mm,
        whole=first.whole,
        readers=np.asarray(first.readers) if len(items) == 1 and first.readers is not None else None,
    )


def case_name(stack: Stack) -> str:
    """Return the name of the case that a stack belongs to."""
    return stack.patient if stack.whole else stack.name
