"""The lung tumour networks as a Segmenter: CT volume in, tumour mask on the same grid out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.devices import failures_told_apart
from models.engines.engine import Engine, build_engines
from models.lung_tumour.candidates import CandidateNetwork
from models.lung_tumour.cascade import Rule
from models.lung_tumour.ensemble import Ensemble
from models.lung_tumour.kinds import CANDIDATE_NETWORK, CANDIDATE_PIXELS, CANDIDATE_SIDE, SIDES, kinds_of
from models.lung_tumour.predictors import CascadePredictor, SlicePredictor
from models.lung_tumour.scoring import outlined
from models.lung_tumour.slice_stack import Bools, Spacing
from models.lung_tumour.stored_networks import trained_networks
from models.lungs.field import lung_field
from models.orientation import orientation_of
from models.segmenter import InferenceSettings, ModelCard, Progress, require_networks
from models.volume import Mask, Volume

MARGIN_MM = 24.0
"""Margin around the lungs' box in which tumour is marked, for tumours of the wall and the mediastinum."""
TOUCH_MM = 5.0
"""A candidate farther than this from any aerated lung is not a lung tumour."""

Array = NDArray[np.float32]
Box = tuple[slice, slice, slice]
Probability = Callable[[Array, tuple[float, float, float], Progress, Bools | None], Array]


class LungTumourSegmenter:
    """Runs the ensemble of the card's networks over the slices with lung."""

    def __init__(self, card: ModelCard, weights: Path, settings: InferenceSettings) -> None:
        require_networks(card, settings.ensemble_size)
        engines = build_engines(trained_networks(card, weights, settings.ensemble_size), settings)
        self.ensemble = Ensemble(engines, flip_tta=settings.flip_tta)
        finds = settings.cascade and (card.candidate_file or len(self.ensemble.members) > 1)
        network = _candidate_network(card, weights, settings, engines[0]) if finds else None
        self._predictor = _predictor(card, self.ensemble, network)
        self._card = replace(card, engine=self.ensemble.description)

    @property
    def card(self) -> ModelCard:
        """The model's card, with its engine."""
        return self._card

    def segment(self, volume: Volume, progress: Progress) -> Mask:
        """Return the mask of all tumours, on the volume's grid. Raises ModelError if the device is lost."""
        orientation = orientation_of(volume.affine)
        hu, spacing = orientation.upright(volume.hu), orientation.spacing(volume.spacing)
        field = lung_field(hu, spacing)
        with failures_told_apart(f"model {self._card.name}, {self._card.engine}"):
            box, probability = around_lungs(self.probability, hu, spacing, field, progress)
        inside = outlined(probability, self._card.threshold, self._card.peak_threshold, volume.voxel_ml)
        voxels = np.zeros(hu.shape, bool)
        voxels[box] = _touching(inside, field[box], spacing)
        return Mask(voxels=orientation.stored(voxels), affine=volume.affine)

    def probability(
        self,
        hu: NDArray[np.float32],
        spacing: tuple[float, float, float],
        progress: Progress,
        field: Bools | None = None,
    ) -> NDArray[np.float32]:
        """Return each voxel's probability of tumour.

        hu: (slice, row, column), upright (`models.orientation`). spacing: mm along these axes. field: the lungs on the
        same grid; farther than TOUCH_MM from them the probability may be 0. None: it is needed everywhere.
        """
        return self._predictor.probability(hu, spacing, progress, field)


class Predictor(Protocol):
    """Computes the probability of tumour of each voxel."""

    def probability(self, hu: Array, spacing: Spacing, progress: Progress, field: Bools | None) -> Array:
        """Return the probability (slice, row, column) of each voxel of `hu`, in HU; far from `field` it may be 0."""
        ...


def _candidate_network(card: ModelCard, weights: Path, settings: InferenceSettings, first: Engine) -> CandidateNetwork:
    """Return the card's candidate network; `first`, an engine of the ensemble, if it has none."""
    if not card.candidate_file:
        return CandidateNetwork(engine=first)
    own = replace(card, weights_sha256=card.candidate_sha256, network=CANDIDATE_NETWORK, networks=1)
    (engine,) = build_engines(trained_networks(own, weights.with_name(card.candidate_file)), settings)
    return CandidateNetwork(engine=engine, pixels=CANDIDATE_PIXELS, least_side=CANDIDATE_SIDE)


def _predictor(card: ModelCard, ensemble: Ensemble, network: CandidateNetwork | None) -> Predictor:
    multiple = max(SIDES[kind] for kind in kinds_of(card.network, card.networks))
    if card.network == "3d":
        from models.lung_tumour.block_predictor import BlockPredictor  # imports MONAI, which takes seconds

        return BlockPredictor(ensemble, multiple)
    if network is not None:
        rule = Rule(outline_logit=_logit(card.threshold), score_logit=_logit(card.peak_threshold))
        return CascadePredictor(network, ensemble, multiple, rule)
    return SlicePredictor(ensemble, multiple)


def _logit(probability: float) -> float:
    return float(np.log(probability / (1 - probability))) if probability > 0 else -np.inf


def around_lungs(
    probability: Probability,
    hu: Array,
    spacing: tuple[float, float, float],
    field: NDArray[np.bool_],
    progress: Progress,
) -> tuple[Box, Array]:
    """Return the box of the lungs with MARGIN_MM around, and the probability (slice, row, column) in it.

    The networks see whole slices: if these were cropped within the body wall, tumours there would get lower
    probabilities.
    """
    box = _box_around(field, spacing)
    slices, rows, columns = box
    return box, probability(hu[slices], spacing, progress, field[slices] if field.any() else None)[:, rows, columns]


def _box_around(field: NDArray[np.bool_], spacing: tuple[float, float, float]) -> Box:
    """Return the box of the lungs with MARGIN_MM around; everything if there is no lung."""
    if not field.any():
        return (slice(None), slice(None), slice(None))
    bounds = []
    for axis, size in enumerate(spacing):
        others = tuple(other for other in range(3) if other != axis)
        occupied = np.flatnonzero(field.any(others))
        margin = round(MARGIN_MM / size)
        bounds.append(slice(max(0, int(occupied[0]) - margin), int(occupied[-1]) + margin + 1))
    return (bounds[0], bounds[1], bounds[2])


def _touching(
    candidates: NDArray[np.bool_], field: NDArray[np.bool_], spacing: tuple[float, float, float]
) -> NDArray[np.bool_]:
    """Return the connected components within TOUCH_MM of the lungs; all if there is no lung."""
    if not field.any() or not candidates.any():
        return candidates
    labels, _ = ndimage.label(candidates, np.ones((3, 3, 3)))
    boxes = ndimage.find_objects(labels)
    kept = candidates.copy()
    reach = [int(np.ceil(TOUCH_MM / size)) for size in spacing]
    for number, where in enumerate(boxes, start=1):
        around = tuple(slice(max(0, s.start - r), s.stop + r) for s, r in zip(where, reach, strict=True))
        if not _is_near(labels[around] == number, field[around], spacing):
            kept[where] &= labels[where] != number
    return kept


def _is_near(candidate: NDArray[np.bool_], field: NDArray[np.bool_], spacing: tuple[float, float, float]) -> bool:
    if not field.any():
        return False
    distance = np.asarray(ndimage.distance_transform_edt(~field, sampling=spacing))
    return bool((distance[candidate] <= TOUCH_MM).any())
