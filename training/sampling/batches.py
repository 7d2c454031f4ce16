"""Batches of examples; each batch is determined by the seed and its number."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from training.data.datasets import Stack
from training.readers.case import DataRefused
from training.sampling.augment import Example, body_centre, draw, lung_centre, middle, tumour_centre
from training.sampling.blocks import draw_block

Batch = tuple[Tensor, Tensor, Tensor]
"""image (n, slices, row, column), target and known (n, 1, row, column); for blocks all (n, 1, slice, row, column)."""
Marked = tuple[Stack, NDArray[np.bool_]]
"""A stack and which of its slices have a tumour: stored, since whole scans are not kept in memory."""

CENTRES: dict[str, Callable[[Stack, int, np.random.Generator], tuple[float, float]]] = {
    "tumour": tumour_centre,
    "lung": lung_centre,
    "body": body_centre,
    "middle": middle,
}
WHOLE_CROP = 352
"""Side of an example that shows a whole slice, in pixels of the network: most chests are narrower."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Part of each batch: source, centre, slices with or without tumour (None: any), and number of examples."""

    source: str
    centre: Literal["tumour", "lung", "body", "middle"]
    tumour: bool | None
    count: int


Recipe = tuple[Share, ...]

NODULES: Recipe = (
    Share(source="lidc", centre="tumour", tumour=True, count=12),
    Share(source="lidc", centre="lung", tumour=None, count=2),
    Share(source="lidc-cube", centre="tumour", tumour=True, count=2),
    Share(source="phantom", centre="tumour", tumour=True, count=1),
    Share(source="phantom", centre="lung", tumour=None, count=1),
)
"""Without MSD patients, so that all folds of MSD's cross-validation may start from it."""

TUMOURS: Recipe = (
    Share(source="msd", centre="tumour", tumour=True, count=8),
    Share(source="msd", centre="lung", tumour=None, count=2),
    Share(source="msd", centre="body", tumour=None, count=2),
    Share(source="msd", centre="lung", tumour=False, count=2),
    Share(source="msd", centre="body", tumour=False, count=3),
    Share(source="lidc", centre="tumour", tumour=True, count=6),
    Share(source="lidc-cube", centre="tumour", tumour=True, count=1),
    Share(source="phantom", centre="tumour", tumour=True, count=1),
    Share(source="phantom", centre="lung", tumour=None, count=2),
)

INSERTED: Recipe = (
    Share(source="msd", centre="tumour", tumour=True, count=7),
    Share(source="msd", centre="lung", tumour=None, count=1),
    Share(source="msd", centre="body", tumour=None, count=2),
    Share(source="msd", centre="lung", tumour=False, count=2),
    Share(source="msd", centre="body", tumour=False, count=3),
    Share(source="lidc", centre="tumour", tumour=True, count=5),
    Share(source="lidc-cube", centre="tumour", tumour=True, count=1),
    Share(source="synthetic", centre="tumour", tumour=True, count=5),
    Share(source="synthetic", centre="lung", tumour=None, count=1),
)
"""With inserted lesions of every size and position, in whole slices (`train --extra-data`)."""

RECIPES = {"nodules": NODULES, "tumours": TUMOURS, "inserted": INSERTED}
OWN = "own"
"""The recipe for any other data: `recipe_for`."""


def recipe_for(stacks: Sequence[Stack], network: str = "2.5d") -> Recipe:
    """Return a recipe for any data: equal shares of all sources, two of three examples around a tumour.

    Raises DataRefused if no stack has a tumour. A batch of blocks has a quarter as many examples; generated chests
    always have few.
    """
    shares = []
    for source in dict.fromkeys(stack.source for stack in stacks):
        times = 4 if network != "3d" and source != "phantom" else 1
        own = [stack.marked_slices() for stack in stacks if stack.source == source]
        if any(marked.any() for marked in own):
            shares.append(Share(source=source, centre="tumour", tumour=True, count=2 * times))
        shares.append(Share(source=source, centre="lung", tumour=None, count=times))
    if not any(share.tumour for share in shares):
        raise DataRefused("no stack of the training part has a tumour: training is not possible")
    return tuple(shares)


def whole_slices(stacks: Sequence[Stack], count: int) -> Recipe:
    """Return a recipe of `count` whole slices of each source of whole scans: two of three with tumour, some without.

    Crops show little of the rest of the body; in a whole slice every false positive counts. Generated chests are not
    used: they contain little that resembles a tumour. Raises DataRefused if no whole scan has a tumour.
    """
    shares: list[Share] = []
    for source in dict.fromkeys(stack.source for stack in stacks if stack.whole and stack.source != "phantom"):
        marked = np.concatenate([stack.marked_slices() for stack in stacks if stack.source == source])
        tumour = count - count // 3 if marked.any() else 0
        free = count // 6 if not marked.all() else 0
        kinds = {True: tumour, None: count - tumour - free, False: free}
        shares += [
            Share(source=source, centre="middle", tumour=kind, count=number) for kind, number in kinds.items() if number
        ]
    if not any(share.tumour for share in shares):
        raise DataRefused("no whole scan of the training part has a tumour: training on whole slices is not possible")
    return tuple(shares)


class Batches(Dataset[Batch]):
    """The batches of a run by number, drawn from the stacks by a recipe; sources without data are left out.

    whole: recipe of every other batch, of whole slices of WHOLE_CROP pixels.
    """

    def __init__(
        self,
        stacks: list[Stack],
        recipe: Recipe,
        crop: int,
        seed: tuple[int, ...],
        network: str = "2.5d",
        whole: Recipe = (),
    ) -> None:
        self.by_patient: dict[str, dict[str, list[Marked]]] = defaultdict(lambda: defaultdict(list))
        for stack in stacks:
            self.by_patient[stack.source][stack.patient].append((stack, stack.marked_slices()))
        self.by_patient = {source: dict(patients) for source, patients in self.by_patient.items()}
        self._alternating = [(self._of_sources(recipe), crop)]
        if whole:
            self._alternating.append((self._of_sources(whole), WHOLE_CROP))
        self._slices: dict[tuple[str, str, bool | None], list[tuple[Stack, int]]] = {}
        self.seed = seed
        self.draw = draw_block if network == "3d" else draw

    def __getitem__(self, number: int) -> Batch:
        rng = np.random.default_rng([*self.seed, number])
        recipe, crop = self._alternating[number % len(self._alternating)]
        drawn = [self._example(share, crop, rng) for share in recipe for _ in range(share.count)]
        return (
            torch.from_numpy(np.stack([example.image for example in drawn])),
            torch.from_numpy(np.stack([example.target for example in drawn]))[:, None],
            torch.from_numpy(np.stack([example.known for example in drawn]))[:, None],
        )

    def _of_sources(self, recipe: Recipe) -> list[Share]:
        return [share for share in recipe if share.source in self.by_patient]

    def _example(self, share: Share, crop: int, rng: np.random.Generator) -> Example:
        patients = list(self.by_patient[share.source])
        while True:
            slices = self._slices_of(share, patients[int(rng.integers(len(patients)))])
            if slices:
                stack, index = slices[int(rng.integers(len(slices)))]
                return self.draw(stack, index, CENTRES[share.centre](stack, index, rng), crop, rng)

    def _slices_of(self, share: Share, patient: str) -> list[tuple[Stack, int]]:
        key = (share.source, patient, share.tumour)
        if key not in self._slices:
            self._slices[key] = [
                (stack, k)
                for stack, marked in self.by_patient[share.source][patient]
                for k in range(len(stack.hu))
                if share.tumour is None or bool(marked[k]) is share.tumour
            ]
        return self._slices[key]
