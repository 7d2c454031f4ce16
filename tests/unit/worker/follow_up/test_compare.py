"""Comparison of scans with cubes of 1 mm voxels in one frame of reference; without lungs, no registration."""

from __future__ import annotations

import numpy as np
import pytest

from dicom_node.prior import PriorSearch
from models.volume import Mask, Volume
from tests.fixtures.ct_image import single_frame
from tests.fixtures.models.model_card import CARD
from tests.fixtures.worker.make_courses import START, day
from tests.fixtures.worker.make_priors import absent, present, prior
from tests.fixtures.worker.measured import measured
from worker.findings import Findings
from worker.follow_up.acquisition import Acquisition
from worker.follow_up.compare import compare, with_known_identities
from worker.follow_up.comparison import Comparison, ComparisonStatus, LesionTimeline
from worker.follow_up.matching import Event
from worker.follow_up.prior import CollectedPriors, Prior
from worker.lesions.lesion import find_lesions
from worker.recist.response import Response
from worker.recist.timepoints import State
from worker.staging.extent import extent_of

FRAME = "2.25.9"
JOB_KEY = "0" * 64
Cube = tuple[tuple[int, int, int], int]
"""Corner (x, y, z) and side, in mm."""


def scan(*cubes: Cube, frame_uid: str = FRAME) -> Findings:
    """A scan of 160 mm per side whose lesions are these cubes."""
    affine = np.zeros((4, 4))
    affine[2, 0] = affine[1, 1] = affine[0, 2] = affine[3, 3] = 1
    volume = Volume(hu=np.full((160, 160, 160), -850, np.float32), affine=affine)
    mask = np.zeros(volume.hu.shape, bool)
    for (x, y, z), side in cubes:
        mask[z : z + side, y : y + side, x : x + side] = True
        volume.hu[z : z + side, y : y + side, x : x + side] = 40
    lesions = find_lesions(Mask(voxels=mask, affine=affine), CARD, JOB_KEY)
    found = tuple(measured(lesion, volume) for lesion in lesions)
    return Findings(
        job_key=JOB_KEY, study_uid="2.25.1", series_uid="2.25.2", frame_of_reference_uid=frame_uid,
        frames=tuple(single_frame(f"2.25.3.{n}") for n in range(160)), volume=volume, card=CARD,
        findings=found, lungs=None, extent=extent_of(found, None),
    )  # fmt: skip


def acquired_on(days: int) -> Acquisition:
    return Acquisition(date=day(days), kernel="B30f", has_contrast=False)


def compared(findings: Findings, days: int, *priors: Prior) -> Comparison:
    return compare(findings, acquired_on(days), CollectedPriors(search=PriorSearch.FOUND, priors=priors))


def by_uid(comparison: Comparison) -> dict[str, LesionTimeline]:
    return {timeline.tracking_uid: timeline for timeline in comparison.lesions}


def test_a_cube_whose_volume_doubled_in_100_days_doubles_in_100_days() -> None:
    """A cube of 10 mm is 1 ml; 10 x 10 x 20 mm, two cubes side by side, are 2 ml."""
    comparison = compared(scan(((50, 50, 50), 10), ((60, 50, 50), 10)), 100, prior(0, present("a", (50, 50, 50))))
    (timeline,) = comparison.lesions

    assert (timeline.tracking_uid, timeline.event) == ("a", Event.SAME)
    assert timeline.change is not None
    assert timeline.change.volume_ml.percent == pytest.approx(100.0)
    assert timeline.change.growth is not None
    assert timeline.change.growth.doubling_time.days == pytest.approx(100.0, abs=0.01)


def test_a_known_lesion_keeps_its_number_and_a_larger_new_one_gets_the_next() -> None:
    findings = scan(((50, 50, 50), 10), ((100, 100, 100), 12))
    comparison = compare(
        findings,
        acquired_on(90),
        CollectedPriors(search=PriorSearch.FOUND, priors=(prior(0, present("a", (50, 50, 50), name="lesion-7")),)),
    )

    largest, smaller = (finding.lesion for finding in with_known_identities(findings, comparison).findings)
    assert (smaller.tracking_uid, smaller.tracking_id, smaller.number) == ("a", "lesion-7", 7)
    assert (largest.tracking_id, largest.number) == ("lesion-8", 8)
    assert largest.tracking_uid not in ("a", "")


def test_a_new_lesion_is_progression_and_a_vanished_one_is_listed() -> None:
    comparison = compared(
        scan(((50, 50, 50), 12), ((100, 100, 100), 12)),
        90,
        prior(0, present("a", (50, 50, 50), 12), present("b", (120, 20, 20), 11)),
    )
    timelines = by_uid(comparison)

    assert timelines["a"].event is Event.SAME
    assert (timelines["b"].event, timelines["b"].now.state) == (Event.VANISHED, State.VANISHED)
    assert [timeline.event for timeline in comparison.lesions].count(Event.NEW) == 1
    assert comparison.recist is not None
    (assessment,) = comparison.recist.assessments
    assert assessment.response is Response.PD
    assert len(assessment.new_lesions) == 1


def test_a_vanished_lesion_seen_again_at_its_position_has_returned() -> None:
    comparison = compared(
        scan(((50, 50, 50), 10)),
        180,
        prior(0, present("a", (50, 50, 50))),
        prior(90, absent("a", State.VANISHED)),
    )
    (timeline,) = comparison.lesions

    assert (timeline.tracking_uid, timeline.event) == ("a", Event.RETURNED)
    assert [observation.state for observation in timeline.observations] == [
        State.PRESENT,
        State.VANISHED,
        State.PRESENT,
    ]
    assert timeline.change is not None
    assert timeline.change.interval_days == 180


def test_merged_lesions_are_one_lesion_without_a_change() -> None:
    """Two cubes with 6 mm between them, and one bar that contains both."""
    bar: list[Cube] = [((40 + 10 * n, 50, 50), 10) for n in range(4)]
    before = prior(0, present("a", (40, 50, 50), 16), present("b", (62, 50, 50), 14))
    timelines = by_uid(compared(scan(*bar), 90, before))

    assert timelines["a"].event is Event.MERGED
    assert timelines["a"].change is None
    assert (timelines["b"].now.state, timelines["b"].merged_into) == (State.MERGED, "a")


def test_a_split_lesion_is_continued_by_its_largest_part() -> None:
    timelines = by_uid(
        compared(scan(((50, 50, 50), 14), ((67, 50, 50), 8)), 90, prior(0, present("a", (50, 50, 50), 24)))
    )
    (part,) = (timeline for uid, timeline in timelines.items() if uid != "a")

    assert timelines["a"].event is Event.SPLIT
    assert (part.event, part.split_from) == (Event.SPLIT, "a")


def test_a_doubtful_match_is_not_progression() -> None:
    """Two equal cubes, 12 mm to either side of the position of the known one."""
    comparison = compared(
        scan(((50, 50, 50), 10), ((74, 50, 50), 10)),
        90,
        prior(0, present("a", (62, 50, 50)), present("b", (20, 120, 20))),
    )
    doubtful = [timeline for timeline in comparison.lesions if timeline.possible_match]

    assert [(timeline.possible_match, timeline.now.state) for timeline in doubtful] == [("a", State.DOUBTFUL)]
    assert by_uid(comparison)["a"].now.state is State.NOT_EVALUABLE


def test_another_frame_of_reference_without_lungs_cannot_be_compared() -> None:
    comparison = compared(scan(((50, 50, 50), 10), frame_uid="2.25.8"), 90, prior(0, present("a", (50, 50, 50))))

    assert comparison.statement is ComparisonStatus.NOT_COMPARABLE
    assert comparison.reason
    assert comparison.recist is None


@pytest.mark.parametrize(
    ("search", "statement"),
    [
        (PriorSearch.NONE_EXISTS, ComparisonStatus.NO_PRIOR),
        (PriorSearch.NOT_FETCHED, ComparisonStatus.NOT_FETCHED),
        (PriorSearch.NOT_QUERIED, ComparisonStatus.NOT_QUERIED),
        (PriorSearch.FOUND, ComparisonStatus.NOT_COMPARABLE),
    ],
)
def test_without_a_prior_the_statement_gives_the_reason(search: PriorSearch, statement: ComparisonStatus) -> None:
    findings = scan(((50, 50, 50), 10))

    comparison = compare(findings, acquired_on(0), CollectedPriors(search=search, reason="2 of 3"))

    assert (comparison.statement, comparison.reason) == (statement, "2 of 3")
    assert with_known_identities(findings, comparison) == findings


def test_a_scan_without_a_date_cannot_be_compared() -> None:
    undated = Acquisition(date=None, kernel=None, has_contrast=None)
    comparison = compare(scan(), undated, CollectedPriors(search=PriorSearch.FOUND, priors=(prior(0),)))

    assert comparison.statement is ComparisonStatus.NOT_COMPARABLE


def test_scans_are_sorted_by_date_with_the_current_one_last() -> None:
    comparison = compared(scan(), 200, prior(90), prior(0))

    assert [each.date for each in comparison.scans] == [START, day(90), day(200)]
