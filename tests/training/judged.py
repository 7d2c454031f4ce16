"""Small cases with masks known on paper."""

from __future__ import annotations

import numpy as np

from models.segmenter import ModelCard
from training.evaluate import OperatingPoint, Predicted
from training.judged_case import JudgedCase, case_of
from training.stack import Stack

POINT = OperatingPoint(threshold=0.5, peak_threshold=0.5)
CARD = ModelCard(
    name="m",
    version="1",
    weights_file="",
    weights_sha256="abc",
    licence="",
    threshold=0.5,
    smallest_lesion_ml=0.1,
    peak_threshold=0.5,
)
ISOTROPIC = (1.0, 1.0, 1.0)
Corner = tuple[int, int, int]


def box(shape: Corner, low: Corner, high: Corner) -> np.ndarray:
    """A mask that is True from `low` up to, not with, `high`."""
    mask = np.zeros(shape, bool)
    mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = True
    return mask


def predicted(mask: np.ndarray, probability: np.ndarray, **fields: object) -> Predicted:
    """What a network says of a stack of soft tissue in air."""
    told: dict[str, object] = {
        "source": "msd", "patient": "a", "name": "a", "spacing_mm": ISOTROPIC, "whole": True,
        "hu": np.where(mask, 40, -850).astype(np.int16), **fields,
    }  # fmt: skip
    return Predicted(stack=Stack(mask=mask, **told), probability=probability.astype(np.float32))  # type: ignore[arg-type]


def case(mask: np.ndarray, probability: np.ndarray, **fields: object) -> JudgedCase:
    """The same as a case of its own."""
    return case_of([predicted(mask, probability, **fields)])
