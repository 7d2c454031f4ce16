"""The folds of a data set, and the predictions of a fold's network for the patients that it held back."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from models.lung_tumour.segmenter import LungTumourSegmenter
from models.segmenter import ModelCard
from training.data.splits import FOLD, Split, collection_of, folds_of, read_splits
from training.data.volume import Stack
from training.evaluation.evaluate import collections_of
from training.evaluation.predict import Cases, Predicted, label_cases, predict
from training.readers.case import DataRefused


@dataclass(frozen=True, kw_only=True)
class Fold:
    """Predictions of one network: for the patients that its training held back, and for the validation part."""

    card: ModelCard
    held_back: list[Predicted]
    validation: list[Predicted]

    @cached_property
    def labelled_held_back(self) -> Cases:
        """The components of the held-back patients."""
        return label_cases(self.held_back)

    @cached_property
    def labelled_validation(self) -> Cases:
        """The components of the validation part."""
        return label_cases(self.validation)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldedData:
    """All stacks of a data set, and the split with folds. file: that of the split."""

    stacks: Sequence[Stack]
    file: Path
    splits: Mapping[str, Split]

    @property
    def count(self) -> int:
        """Number of folds."""
        return max((len(folds_of(split)) for split in self.splits.values()), default=0)

    def split_facts(self) -> dict[str, str]:
        """Return name and SHA-256 of the split's file."""
        return {"file": self.file.name, "sha256": hashlib.sha256(self.file.read_bytes()).hexdigest()}

    def part(self, name: str) -> list[Stack]:
        """Return the stacks of the patients in this part of their collection's split."""
        return [one for one in self.stacks if one.patient in self.splits[collection_of(one.source)].get(name, ())]


def folded_data(data: Path, committed: Path) -> FoldedData:
    """Read a data set with folds, as `training.evaluation.evaluate` does. Raises DataRefused if it has none."""
    stacks, file = collections_of(data, committed)
    found = FoldedData(stacks=stacks, file=file, splits=read_splits(file))
    if found.count == 0:
        raise DataRefused("no collection of the data has folds")
    return found


def fold_of(model: LungTumourSegmenter, data: FoldedData, number: int) -> Fold:
    """Predict the patients that fold `number` held back, and the validation part."""
    return Fold(
        card=model.card,
        held_back=predict(model, data.part(f"{FOLD}{number}")),
        validation=predict(model, data.part("validation")),
    )
