"""Three scans of a patient, each compared with what was written of those before, and with nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from dicom_node.prior import PriorSearch
from tests.fixtures.worker.analysed_series import CARD
from tests.fixtures.worker.reading import Made, read_by_dcmqi, saved
from worker.ct.acquisition import acquisition_of
from worker.findings import Findings
from worker.follow_up.compare import follow_up
from worker.follow_up.comparison import Comparison, Statement
from worker.priors.collect import CollectedPriors
from worker.priors.read import Prior, PriorFiles, read_prior
from worker.recist.timepoints import State

Analyse = Callable[..., Made]

# Boxes of (slice, row, column), far apart. The first grows, the second vanishes, the third stays, the fourth is new.
GROWER = [np.s_[1:5, 2:10, 2:10], np.s_[1:6, 1:11, 1:11], np.s_[0:7, 0:12, 0:12]]
VANISHER, STEADY, NEW = np.s_[1:4, 28:34, 2:8], np.s_[5:9, 16:24, 26:34], np.s_[8:11, 30:36, 20:26]
SCANS = ([GROWER[0], STEADY, VANISHER], [GROWER[1], STEADY], [GROWER[2], STEADY, NEW])
SPACING_MM = (2.5, 2.0, 2.0)
DATES = (date(2026, 1, 5), date(2026, 4, 6), date(2026, 7, 6))


@pytest.fixture(params=[True, False], ids=["with CT", "CT gone"])
def course(request: pytest.FixtureRequest, analysed: Analyse, tmp_path: Path) -> list[Findings]:
    """The findings of each scan; only documents, and the CT where it is there, reach the next."""
    found: list[Findings] = []
    priors: list[Prior] = []
    for number, boxes in enumerate(SCANS):
        made = analysed(boxes, change=scan_of(number), spacing_mm=SPACING_MM)
        made = replace(made, findings=replace(made.findings, job_key=f"{number}" * 64, findings=own(made, number)))
        search = PriorSearch.FOUND if priors else PriorSearch.NONE_EXISTS
        earlier = CollectedPriors(search=search, priors=tuple(priors))
        found.append(follow_up(made.findings, acquisition_of(made.series.datasets[0]), earlier))
        (tmp_path / str(number)).mkdir()
        documents = tuple(saved(made, tmp_path / str(number), findings=found[-1]).values())
        ct = tuple(made.ct_files) if request.param else ()
        priors.append(read_prior(PriorFiles(ct=ct, documents=documents), CARD))
    return found


def scan_of(number: int) -> Callable[[Dataset], None]:
    def change(image: Dataset) -> None:
        image.StudyDate = image.ContentDate = f"{DATES[number]:%Y%m%d}"
        image.StudyInstanceUID, image.SeriesInstanceUID = f"1.2.1.{number}", f"1.2.2.{number}"
        image.SOPInstanceUID = f"1.2.4.{number}.{image.InstanceNumber}"

    return change


def own(made: Made, number: int) -> tuple[Any, ...]:
    """Each analysis gives its lesions UIDs of its own."""
    return tuple(
        replace(each, lesion=replace(each.lesion, tracking_uid=f"1.2.9.{number}.{each.lesion.number}"))
        for each in made.findings.findings
    )


def compared(findings: Findings) -> Comparison:
    assert findings.comparison
    return findings.comparison


def test_lesions_keep_the_uid_of_the_first_scan_that_showed_them(course: list[Findings]) -> None:
    uids = [[finding.lesion.tracking_uid for finding in findings.findings] for findings in course]

    grower, steady, _ = uids[0]
    assert [compared(findings).statement for findings in course] == [Statement.NO_PRIOR] + [Statement.COMPARED] * 2
    assert uids[1] == [grower, steady]
    assert uids[2] == [grower, steady, "1.2.9.2.3"]


def test_the_last_report_knows_the_whole_course(course: list[Findings], tmp_path: Path) -> None:
    comparison = compared(course[-1])

    _, _, vanisher = (finding.lesion.tracking_uid for finding in course[0].findings)
    states = {
        each.tracking_uid: [observation.state for observation in each.observations] for each in comparison.lesions
    }
    assert states[vanisher] == [State.PRESENT, State.VANISHED, State.VANISHED]
    assert states["1.2.9.2.3"] == [State.PRESENT]
    grower = comparison.lesions[0]
    volumes = [each.sizes.volume_ml for each in grower.observations if each.sizes]
    voxel_ml = 2.5 * 2.0 * 2.0 / 1000
    assert volumes == [round(voxels * voxel_ml, 4) for voxels in (4 * 8 * 8, 5 * 10 * 10, 7 * 12 * 12)]
    assert [scan.report is not None for scan in comparison.scans] == [True, True, False]
    groups = read_by_dcmqi(tmp_path / "2" / "sr.dcm")["Measurements"]
    gone = [group for group in groups if group["TrackingUniqueIdentifier"] == vanisher]
    assert len(gone) == 1


def test_the_sums_are_those_of_the_three_scans(course: list[Findings]) -> None:
    """The targets are the two largest of the first scan; a new lesion is progression."""
    recist = compared(course[-1]).recist
    assert recist

    sums = [
        round(sum(round(each.measurement.long_axis.length_mm, 1) for each in findings.findings[:2]), 1)
        for findings in course
    ]
    assert recist.baseline.total.sum_mm == sums[0]
    assert [assessment.total.sum_mm for assessment in recist.assessments] == sums[1:]
    assert recist.assessments[-1].new_lesions == ("1.2.9.2.3",)
