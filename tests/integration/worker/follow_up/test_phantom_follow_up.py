"""The pipeline over the phantom's five scans, each with its prior scans: known events, doubling times and sums.

The segmenter is replaced by the ground truth, so that the follow-up is tested and not the network.
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
from tests.fixtures.worker.phantom_timeline import INTERVAL_DAYS, TimePoint, TrueSegmenter, phantom_timeline
from worker.findings import Findings
from worker.follow_up.comparison import Comparison, ComparisonStatus, LesionTimeline
from worker.follow_up.matching import Event
from worker.pipeline import AnalysisRequest, analyse
from worker.priors.files import LUNGS_FILE, CollectedFiles, PriorFiles
from worker.recist.assessment import ResponseTimeline
from worker.recist.response import Response
from worker.recist.timepoints import State
from worker.registration.register import Method

SAME = ("shrinker", "grower", "stable")
"""Lesions that are the same on all five scans."""
EVENTS: tuple[dict[str, Event], ...] = (
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
"""For each scan, the event of each lesion since the previous scan."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """One scan of the phantom, and its report."""

    truth: TimePoint
    findings: Findings
    comparison: Comparison

    @property
    def recist(self) -> ResponseTimeline:
        """The RECIST response up to this scan."""
        assert self.comparison.recist is not None
        return self.comparison.recist

    def uid(self, key: str) -> str:
        """Return the tracking UID of the finding at the position of a true lesion."""
        centre = self.truth.lesion(key).centre_mm
        nearest = min(self.findings.findings, key=lambda finding: math.dist(finding.lesion.centroid_mm, centre))
        assert math.dist(nearest.lesion.centroid_mm, centre) < 1.5
        return nearest.lesion.tracking_uid

    def timeline(self, tracking_uid: str) -> LesionTimeline:
        """Return the timeline of a lesion."""
        (found,) = [lesion for lesion in self.comparison.lesions if lesion.tracking_uid == tracking_uid]
        return found


@pytest.fixture(scope="module")
def scans(course_files: list[list[Path]], tmp_path_factory: pytest.TempPathFactory) -> list[Scan]:
    """Each scan analysed with the files of its prior scans: CT, SEG, SR and lungs."""
    found: list[Scan] = []
    priors: list[PriorFiles] = []
    for number, (truth, files) in enumerate(zip(phantom_timeline(), course_files, strict=True)):
        out = tmp_path_factory.mktemp("out")
        search = PriorSearch.FOUND if priors else PriorSearch.NONE_EXISTS
        request = AnalysisRequest(
            job_key=f"{number:064d}",
            images_sha256=f"{number:064d}",
            config_hash="r",
            outputs=("seg", "sr"),
            priors=CollectedFiles(search=search, scans=tuple(priors)),
        )
        analysis = analyse(files, request, TrueSegmenter(lesions=truth.lesions), out, lambda _: None)
        found.append(Scan(truth=truth, findings=analysis.report.findings, comparison=analysis.report.comparison))
        documents = (out / "seg.dcm", out / "sr.dcm")
        priors.append(PriorFiles(ct=tuple(files), documents=documents, lungs=_existing(out / LUNGS_FILE)))
    return found


def _existing(path: Path) -> Path:
    assert path.exists()
    return path


def test_the_first_scan_has_no_prior(scans: list[Scan]) -> None:
    assert scans[0].comparison.statement is ComparisonStatus.NO_PRIOR
    assert [scan.comparison.statement for scan in scans[1:]] == [ComparisonStatus.COMPARED] * 4


def test_the_comparison_lists_all_scans_by_date(scans: list[Scan]) -> None:
    dates = [scan.truth.date for scan in scans]
    for number in range(1, len(scans)):
        assert [each.date for each in scans[number].comparison.scans] == dates[: number + 1]


def test_lungs_and_lesions_are_registered(scans: list[Scan]) -> None:
    for before, after in itertools.pairwise(scans):
        registration = after.comparison.registration
        assert registration is not None
        assert registration.method is Method.DEFORMABLE
        assert registration.quality is not None
        assert registration.quality.surface_mm < 2.0
        assert registration.quality.smallest_jacobian > 0
        keys = [lesion.key for lesion in after.truth.lesions if lesion.key in {o.key for o in before.truth.lesions}]
        positions_before = np.array([before.truth.lesion(key).centre_mm for key in keys])
        positions_after = np.array([after.truth.lesion(key).centre_mm for key in keys])
        assert np.linalg.norm(positions_before - positions_after, axis=1).max() > 8  # or nothing is tested
        assert np.linalg.norm(registration.to_later(positions_before) - positions_after, axis=1).max() < 6


@pytest.mark.parametrize("number", range(1, 5))
def test_every_event_is_the_expected_one(scans: list[Scan], number: int) -> None:
    scan = scans[number]
    assert {key: scan.timeline(scan.uid(key)).event for key in EVENTS[number]} == EVENTS[number]
    assert len(scan.findings.findings) == len(EVENTS[number])


def test_a_lesion_keeps_its_tracking_uid_and_its_name_over_all_scans(scans: list[Scan]) -> None:
    for key in SAME:
        assert len({scan.uid(key) for scan in scans}) == 1
        assert len({scan.timeline(scan.uid(key)).name for scan in scans[1:]}) == 1
    last = [lesion.name for lesion in scans[-1].comparison.lesions]
    assert len(last) == len(set(last))


def test_no_match_is_doubtful(scans: list[Scan]) -> None:
    for scan in scans[1:]:
        assert [lesion.possible_match for lesion in scan.comparison.lesions] == [None] * len(scan.comparison.lesions)


def test_the_larger_part_continues_a_split_lesion_and_the_other_refers_to_it(scans: list[Scan]) -> None:
    whole = scans[1].uid("splitter")
    assert [scan.uid("splitter front") for scan in scans[2:]] == [whole] * 3
    back = {scan.uid("splitter back") for scan in scans[2:]}
    assert len(back) == 1
    assert whole not in back
    assert [scan.timeline(scan.uid("splitter back")).split_from for scan in scans[2:]] == [whole] * 3


def test_a_merged_lesion_continues_one_and_the_other_refers_to_it(scans: list[Scan]) -> None:
    twins = {scans[2].uid("twin front"), scans[2].uid("twin back")}
    merged_uid = scans[3].uid("twins")
    (within,) = twins - {merged_uid}
    for scan in scans[3:]:
        assert scan.uid("twins") == merged_uid
        assert scan.timeline(within).now.state is State.MERGED
        assert scan.timeline(within).merged_into == merged_uid


def test_a_vanished_lesion_stays_in_the_timeline(scans: list[Scan]) -> None:
    vanished = scans[1].uid("vanisher")
    assert scans[2].timeline(vanished).event is Event.VANISHED
    for scan in scans[2:]:
        assert scan.timeline(vanished).now.state is State.VANISHED
    assert [scan.timeline(vanished).event for scan in scans[3:]] == [None, None]


def test_every_true_doubling_time_is_within_its_interval(scans: list[Scan]) -> None:
    checked = 0
    for before, after in itertools.pairwise(scans):
        for lesion in after.truth.lesions:
            timeline = after.timeline(after.uid(lesion.key))
            if timeline.event is not Event.SAME:
                continue
            volumes = before.truth.lesion(lesion.key).volume_ml, lesion.volume_ml
            assert timeline.change is not None
            assert timeline.change.growth is not None
            assert timeline.change.interval_days == INTERVAL_DAYS
            assert timeline.change.growth.doubling_time.allows(_doubling_days(*volumes)), lesion.key
            checked += 1
    assert checked == 7 + 5 + 5 + 6


def test_growth_and_shrinkage_are_beyond_chance_and_a_stable_lesion_is_not(scans: list[Scan]) -> None:
    for scan in scans[1:]:
        grower, stable = (scan.timeline(scan.uid(key)).change for key in ("grower", "stable"))
        assert grower is not None
        assert grower.growth is not None
        assert stable is not None
        assert grower.volume_ml.is_beyond_chance
        assert grower.growth.doubling_time.allows(120.0)
        assert not grower.growth.doubling_time.allows(-120.0)
        assert grower.growth.doubling_time.days == pytest.approx(120.0, rel=0.3)
        assert not stable.is_significant
    shrinker = scans[1].timeline(scans[1].uid("shrinker")).change
    assert shrinker is not None
    assert shrinker.volume_ml.percent == pytest.approx(-65.1, abs=5)
    assert shrinker.is_significant


def test_recist_is_the_response_computed_by_hand(scans: list[Scan]) -> None:
    """Targets: the two largest at baseline, shrinker 36 mm and splitter 32 mm; the next, of 14 mm, is not a target.

    date        shrinker  splitter        sum   to baseline       response
    2024-01-08  36        32              68
    2024-04-08  24        30              54    -14 / 68 = -20.6  SD, over -30
    2024-07-08  17        13 + 12 parts   42    -26 / 68 = -38.2  PR
    2024-10-07  15        13 + 12         40    -28 / 68 = -41.2  PR
    2025-01-06  13        12 + 11         36    -32 / 68 = -47.1  targets PR, but a new lesion: PD
    """
    timeline = scans[4].recist
    assert timeline.baseline.targets == (scans[0].uid("shrinker"), scans[0].uid("splitter"))
    assert timeline.baseline.total.sum_mm == pytest.approx(68, abs=2)
    assert [each.total.sum_mm for each in timeline.assessments] == pytest.approx([54, 42, 40, 36], abs=2.5)
    assert [each.from_baseline_percent for each in timeline.assessments] == pytest.approx(
        [-20.6, -38.2, -41.2, -47.1], abs=3.5
    )
    assert [each.by_targets for each in timeline.assessments] == [Response.SD, Response.PR, Response.PR, Response.PR]
    assert [each.response for each in timeline.assessments] == [Response.SD, Response.PR, Response.PR, Response.PD]
    assert [each.new_lesions for each in timeline.assessments] == [(), (), (), (scans[4].uid("newcomer"),)]
    assert timeline.progressed_on == date(2025, 1, 6)


def test_each_scan_has_the_responses_up_to_it(scans: list[Scan]) -> None:
    for number in range(1, 5):
        responses = [each.response for each in scans[number].recist.assessments]
        assert responses == [each.response for each in scans[4].recist.assessments[:number]]


def _doubling_days(prior_ml: float, later_ml: float) -> float | None:
    """Return t ln 2 / ln(V2 / V1) (Schwartz); None without a change."""
    return None if prior_ml == later_ml else INTERVAL_DAYS * math.log(2) / math.log(later_ml / prior_ml)
