"""Runs a model over stacks, and chooses its operating point by Dice. Trains nothing.

The operating point is chosen on the validation part; the test part is looked at once, with that point: `evaluate.py`.
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

from models.lung_tumour.predictors import EVERYWHERE, Area
from models.lung_tumour.scoring import outlined
from models.lung_tumour.segmenter import around_lungs
from models.lungs.field import lung_field
from models.segmenter import ModelCard, Progress
from training.data.volume import Stack
from training.evaluation.components import Labelled, dice_at, labelled, volume_ratio_at

THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95)
PEAKS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9998)
NEARLY = 0.01
"""Of mean Dice: points that are this close to the best are as good; fifty patients have thrice that standard error."""
BOOTSTRAPS = 2000
IN_MEMORY_BYTES = 64 * 2**20
"""Probabilities of larger stacks lie on disk: those of a data set of whole scans do not fit into memory."""

Probability = NDArray[np.float32]
Cases = Mapping[str, Sequence[Sequence[Labelled]]]
"""By source, of each case its stacks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingPoint:
    """From which probability a voxel is outlined, and which score (`models.lung_tumour`) a lesion needs to be one."""

    threshold: float
    peak_threshold: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A mean with its 95 % bootstrap interval over cases, a median, and the number of cases."""

    cases: int
    mean: float
    low: float
    high: float
    median: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicted:
    """A stack and what the network says of it."""

    stack: Stack
    probability: Probability


class Predictor(Protocol):
    """Gives each voxel a probability of being tumour: our segmenter, or a peer that is judged by the same code."""

    @property
    def card(self) -> ModelCard:
        """The model's card, with its operating point."""
        ...

    def probability(
        self,
        hu: NDArray[np.float32],
        spacing: tuple[float, float, float],
        progress: Progress,
        area: Area = EVERYWHERE,
    ) -> NDArray[np.float32]:
        """Return probabilities on the grid of `hu`, which is upright (`models.orientation`); wanted only in `area`."""
        ...


def predict(model: Predictor, stacks: Sequence[Stack]) -> list[Predicted]:
    """Run the network over each stack as inference does: it sees whole slices, and says 0 far from the lungs."""
    return [
        Predicted(stack=stack, probability=_kept(_probability(model, stack))) for stack in track(stacks, "predicting")
    ]


def _probability(model: Predictor, stack: Stack) -> Probability:
    hu = np.asarray(stack.hu, np.float32)
    if not stack.whole:
        return model.probability(hu, stack.spacing_mm, lambda _: None)
    probability = np.zeros(hu.shape, np.float32)
    field = lung_field(hu, stack.spacing_mm)
    box, said = around_lungs(model.probability, hu, stack.spacing_mm, field, lambda _: None)
    probability[box] = said
    return probability


def _kept(probability: Probability) -> Probability:
    if probability.nbytes <= IN_MEMORY_BYTES:
        return probability
    with TemporaryFile() as file:  # its pages stay for as long as the array does
        on_disk = np.memmap(file, probability.dtype, "w+", shape=probability.shape)
    on_disk[:] = probability
    return on_disk


def choose_point(predicted: Sequence[Predicted]) -> OperatingPoint:
    """Return the best operating point for these stacks: best_point."""
    return best_point(label_cases(predicted))


def label_cases(predicted: Sequence[Predicted]) -> Cases:
    """Label what each case has at every threshold: a patient, or a nodule where crops are."""
    return {
        source: [
            [labelled(item.probability, np.asarray(item.stack.mask), item.stack.voxel_ml, THRESHOLDS) for item in items]
            for items in track(cases.values(), "labelling")
        ]
        for source, cases in cases_by_source(predicted).items()
    }


def best_point(*labelled_cases: Cases, threshold: float | None = None) -> OperatingPoint:
    """Return, of the points whose sum of the sources' mean Dice is best or nearly so, the one that is truest to volume.

    MSD's slices are whole, as a scan's are, so what is marked beside tumours counts there; LIDC's nodules keep small
    lesions from being given up for it. LIDC's cubes show nodules of the same patients, and have no say beside others.
    With each threshold goes the peak that is best for it, with both neighbours: at a cliff's edge, others would fall.
    Dice hardly tells a tight outline from a generous one; a volume, which is followed over time, does: that of LIDC's
    nodules where there are, since what is missing of a mass is no matter of the threshold. A threshold, one of
    THRESHOLDS, that is given gets its best peak.
    """
    sources = {source for cases in labelled_cases for source in cases}
    voting = sorted(sources - {"lidc-cube"}) or sorted(sources)
    together = [[case for cases in labelled_cases for case in cases.get(source, ())] for source in voting]
    best = dict(_best_peak(together, low) for low in (THRESHOLDS if threshold is None else (threshold,)))
    good = [point for point in best if best[point] >= max(best.values()) - NEARLY * len(voting)]
    measured = [
        cases for source, cases in zip(voting, together, strict=True) if source == "lidc" or "lidc" not in voting
    ]
    return min(good, key=lambda point: (sum(_volume_error(cases, point) for cases in measured), -best[point]))


def _best_peak(together: Sequence[Sequence[Sequence[Labelled]]], low: float) -> tuple[OperatingPoint, float]:
    """Return the best point with this threshold, and the sum of the sources' mean Dice, its neighbours' averaged in."""
    points = [OperatingPoint(threshold=low, peak_threshold=peak) for peak in PEAKS if peak >= low]
    sums = np.pad([sum(_mean_dice(cases, point) for cases in together) for point in points], 1, mode="edge")
    steady = [round(float(sums[k : k + 3].mean()), 3) for k in range(len(points))]
    return points[int(np.argmax(steady))], max(steady)


def _mean_dice(cases: Sequence[Sequence[Labelled]], point: OperatingPoint) -> float:
    return round(float(np.mean([dice_at(case, point.threshold, point.peak_threshold) for case in cases])), 3)


def _volume_error(cases: Sequence[Sequence[Labelled]], point: OperatingPoint) -> float:
    """Return how far the median case is from its true volume, either way alike: 0 for none, log 2 for twice or half."""
    ratios = [volume_ratio_at(case, point.threshold, point.peak_threshold) for case in cases]
    found = [ratio for ratio in ratios if ratio is not None]
    return round(abs(float(np.log(np.median(found)))), 2) if found else np.inf


def judge(predicted: Sequence[Predicted], point: OperatingPoint) -> dict[str, Figure]:
    """Return the Dice by source: MSD by patient over all of its slices, LIDC by nodule against the readers' majority.

    A patient's tumour-free slices count: what is marked there lowers the patient's Dice.
    """
    return {
        source: _figure([_dice(items, point) for items in cases.values()])
        for source, cases in sorted(cases_by_source(predicted).items())
    }


def cases_by_source(predicted: Sequence[Predicted]) -> dict[str, dict[str, list[Predicted]]]:
    """Return what is judged together: all whole slices of a patient, each crop for itself."""
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


def _figure(values: list[float]) -> Figure:
    cases = np.array(values)
    drawn = np.random.default_rng(1).choice(cases, (BOOTSTRAPS, len(cases))).mean(1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    rounded = (round(float(value), 3) for value in (cases.mean(), low, high, np.median(cases)))
    mean, low_rounded, high_rounded, median = rounded
    return Figure(cases=len(cases), mean=mean, low=low_rounded, high=high_rounded, median=median)
