"""Runs a model over stacks, and chooses its operating point by Dice.

The operating point is chosen on the validation part; the test part is evaluated once, at that point: `evaluate.py`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from models.lung_tumour.scoring import outlined
from models.lung_tumour.segmenter import around_lungs
from models.lungs.field import lung_field
from models.segmenter import ModelCard, Progress
from training.data.volume import Stack
from training.evaluation.components import Labelled, dice_at, labelled, volume_ratio_at

THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95)
PEAKS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9998)
DICE_TOLERANCE = 0.01
"""Points this close to the best mean Dice count as equal; the standard error of 50 patients is three times that."""
BOOTSTRAPS = 2000
IN_MEMORY_BYTES = 64 * 2**20
"""Probabilities of larger stacks are kept on disk: those of a data set of whole scans do not fit into memory."""

Probability = NDArray[np.float32]
Cases = Mapping[str, Sequence[Sequence[Labelled]]]
"""By source, the labelled stacks of each case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingPoint:
    """The voxel threshold of the outline, and the score (`models.lung_tumour.scoring`) that a lesion needs."""

    threshold: float
    peak_threshold: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DiceSummary:
    """A mean with its 95 % bootstrap interval over cases, the median, and the number of cases."""

    cases: int
    mean: float
    low: float
    high: float
    median: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicted:
    """A stack and its predicted probabilities."""

    stack: Stack
    probability: Probability


class Predictor(Protocol):
    """A model that predicts each voxel's probability of tumour: our segmenter, or another one under comparison."""

    @property
    def card(self) -> ModelCard:
        """The model's card, with its operating point."""
        ...

    def probability(
        self,
        hu: NDArray[np.float32],
        spacing: tuple[float, float, float],
        progress: Progress,
        field: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.float32]:
        """Return probabilities on the grid of `hu`, which is upright (`models.orientation`); needed near `field`."""
        ...


def predict(model: Predictor, stacks: Sequence[Stack]) -> list[Predicted]:
    """Predict each stack as in inference: from whole slices, with probability 0 far from the lungs."""
    return [
        Predicted(stack=stack, probability=_kept(_probability(model, stack))) for stack in track(stacks, "predicting")
    ]


def _probability(model: Predictor, stack: Stack) -> Probability:
    hu = np.asarray(stack.hu, np.float32)
    if not stack.whole:
        return model.probability(hu, stack.spacing_mm, lambda _: None)
    probability = np.zeros(hu.shape, np.float32)
    field = lung_field(hu, stack.spacing_mm)
    box, predicted = around_lungs(model.probability, hu, stack.spacing_mm, field, lambda _: None)
    probability[box] = predicted
    return probability


def _kept(probability: Probability) -> Probability:
    if probability.nbytes <= IN_MEMORY_BYTES:
        return probability
    with TemporaryFile() as file:  # the file's pages exist as long as the array
        on_disk = np.memmap(file, probability.dtype, "w+", shape=probability.shape)
    on_disk[:] = probability
    return on_disk


def choose_point(predicted: Sequence[Predicted]) -> OperatingPoint:
    """Return the best operating point for these stacks, see `best_point`."""
    return best_point(label_cases(predicted))


def label_cases(predicted: Sequence[Predicted]) -> Cases:
    """Label the components of each case at every threshold, by source."""
    return {
        source: [
            [labelled(item.probability, np.asarray(item.stack.mask), item.stack.voxel_ml, THRESHOLDS) for item in items]
            for items in track(cases.values(), "labelling")
        ]
        for source, cases in cases_by_source(predicted).items()
    }


def best_point(*labelled_cases: Cases, threshold: float | None = None) -> OperatingPoint:
    """Return the operating point with the smallest volume error among those with (nearly) the best mean Dice.

    The Dice is summed over the sources. MSD's slices are whole, as in a scan, so false positives count there; LIDC's
    nodules keep small lesions from being sacrificed for it. LIDC's cubes show nodules of the same patients, and count
    only if there is no other source. For each threshold the best peak threshold is taken, averaged with both
    neighbours, so that the choice does not lie next to a sharp drop. Dice hardly distinguishes a tight outline from a
    generous one, but volume, which is followed over time, does: the volume error is that of LIDC's nodules if there are
    any, since missing parts of a mass do not depend on the threshold. A given threshold, one of THRESHOLDS, gets its
    best peak threshold.
    """
    sources = {source for cases in labelled_cases for source in cases}
    voting = sorted(sources - {"lidc-cube"}) or sorted(sources)
    together = [[case for cases in labelled_cases for case in cases.get(source, ())] for source in voting]
    best = dict(_best_peak(together, low) for low in (THRESHOLDS if threshold is None else (threshold,)))
    good = [point for point in best if best[point] >= max(best.values()) - DICE_TOLERANCE * len(voting)]
    measured = [
        cases for source, cases in zip(voting, together, strict=True) if source == "lidc" or "lidc" not in voting
    ]
    return min(good, key=lambda point: (sum(_volume_error(cases, point) for cases in measured), -best[point]))


def _best_peak(together: Sequence[Sequence[Sequence[Labelled]]], low: float) -> tuple[OperatingPoint, float]:
    """Return the best point with this threshold, and the sources' summed mean Dice, averaged with its neighbours."""
    points = [OperatingPoint(threshold=low, peak_threshold=peak) for peak in PEAKS if peak >= low]
    sums = np.pad([sum(_mean_dice(cases, point) for cases in together) for point in points], 1, mode="edge")
    steady = [round(float(sums[k : k + 3].mean()), 3) for k in range(len(points))]
    return points[int(np.argmax(steady))], max(steady)


def _mean_dice(cases: Sequence[Sequence[Labelled]], point: OperatingPoint) -> float:
    return round(float(np.mean([dice_at(case, point.threshold, point.peak_threshold) for case in cases])), 3)


def _volume_error(cases: Sequence[Sequence[Labelled]], point: OperatingPoint) -> float:
    """Return the absolute logarithm of the median volume ratio: 0 for no error, log 2 for twice or half the volume."""
    ratios = [volume_ratio_at(case, point.threshold, point.peak_threshold) for case in cases]
    found = [ratio for ratio in ratios if ratio is not None]
    return round(abs(float(np.log(np.median(found)))), 2) if found else np.inf


def dice_by_source(predicted: Sequence[Predicted], point: OperatingPoint) -> dict[str, DiceSummary]:
    """Return the Dice by source: MSD by patient over all slices, LIDC by nodule against the readers' majority.

    Tumour-free slices count: false positives there lower the patient's Dice.
    """
    return {
        source: _dice_summary([_dice(items, point) for items in cases.values()])
        for source, cases in sorted(cases_by_source(predicted).items())
    }


def cases_by_source(predicted: Sequence[Predicted]) -> dict[str, dict[str, list[Predicted]]]:
    """Return the predictions of each case by source: all whole slices of a patient together, each crop separately."""
    by_case: dict[str, dict[str, list[Predicted]]] = defaultdict(lambda: defaultdict(list))
    for item in predicted:
        case = item.stack.patient if item.stack.whole else item.stack.name
        by_case[item.stack.source][case].append(item)
    return by_case


def _dice(items: Iterable[Predicted], point: OperatingPoint) -> float:
    shared = total = 0
    for item in items:
        marked = outlined(
            item.probability.astype(np.float32), point.threshold, point.peak_threshold, item.stack.voxel_ml
        )
        mask = np.asarray(item.stack.mask)
        shared += int((marked & mask).sum())
        total += int(marked.sum()) + int(mask.sum())
    return 2 * shared / total if total else 1.0


def _dice_summary(values: list[float]) -> DiceSummary:
    cases = np.array(values)
    drawn = np.random.default_rng(1).choice(cases, (BOOTSTRAPS, len(cases))).mean(1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    rounded = (round(float(value), 3) for value in (cases.mean(), low, high, np.median(cases)))
    mean, low_rounded, high_rounded, median = rounded
    return DiceSummary(cases=len(cases), mean=mean, low=low_rounded, high=high_rounded, median=median)
