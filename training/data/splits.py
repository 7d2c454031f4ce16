"""Splits by patient: train, validation, test and the folds of cross-validation, stored as JSON.

    {"msd": {"train": [...], "validation": [...], "test": [...], "fold-0": [...], "fold-1": [...]}, "lidc": {...}}

A fold lists the patients that it holds back. Folds that are drawn here contain all patients except those of `test`.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

PARTS = ("train", "validation", "test")
FOLD = "fold-"
TEST_SHARE, VALIDATION_SHARE = 0.2, 0.1
COLLECTIONS = {"lidc-cube": "lidc"}
"""Sources that share their patients, and so their split, with another source."""
Split = dict[str, list[str]]


def split_patients(patients: Iterable[str], validation: int, test: int, seed: str) -> Split:
    """Return the patients, ordered by SHA-256 of seed and name, cut into test, validation and train."""
    drawn = _drawn(patients, seed)
    return {
        "test": sorted(drawn[:test]),
        "validation": sorted(drawn[test : test + validation]),
        "train": sorted(drawn[test + validation :]),
    }


def draw_splits(patients: Mapping[str, Collection[str]], folds: int) -> dict[str, Split]:
    """Return a split of each collection's patients with `folds` folds, or fewer if there are fewer patients."""
    splits = {}
    for collection, everyone in patients.items():
        test = round(TEST_SHARE * len(everyone))
        validation = max(round(VALIDATION_SHARE * len(everyone)), min(1, test))
        split = split_patients(everyone, validation, test, collection)
        shared_out = _drawn([*split["validation"], *split["train"]], f"{collection} folds")
        for fold in range(min(folds, len(shared_out))):
            split[f"{FOLD}{fold}"] = sorted(shared_out[fold::folds])
        splits[collection] = split
    return splits


def collection_of(source: str) -> str:
    """Return the collection whose split contains a source's patients."""
    return COLLECTIONS.get(source, source)


def folds_of(split: Split) -> list[list[str]]:
    """Return the patients that each fold holds back, in the order of the folds."""
    names = sorted((name for name in split if name.startswith(FOLD)), key=lambda name: int(name.removeprefix(FOLD)))
    return [split[name] for name in names]


def training_patients(split: Split, fold: int | None) -> set[str]:
    """Return the patients to train on: the part train, or all other folds' patients if a fold is held back."""
    folds = folds_of(split)
    if fold is None or not folds:
        return set(split["train"])
    return {patient for number, held in enumerate(folds) if number != fold for patient in held}


def as_text(splits: Mapping[str, Split]) -> str:
    """Return the splits as the text of their file."""
    return json.dumps(splits, indent=1, sort_keys=True) + "\n"


def write_splits(path: Path, splits: dict[str, Split]) -> None:
    """Write the splits, one per collection, as JSON."""
    path.write_text(as_text(splits), encoding="utf-8")


def read_splits(path: Path) -> dict[str, Split]:
    """Read the splits. Raises ValueError if a patient is in two parts of one collection."""
    splits: dict[str, Split] = json.loads(path.read_text(encoding="utf-8"))
    facts = overlaps(splits)
    if facts:
        raise ValueError(f"{path.name}: {facts[0]}")
    return splits


def overlaps(splits: Mapping[str, Split]) -> list[str]:
    """Return one line for each patient in two parts of a collection, in two folds, or in a fold and in test."""
    facts = []
    for collection, split in splits.items():
        parts = Counter(patient for part in PARTS for patient in split[part])
        folds = Counter(patient for fold in folds_of(split) for patient in fold)
        in_both = set(folds) & set(split["test"])
        for fact, patients in (
            ("in two parts", [patient for patient, n in parts.items() if n > 1]),
            ("in two folds", [patient for patient, n in folds.items() if n > 1]),
            ("in test and in a fold", sorted(in_both)),
        ):
            facts += [f"patient {patient} of {collection} is {fact}" for patient in patients]
    return facts


def absent(splits: Mapping[str, Split], patients: Mapping[str, Collection[str]]) -> list[str]:
    """Return one line for each patient of a split that is not in its collection's data."""
    return [
        f"patient {patient} of {collection} is not in the data"
        for collection, split in splits.items()
        for patient in sorted({patient for part in split.values() for patient in part})
        if patient not in patients.get(collection, ())
    ]


def _drawn(patients: Iterable[str], seed: str) -> list[str]:
    return sorted(set(patients), key=lambda patient: hashlib.sha256(f"{seed}/{patient}".encode()).hexdigest())
