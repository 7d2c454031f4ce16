"""Batches of examples, each of which follows from the seed and its number alone. Knows no network."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from training.augment import Example, draw, lung_centre, tumour_centre
from training.datasets import Stack

Batch = tuple[Tensor, Tensor, Tensor]
"""image (n, slices, row, column), target and known (n, 1, row, column)."""

CENTRES: dict[str, Callable[[Stack, int, np.random.Generator], tuple[float, float]]] = {
    "tumour": tumour_centre,
    "lung": lung_centre,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Some examples of each batch: of which source, drawn around what, on slices with or without tumour (None: any)."""

    source: str
    centre: Literal["tumour", "lung"]
    tumour: bool | None
    count: int


Recipe = tuple[Share, ...]

NODULES: Recipe = (
    Share(source="lidc", centre="tumour", tumour=True, count=14),
    Share(source="lidc", centre="lung", tumour=None, count=3),
    Share(source="lidc-cube", centre="tumour", tumour=True, count=3),
    Share(source="phantom", centre="tumour", tumour=True, count=2),
    Share(source="phantom", centre="lung", tumour=None, count=2),
)
"""Without any patient of MSD: what all folds of its cross-validation may begin with."""

TUMOURS: Recipe = (
    Share(source="msd", centre="tumour", tumour=True, count=6),
    Share(source="msd", centre="lung", tumour=None, count=2),
    Share(source="msd", centre="lung", tumour=False, count=4),
    Share(source="lidc", centre="tumour", tumour=True, count=4),
    Share(source="lidc-cube", centre="tumour", tumour=True, count=1),
    Share(source="phantom", centre="tumour", tumour=True, count=1),
    Share(source="phantom", centre="lung", tumour=None, count=1),
)

CHESTS: Recipe = (
    Share(source="msd", centre="tumour", tumour=True, count=4),
    Share(source="msd", centre="lung", tumour=None, count=2),
    Share(source="msd", centre="lung", tumour=False, count=3),
    Share(source="lidc", centre="tumour", tumour=True, count=4),
    Share(source="lidc-cube", centre="tumour", tumour=True, count=1),
    Share(source="synthetic", centre="tumour", tumour=True, count=3),
    Share(source="synthetic", centre="lung", tumour=None, count=2),
)
"""Lesions put into whole slices besides, of every size and on the wall."""

RECIPES = {"nodules": NODULES, "tumours": TUMOURS, "chests": CHESTS}


class Batches(Dataset[Batch]):
    """The batches of a run by number, drawn from the stacks as the recipe says, of the sources that there are."""

    def __init__(self, stacks: list[Stack], recipe: Recipe, crop: int, seed: tuple[int, ...]) -> None:
        self.by_patient: dict[str, dict[str, list[Stack]]] = defaultdict(lambda: defaultdict(list))
        for stack in stacks:
            self.by_patient[stack.source][stack.patient].append(stack)
        self.by_patient = {source: dict(patients) for source, patients in self.by_patient.items()}
        self.recipe = [share for share in recipe if share.source in self.by_patient]
        self.crop, self.seed = crop, seed

    def __getitem__(self, number: int) -> Batch:
        rng = np.random.default_rng([*self.seed, number])
        drawn = [self._example(share, rng) for share in self.recipe for _ in range(share.count)]
        return (
            torch.from_numpy(np.stack([example.image for example in drawn])),
            torch.from_numpy(np.stack([example.target for example in drawn]))[:, None],
            torch.from_numpy(np.stack([example.known for example in drawn]))[:, None],
        )

    def _example(self, share: Share, rng: np.random.Generator) -> Example:
        patients = self.by_patient[share.source]
        while True:
            stacks = patients[list(patients)[int(rng.integers(len(patients)))]]
            slices = [
                (stack, k)
                for stack in stacks
                for k in range(len(stack.hu))
                if share.tumour is None or bool(stack.mask[k].any()) is share.tumour
            ]
            if slices:
                stack, index = slices[int(rng.integers(len(slices)))]
                return draw(stack, index, CENTRES[share.centre](stack, index, rng), self.crop, rng)
