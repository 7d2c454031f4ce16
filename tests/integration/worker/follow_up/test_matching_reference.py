"""Matching of real tumour masks against a visual reference, and the scoring against cases counted by hand."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmarks.lesion_matching import KINDS, Pair, Said, Tally, judge, read, reference, run, volume_ml
from tests.fixtures.orthanc_stack import SHARED

MAX_PAIRS = 8
"""Limits the test to a minute; `python -m benchmarks.lesion_matching` evaluates all 45 pairs."""
MIN_SCORE = 0.90

needs_masks = pytest.mark.skipif(
    not (SHARED / "data" / "unpack").is_file(), reason="the shared reference material is not beside the repository"
)


@pytest.fixture(scope="module")
def masks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The unpacked masks; deleted afterwards, since they are half of the data that all tests write."""
    folder = tmp_path_factory.mktemp("data")
    subprocess.run([SHARED / "data" / "unpack", folder, "followup-masks"], check=True, capture_output=True)
    yield folder / "followup-masks"
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def tallies(masks: Path) -> dict[str, Tally]:
    return run(sorted(reference(), key=decided_bodies, reverse=True)[:MAX_PAIRS], masks)[0]


def decided_bodies(pair: Pair) -> int:
    """Return the number of bodies with a decided event in the reference."""
    return sum(len(prior) + len(later) for event, prior, later in pair.said if event != "undecidable")


def test_the_reference_has_an_event_and_a_reason_for_every_body_of_at_least_20_patients() -> None:
    pairs = reference()
    assert len({pair.patient for pair in pairs}) >= 20
    for pair in pairs:
        bodies = [key for _, prior, later in pair.said for key in (*prior, *later)]
        numbered = {"E": len(pair.prior_ml), "L": len(pair.later_ml)}
        assert sorted(bodies) == sorted(f"{side}{n}" for side, count in numbered.items() for n in range(1, count + 1))
        assert all(pair.reasons)


def test_each_event_of_the_reference_has_the_right_number_of_bodies() -> None:
    said = [(event, len(prior), len(later)) for pair in reference() for event, prior, later in pair.said]
    counts = {event: {(a, b) for word, a, b in said if word == event} for event, _, _ in said}
    assert counts["same"] == {(1, 1)}
    assert counts["new"] == {(0, 1)}
    assert counts["vanished"] == {(1, 0)}
    assert all(a > 1 and b == 1 for a, b in counts["merged"])
    assert all(a == 1 and b > 1 for a, b in counts["split"])


HAND_COUNTED = Pair(
    patient="P",
    prior="20200101",
    later="20200601",
    prior_ml=(9.0, 8.0, 7.0, 6.0),
    later_ml=(9.0, 5.0, 4.0, 3.0, 2.0),
    said=(
        ("merged", ["E1", "E2"], ["L1"]),
        ("vanished", ["E3"], []),
        ("undecidable", ["E4"], ["L4"]),
        ("new", [], ["L2"]),
        ("new", [], ["L3"]),
        ("new", [], ["L5"]),
    ),
    reasons=("", "", "", "", "", ""),
)


def counted(*said: Said) -> dict[str, tuple[int, int, int]]:
    tallies = {kind: Tally() for kind in KINDS}
    judge(tallies, HAND_COUNTED, said)
    return {kind: (len(one.right), len(one.missed), len(one.wrong)) for kind, one in tallies.items()}


def test_the_score_of_the_reference_itself_is_perfect() -> None:
    assert counted(*HAND_COUNTED.said) == {"match": (2, 0, 0), "new": (3, 0, 0), "vanished": (1, 0, 0)}


def test_the_score_counts_misses_and_errors_without_undecidable_bodies() -> None:
    found = counted(
        ("same", ["E1"], ["L1"]),  # one of two links of the merging
        ("same", ["E2"], ["L2"]),  # wrong; the other link is missed, and L2 is new
        ("same", ["E4"], ["L5"]),  # E4 is undecidable: no wrong match, but L5 is not said to be new
        ("vanished", ["E3"], []),
        ("new", [], ["L3"]),
        ("new", [], ["L4"]),  # undecidable
    )
    assert found == {"match": (1, 1, 1), "new": (1, 2, 0), "vanished": (1, 0, 0)}


def test_no_answers_have_zero_precision_and_recall() -> None:
    assert (Tally().precision, Tally().recall) == (0.0, 0.0)


@needs_masks
def test_the_bodies_of_the_reference_are_those_of_the_masks(masks: Path) -> None:
    for pair in reference()[::3]:
        for date, expected_ml in ((pair.prior, pair.prior_ml), (pair.later, pair.later_ml)):
            bodies = read(masks / f"{pair.patient}_{date}_0.nii").bodies
            assert [volume_ml(body) for body in bodies] == pytest.approx(expected_ml, abs=0.006), pair.name


@needs_masks
def test_the_small_right_lung_of_one_patient_lies_to_the_right_in_lps(masks: Path) -> None:
    """In this patient's images, the right lung is a fraction of the left one."""
    lungs = read(masks / "PD-1-Lung-00014_20090116_0.nii").lungs
    x = (np.argwhere(lungs.voxels) @ lungs.affine[:3, :3].T + lungs.affine[:3, 3])[:, 0]
    middle = (x.min() + x.max()) / 2
    assert np.count_nonzero(x > middle) > 2 * np.count_nonzero(x < middle)


@needs_masks
@pytest.mark.parametrize("kind", KINDS)
def test_matched_new_and_vanished_bodies_agree_with_the_reference(tallies: dict[str, Tally], kind: str) -> None:
    tally = tallies[kind]
    assert tally.precision >= MIN_SCORE, tally.wrong
    assert tally.recall >= MIN_SCORE, tally.missed
