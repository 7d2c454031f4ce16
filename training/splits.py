"""Who is trained on, who chooses thresholds, who is only judged: by patient, in a committed file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

PARTS = ("train", "validation", "test")
Split = dict[str, list[str]]


def split_patients(patients: Iterable[str], validation: int, test: int, seed: str) -> Split:
    """Return the patients in an order drawn by SHA-256, cut into test, validation and train."""
    drawn = sorted(set(patients), key=lambda patient: hashlib.sha256(f"{seed}/{patient}".encode()).hexdigest())
    return {
        "test": sorted(drawn[:test]),
        "validation": sorted(drawn[test : test + validation]),
        "train": sorted(drawn[test + validation :]),
    }


def write_splits(path: Path, splits: dict[str, Split]) -> None:
    """Write the splits, one per collection, as JSON."""
    path.write_text(json.dumps(splits, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def read_splits(path: Path) -> dict[str, Split]:
    """Read the splits. Raises ValueError when a patient stands in two parts of one collection."""
    splits: dict[str, Split] = json.loads(path.read_text(encoding="utf-8"))
    for collection, split in splits.items():
        everyone = [patient for part in PARTS for patient in split[part]]
        if len(everyone) != len(set(everyone)):
            raise ValueError(f"{path.name}: a patient of {collection} stands in two parts")
    return splits
