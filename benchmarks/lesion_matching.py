"""Evaluates the matching of lesions over time from masks alone: python -m benchmarks.lesion_matching --masks FOLDER.

FOLDER holds `PATIENT_YYYYMMDD_k.nii`, lungs 1 and tumour 2: followup-masks, from BAMF AIMI annotations of TCIA
collections. The reference is tests/fixtures/worker/follow_up_reference.json, read by eye before the first run; it also
defines how bodies (connected components) are extracted and numbered. Each pair of scans is processed as in the product:
register the lungs, map the earlier bodies onto the later scan, match. Printed are precision and recall of matches (each
earlier body with each later body that it continues as, merged into or split into), of new bodies and of vanished
bodies, and every missed or wrong one by name: E1 is the first body of the earlier scan, L1 of the later one. Events
with an undecidable body are not evaluated.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import nibabel
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.volume import Mask
from worker.follow_up.matching import LesionPoints, match
from worker.follow_up.scan_match import ERROR_MM, MOST_POINTS
from worker.registration.register import Points, Registration, register

REFERENCE = Path(__file__).parent.parent / "tests" / "fixtures" / "worker" / "follow_up_reference.json"
LUNG, TUMOUR = 1, 2
SMALLEST_ML = 0.2
RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
KINDS = ("match", "new", "vanished")

Said = tuple[str, Sequence[str], Sequence[str]]
"""An event, its earlier bodies, its later bodies."""
Item = tuple[str, ...]
"""A counted item: ("E1", "L2"), a match; ("L3",), a new body; ("E2",), a vanished body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """The masks of one scan: its lungs, and its tumour bodies, largest first."""

    lungs: Mask
    bodies: tuple[Mask, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two scans of a patient, and a reader's reference events. said: the events; reasons: one per event."""

    patient: str
    prior: str
    later: str
    prior_ml: tuple[float, ...]
    later_ml: tuple[float, ...]
    said: tuple[Said, ...]
    reasons: tuple[str, ...]

    @property
    def name(self) -> str:
        """The patient, a public identifier, and the dates of both scans."""
        return f"{self.patient} {self.prior} to {self.later}"


@dataclass(slots=True)
class Tally:
    """True positives (right), false negatives (missed) and false positives (wrong) of one kind of event."""

    right: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def precision(self) -> float:
        """Share of the reported items that are right; 0 if none was reported."""
        return len(self.right) / max(len(self.right) + len(self.wrong), 1)

    @property
    def recall(self) -> float:
        """Share of the true items that were reported; 0 if there are none."""
        return len(self.right) / max(len(self.right) + len(self.missed), 1)


def reference() -> list[Pair]:
    """Return the pairs of the reference, in the order of the file."""
    return [
        Pair(
            patient=pair["patient"],
            prior=pair["earlier"],
            later=pair["later"],
            prior_ml=tuple(pair["earlier_ml"]),
            later_ml=tuple(pair["later_ml"]),
            said=tuple(
                (event["event"], [f"E{n}" for n in event["earlier"]], [f"L{n}" for n in event["later"]])
                for event in pair["events"]
            ),
            reasons=tuple(event["reason"] for event in pair["events"]),
        )
        for pair in json.loads(REFERENCE.read_text(encoding="utf-8"))["pairs"]
    ]


def read(path: Path) -> Scan:
    """Return the masks of a NIfTI file in LPS, axes (slice, row, column); NIfTI is RAS with axes in reverse order."""
    image = nibabel.Nifti1Image.from_filename(path)
    labels = np.asarray(image.dataobj).transpose()
    affine = (RAS_TO_LPS @ np.asarray(image.affine, np.float64))[:, [2, 1, 0, 3]]
    return Scan(lungs=Mask(voxels=labels == LUNG, affine=affine), bodies=tuple(_bodies(labels == TUMOUR, affine)))


def _bodies(tumour: NDArray[np.bool_], affine: NDArray[np.float64]) -> Iterator[Mask]:
    numbers, _ = ndimage.label(tumour, np.ones((3, 3, 3), bool))
    sizes = np.bincount(numbers.ravel())[1:]
    for index in np.argsort(-sizes, kind="stable"):
        body = Mask(voxels=numbers == index + 1, affine=affine)
        if volume_ml(body) >= SMALLEST_ML:
            yield body


def volume_ml(mask: Mask) -> float:
    """Return the volume of the mask in ml."""
    return float(np.count_nonzero(mask.voxels)) * mask.voxel_ml


def follow(prior: Scan, later: Scan) -> tuple[Registration, list[Said]]:
    """Return the registration of two scans, and the events that the product reports."""
    registration = register(prior.lungs, later.lungs)
    before = [_body(f"E{n}", mask, registration.to_later(_points(mask))) for n, mask in enumerate(prior.bodies, 1)]
    after = [_body(f"L{n}", mask, _points(mask)) for n, mask in enumerate(later.bodies, 1)]
    matches = match(before, after, ERROR_MM[registration.method])
    return registration, [(one.event.value, one.prior, one.later) for one in matches]


def _body(key: str, mask: Mask, points_mm: Points) -> LesionPoints:
    return LesionPoints(key=key, points_mm=points_mm, volume_ml=volume_ml(mask))


def _points(mask: Mask) -> Points:
    voxels = np.argwhere(mask.voxels)
    voxels = voxels[:: -(-len(voxels) // MOST_POINTS)]
    return np.asarray(voxels @ mask.affine[:3, :3].T + mask.affine[:3, 3], np.float64)


def items(said: Iterable[Said]) -> dict[str, set[Item]]:
    """Return the counted items by kind; undecidable events are left out."""
    found: dict[str, set[Item]] = {kind: set() for kind in KINDS}
    for event, prior, later in said:
        if event in KINDS:
            found[event] |= {(key,) for key in (*prior, *later)}
        elif event != "undecidable":
            found["match"] |= set(product(prior, later))
    return found


def judge(tallies: dict[str, Tally], pair: Pair, said: Iterable[Said]) -> None:
    """Add the reported events of a pair to the tallies, compared with the reference."""
    undecidable = {key for event, *sides in pair.said if event == "undecidable" for side in sides for key in side}
    truth, found = items(pair.said), items(said)
    for kind in KINDS:
        judged = {item for item in truth[kind] | found[kind] if not undecidable & set(item)}
        for item in sorted(judged):
            is_true, is_reported = item in truth[kind], item in found[kind]
            tally = tallies[kind]
            (tally.right if is_true and is_reported else tally.missed if is_true else tally.wrong).append(
                _named(pair, item)
            )


def _named(pair: Pair, item: Item) -> str:
    sizes = {"E": pair.prior_ml, "L": pair.later_ml}
    bodies = [f"{key} ({sizes[key[0]][int(key[1:]) - 1]:g} ml)" for key in item]
    reasons = [
        f"{event}, {reason}"
        for (event, prior, later), reason in zip(pair.said, pair.reasons, strict=True)
        if set(item) & {*prior, *later}
    ]
    return f"{pair.name}: {' and '.join(bodies)}. By eye: {'; '.join(reasons)}"


def run(pairs: Sequence[Pair], masks: Path) -> tuple[dict[str, Tally], list[Registration]]:
    """Match the bodies of each pair, and return the tallies by kind and the registrations."""
    tallies = {kind: Tally() for kind in KINDS}
    registrations = []
    for pair in pairs:
        prior, later = (read(masks / f"{pair.patient}_{date}_0.nii") for date in (pair.prior, pair.later))
        registration, said = follow(prior, later)
        registrations.append(registration)
        judge(tallies, pair, said)
    return tallies, registrations


def main() -> None:
    """Print precision and recall, and every difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--masks", type=Path, required=True)
    pairs = reference()
    tallies, registrations = run(pairs, parser.parse_args().masks)
    print(f"{len(pairs)} pairs of scans, {len({pair.patient for pair in pairs})} patients")
    for method, count in Counter(registration.method for registration in registrations).items():
        print(f"registered, {method}: {count}")
    for kind, tally in tallies.items():
        truth, reported = len(tally.right) + len(tally.missed), len(tally.right) + len(tally.wrong)
        print(f"{kind}: precision {tally.precision:.3f} of {reported} reported, recall {tally.recall:.3f} of {truth}")
        for line in (*(f"  missed: {name}" for name in tally.missed), *(f"  wrong: {name}" for name in tally.wrong)):
            print(line)


if __name__ == "__main__":
    main()
