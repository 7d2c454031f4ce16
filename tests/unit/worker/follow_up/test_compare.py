"""Cubes of voxels of 1 mm in one frame of reference, without lungs: nothing is registered, all is known on paper."""

from __future__ import annotations

import numpy as np
import pytest

from dicom_node.prior import PriorSearch
from models.segmenter import ModelCard
from models.volume import Mask, Volume
from tests.fixtures.worker.make_courses import START, day
from tests.fixtures.worker.make_priors import absent, present, prior
from worker.ct.acquisition import Acquisition
from worker.findings import Finding, Findings
from worker.follow_up.compare import follow_up
from worker.follow_up.comparison import Comparison, LesionTimeline, Statement
from worker.follow_up.matching import Event
from worker.lesions.lesion import find_lesions
from worker.lesions.measure import measure
from worker.priors.collect import CollectedPriors
from worker.priors.read import Prior
from worker.recist.response import Response
from worker.recist.timepoints import State

CARD = ModelCard(
    name="hand", version="1", weights_file="w", weights_sha256="0" * 64, licence="none", threshold=0.5,
    peak_threshold=0.5, smallest_lesion_ml=0.1,
)  # fmt: skip
FRAME = "2.25.9"
KEY = "0" * 64
Cube = tuple[tuple[int, int, int], int]
"""Corner (x, y, z) and side, in mm."""


def scan(*cubes: Cube, frame_uid: str = FRAME) -> Findings:
    """A scan of 160 mm a side whose lesions are these cubes."""
    affine = np.zeros((4, 4))
    affine[2, 0] = affine[1, 1] = affine[0, 2] = affine[3, 3] = 1
    volume = Volume(hu=np.full((160, 160, 160), -850, np.float32), affine=affine)
    mask = np.zeros(volume.hu.shape, bool)
    for (x, y, z), side in cubes:
        mask[z : z + side, y : y + side, x : x + side] = True
        volume.hu[z : z + side, y : y + side, x : x + side] = 40
    lesions = find_lesions(Mask(voxels=mask, affine=affine), CARD, KEY)
    return Findings(
        job_key=KEY, study_uid="2.25.1", series_uid="2.25.2", frame_of_reference_uid=frame_uid,
        sop_instance_uids=tuple(f"2.25.3.{n}" for n in range(160)), volume=volume, card=CARD,
        findings=tuple(Finding(lesion=lesion, measurement=measure(lesion, volume)) for lesion in lesions),
    )  # fmt: skip


def made_on(days: int) -> Acquisition:
    return Acquisition(date=day(days), kernel="B30f", has_contrast=False)


def compared(findings: Findings, days: int, *priors: Prior) -> Comparison:
    followed = follow_up(findings, made_on(days), CollectedPriors(search=PriorSearch.FOUND, priors=priors))
    assert followed.comparison is not None
    return followed.comparison


def by_uid(comparison: Comparison) -> dict[str, LesionTimeline]:
    return {course.tracking_uid: course for course in comparison.lesions}


def test_a_cube_whose_volume_doubled_in_100_days_doubles_in_100_days() -> None:
    """10 mm a side are 1 ml; 2 ml are 10 x 10 x 20 mm, two cubes side by side."""
    comparison = compared(scan(((50, 50, 50), 10), ((60, 50, 50), 10)), 100, prior(0, present("a", (50, 50, 50))))
    (course,) = comparison.lesions

    assert (course.tracking_uid, course.event) == ("a", Event.SAME)
    assert course.change is not None
    assert course.change.volume_ml.percent == pytest.approx(100.0)
    assert course.change.growth is not None
    assert course.change.growth.doubling_time.days == pytest.approx(100.0, abs=0.01)


def test_the_findings_bear_the_known_tracking_uid_and_name() -> None:
    followed = follow_up(
        scan(((50, 50, 50), 10), ((100, 100, 100), 12)),
        made_on(90),
        CollectedPriors(search=PriorSearch.FOUND, priors=(prior(0, present("a", (50, 50, 50), name="lesion-7")),)),
    )

    largest, smaller = (finding.lesion for finding in followed.findings)
    assert (smaller.tracking_uid, smaller.tracking_id) == ("a", "lesion-7")
    assert largest.tracking_id == "lesion-1"
    assert largest.tracking_uid not in ("a", "")


def test_new_and_vanished_lesions_make_progression_by_the_rule_and_an_absence() -> None:
    comparison = compared(
        scan(((50, 50, 50), 12), ((100, 100, 100), 12)),
        90,
        prior(0, present("a", (50, 50, 50), 12), present("b", (120, 20, 20), 11)),
    )
    courses = by_uid(comparison)

    assert courses["a"].event is Event.SAME
    assert (courses["b"].event, courses["b"].now.state) == (Event.VANISHED, State.VANISHED)
    assert [course.event for course in comparison.lesions].count(Event.NEW) == 1
    assert comparison.recist is not None
    (assessment,) = comparison.recist.assessments
    assert assessment.response is Response.PD
    assert len(assessment.new_lesions) == 1


def test_a_lesion_that_was_gone_and_is_back_at_its_place_has_returned() -> None:
    comparison = compared(
        scan(((50, 50, 50), 10)),
        180,
        prior(0, present("a", (50, 50, 50))),
        prior(90, absent("a", State.VANISHED)),
    )
    (course,) = comparison.lesions

    assert (course.tracking_uid, course.event) == ("a", Event.RETURNED)
    assert [observation.state for observation in course.observations] == [State.PRESENT, State.VANISHED, State.PRESENT]
    assert course.change is not None
    assert course.change.interval_days == 180


def test_merged_lesions_are_one_and_no_change_is_made_of_it() -> None:
    """Two cubes with 6 mm between them, and one bar that holds both."""
    bar: list[Cube] = [((40 + 10 * n, 50, 50), 10) for n in range(4)]
    earlier = prior(0, present("a", (40, 50, 50), 16), present("b", (62, 50, 50), 14))
    courses = by_uid(compared(scan(*bar), 90, earlier))

    assert courses["a"].event is Event.MERGED
    assert courses["a"].change is None
    assert (courses["b"].now.state, courses["b"].merged_into) == (State.MERGED, "a")


def test_a_split_lesion_goes_on_in_its_largest_part() -> None:
    courses = by_uid(
        compared(scan(((50, 50, 50), 14), ((67, 50, 50), 8)), 90, prior(0, present("a", (50, 50, 50), 24)))
    )
    (part,) = (course for uid, course in courses.items() if uid != "a")

    assert courses["a"].event is Event.SPLIT
    assert (part.event, part.split_from) == (Event.SPLIT, "a")


def test_a_doubtful_match_is_no_progression() -> None:
    """Two like cubes, 12 mm to either side of where the known one was."""
    comparison = compared(
        scan(((50, 50, 50), 10), ((74, 50, 50), 10)),
        90,
        prior(0, present("a", (62, 50, 50)), present("b", (20, 120, 20))),
    )
    doubtful = [course for course in comparison.lesions if course.possible_match]

    assert [(course.possible_match, course.now.state) for course in doubtful] == [("a", State.DOUBTFUL)]
    assert by_uid(comparison)["a"].now.state is State.NOT_EVALUABLE


def test_another_frame_of_reference_without_lungs_cannot_be_compared() -> None:
    comparison = compared(scan(((50, 50, 50), 10), frame_uid="2.25.8"), 90, prior(0, present("a", (50, 50, 50))))

    assert comparison.statement is Statement.NOT_COMPARABLE
    assert comparison.reason
    assert comparison.recist is None


@pytest.mark.parametrize(
    ("search", "statement"),
    [
        (PriorSearch.NONE_EXISTS, Statement.NO_PRIOR),
        (PriorSearch.NOT_FETCHED, Statement.NOT_FETCHED),
        (PriorSearch.NOT_QUERIED, Statement.NOT_QUERIED),
        (PriorSearch.FOUND, Statement.NOT_COMPARABLE),
    ],
)
def test_without_a_prior_the_statement_says_why(search: PriorSearch, statement: Statement) -> None:
    followed = follow_up(scan(((50, 50, 50), 10)), made_on(0), CollectedPriors(search=search, reason="2 of 3"))

    assert followed.comparison is not None
    assert (followed.comparison.statement, followed.comparison.reason) == (statement, "2 of 3")
    assert followed.findings[0].lesion.tracking_id == "lesion-1"


def test_a_scan_without_a_date_cannot_be_compared() -> None:
    undated = Acquisition(date=None, kernel=None, has_contrast=None)
    followed = follow_up(scan(), undated, CollectedPriors(search=PriorSearch.FOUND, priors=(prior(0),)))

    assert followed.comparison is not None
    assert followed.comparison.statement is Statement.NOT_COMPARABLE


def test_scans_stand_by_date_with_the_current_one_last() -> None:
    comparison = compared(scan(), 200, prior(90), prior(0))

    assert [each.date for each in comparison.scans] == [START, day(90), day(200)]
