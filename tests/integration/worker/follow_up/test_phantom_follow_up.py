"""The line over the phantom's five scans, each with those before it: every event, doubling time and sum on paper.

The stand-in segmenter marks what is there, so that it is the follow-up that is tested, and not the network.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from dicom_node.prior import PriorSearch
from tests.fixtures.worker.phantom_course import INTERVAL_DAYS, TimePoint, TrueSegmenter, phantom_course
from worker.findings import Findings
from worker.follow_up.comparison import Comparison, LesionTimeline, Statement
from worker.follow_up.matching import Event
from worker.pipeline import AnalysisRequest, analyse
from worker.priors.collect import LUNGS_FILE, CollectedFiles
from worker.priors.read import PriorFiles
from worker.recist.assessment import Course
from worker.recist.response import Response
from worker.recist.timepoints import State
from worker.registration.register import Method

SAME = ("shrinker", "grower", "stable")
"""They are one lesion each on all five scans."""
EVENTS = (
    {},
    dict.fromkeys((*SAME, "splitter", "vanisher", "twin front", "twin back"), Event.SAME),
    {
        **dict.fromkeys((*SAME, "twin front", "twin back"), Event.SAME),
        "splitter front": Event.SPLIT,
        "splitter back": Event.SPLIT,
    },
    {**dict.fromkeys((*SAME, "splitter front", "splitter back"), Event.SAME), "twins": Event.MERGED},
    {**dict.fromkeys((*SAME, "splitter front", "splitter back", "twins"), Event.SAME), "newcomer": Event.NEW},
)
"""What became, since the scan before, of each lesion that a scan shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """One scan of the course, and what the line found in it."""

    truth: TimePoint
    findings: Findings

    @property
    def comparison(self) -> Comparison:
        """With the scans before it."""
        assert self.findings.comparison is not None
        return self.findings.comparison

    @property
    def recist(self) -> Course:
        """Of the course up to here."""
        assert self.comparison.recist is not None
        return self.comparison.recist

    def uid(self, key: str) -> str:
        """Return the tracking UID of the finding at a true lesion's place."""
        centre = self.truth.lesion(key).centre_mm
        nearest = min(self.findings.findings, key=lambda finding: math.dist(finding.lesion.centroid_mm, centre))
        assert math.dist(nearest.lesion.centroid_mm, centre) < 1.5
        return nearest.lesion.tracking_uid

    def course(self, tracking_uid: str) -> LesionTimeline:
        """Return what is said of a lesion."""
        (found,) = [lesion for lesion in self.comparison.lesions if lesion.tracking_uid == tracking_uid]
        return found


@pytest.fixture(scope="module")
def scans(course_files: list[list[Path]], tmp_path_factory: pytest.TempPathFactory) -> list[Scan]:
    """Each scan analysed with what is at hand of those before it: CT, SEG, SR and lungs."""
    found: list[Scan] = []
    earlier: list[PriorFiles] = []
    for number, (truth, files) in enumerate(zip(phantom_course(), course_files, strict=True)):
        out = tmp_path_factory.mktemp("out")
        search = PriorSearch.FOUND if earlier else PriorSearch.NONE_EXISTS
        request = AnalysisRequest(
            job_key=f"{number:064d}",
            config_hash="r",
            outputs=("seg", "sr"),
            earlier=CollectedFiles(search=search, scans=tuple(earlier)),
        )
        analysis = analyse(files, request, TrueSegmenter(lesions=truth.lesions), out, lambda _: None)
        found.append(Scan(truth=truth, findings=analysis.findings))
        documents = (out / "seg.dcm", out / "sr.dcm")
        earlier.append(PriorFiles(ct=tuple(files), documents=documents, lungs=_existing(out / LUNGS_FILE)))
    return found


def _existing(path: Path) -> Path:
    assert path.exists()
    return path


def test_the_first_scan_says_that_there_is_none_before(scans: list[Scan]) -> None:
    assert scans[0].comparison.statement is Statement.NO_PRIOR
    assert [scan.comparison.statement for scan in scans[1:]] == [Statement.COMPARED] * 4


def test_all_scans_are_of_the_course_by_date(scans: list[Scan]) -> None:
    dates = [scan.truth.date for scan in scans]
    for number in range(1, len(scans)):
        assert [each.date for each in scans[number].comparison.scans] == dates[: number + 1]


def test_the_lungs_lie_on_each_other_and_the_lesions_at_their_places(scans: list[Scan]) -> None:
    for before, after in itertools.pairwise(scans):
        registration = after.comparison.registration
        assert registration is not None
        assert registration.method is Method.DEFORMABLE
        assert registration.quality is not None
        assert registration.quality.surface_mm < 2.0
        assert registration.quality.smallest_jacobian > 0
        keys = [lesion.key for lesion in after.truth.lesions if lesion.key in {o.key for o in before.truth.lesions}]
        was = np.array([before.truth.lesion(key).centre_mm for key in keys])
        now = np.array([after.truth.lesion(key).centre_mm for key in keys])
        assert np.linalg.norm(was - now, axis=1).max() > 8  # or there was nothing to bring together
        assert np.linalg.norm(registration.to_later(was) - now, axis=1).max() < 6


@pytest.mark.parametrize("number", range(1, 5))
def test_every_event_is_as_on_paper(scans: list[Scan], number: int) -> None:
    scan = scans[number]
    assert {key: scan.course(scan.uid(key)).event for key in EVENTS[number]} == EVENTS[number]
    assert len(scan.findings.findings) == len(EVENTS[number])


def test_a_lesion_keeps_its_tracking_uid_and_its_name_over_all_scans(scans: list[Scan]) -> None:
    for key in SAME:
        assert len({scan.uid(key) for scan in scans}) == 1
        assert len({scan.course(scan.uid(key)).name for scan in scans[1:]}) == 1
    last = [lesion.name for lesion in scans[-1].comparison.lesions]
    assert len(last) == len(set(last))


def test_no_match_is_in_doubt(scans: list[Scan]) -> None:
    for scan in scans[1:]:
        assert [lesion.possible_match for lesion in scan.comparison.lesions] == [None] * len(scan.comparison.lesions)


def test_the_larger_part_of_a_split_lesion_is_it_and_the_other_split_from_it(scans: list[Scan]) -> None:
    whole = scans[1].uid("splitter")
    assert [scan.uid("splitter front") for scan in scans[2:]] == [whole] * 3
    back = {scan.uid("splitter back") for scan in scans[2:]}
    assert len(back) == 1
    assert whole not in back
    assert [scan.course(scan.uid("splitter back")).split_from for scan in scans[2:]] == [whole] * 3


def test_merged_lesions_are_one_of_them_and_the_other_lies_within(scans: list[Scan]) -> None:
    twins = {scans[2].uid("twin front"), scans[2].uid("twin back")}
    carrier = scans[3].uid("twins")
    (within,) = twins - {carrier}
    for scan in scans[3:]:
        assert scan.uid("twins") == carrier
        assert scan.course(within).now.state is State.MERGED
        assert scan.course(within).merged_into == carrier


def test_a_vanished_lesion_stays_in_the_course_as_gone(scans: list[Scan]) -> None:
    vanished = scans[1].uid("vanisher")
    assert scans[2].course(vanished).event is Event.VANISHED
    for scan in scans[2:]:
        assert scan.course(vanished).now.state is State.VANISHED
    assert [scan.course(vanished).event for scan in scans[3:]] == [None, None]


def test_every_true_doubling_time_lies_within_its_interval(scans: list[Scan]) -> None:
    judged = 0
    for before, after in itertools.pairwise(scans):
        for lesion in after.truth.lesions:
            course = after.course(after.uid(lesion.key))
            if course.event is not Event.SAME:
                continue
            volumes = before.truth.lesion(lesion.key).volume_ml, lesion.volume_ml
            assert course.change is not None
            assert course.change.growth is not None
            assert course.change.interval_days == INTERVAL_DAYS
            assert course.change.growth.doubling_time.allows(_doubling_days(*volumes)), lesion.key
            judged += 1
    assert judged == 7 + 5 + 5 + 6


def test_growth_and_shrinkage_are_beyond_chance_and_what_stays_is_not(scans: list[Scan]) -> None:
    for scan in scans[1:]:
        grower, stable = (scan.course(scan.uid(key)).change for key in ("grower", "stable"))
        assert grower is not None
        assert grower.growth is not None
        assert stable is not None
        assert grower.volume_ml.is_beyond_chance
        assert grower.growth.doubling_time.allows(120.0)
        assert not grower.growth.doubling_time.allows(-120.0)
        assert grower.growth.doubling_time.days == pytest.approx(120.0, rel=0.3)
        assert not stable.is_significant
    shrinker = scans[1].course(scans[1].uid("shrinker")).change
    assert shrinker is not None
    assert shrinker.volume_ml.percent == pytest.approx(-65.1, abs=5)
    assert shrinker.is_significant


def test_recist_is_what_it_is_by_hand(scans: list[Scan]) -> None:
    """Targets: the two largest at baseline, shrinker 36 mm and splitter 32 mm; the next, 14 mm, is not among them.

    date        shrinker  splitter        sum   to baseline       response
    2024-01-08  36        32              68
    2024-04-08  24        30              54    -14 / 68 = -20.6  SD, over -30
    2024-07-08  17        13 + 12 parts   42    -26 / 68 = -38.2  PR
    2024-10-07  15        13 + 12         40    -28 / 68 = -41.2  PR
    2025-01-06  13        12 + 11         36    -32 / 68 = -47.1  targets PR, but a new lesion: PD
    """
    course = scans[4].recist
    assert course.baseline.targets == (scans[0].uid("shrinker"), scans[0].uid("splitter"))
    assert course.baseline.total.sum_mm == pytest.approx(68, abs=2)
    assert [each.total.sum_mm for each in course.assessments] == pytest.approx([54, 42, 40, 36], abs=2.5)
    assert [each.from_baseline_percent for each in course.assessments] == pytest.approx(
        [-20.6, -38.2, -41.2, -47.1], abs=3.5
    )
    assert [each.by_targets for each in course.assessments] == [Response.SD, Response.PR, Response.PR, Response.PR]
    assert [each.response for each in course.assessments] == [Response.SD, Response.PR, Response.PR, Response.PD]
    assert [each.new_lesions for each in course.assessments] == [(), (), (), (scans[4].uid("newcomer"),)]
    assert course.progressed_on == date(2025, 1, 6)


def test_each_scan_tells_the_response_up_to_it(scans: list[Scan]) -> None:
    for number in range(1, 5):
        told = [each.response for each in scans[number].recist.assessments]
        assert told == [each.response for each in scans[4].recist.assessments[:number]]


def _doubling_days(earlier_ml: float, later_ml: float) -> float | None:
    """Schwartz: t ln 2 / ln(V2 / V1); None of what stays."""
    return None if earlier_ml == later_ml else INTERVAL_DAYS * math.log(2) / math.log(later_ml / earlier_ml)
