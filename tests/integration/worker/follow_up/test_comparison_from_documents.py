"""Three scans of a patient, each compared with the prior scans read back from their documents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from dicom_node.prior import PriorSearch
from tests.fixtures.models.model_card import CARD
from tests.fixtures.worker.analysed_series import analyse_in
from tests.fixtures.worker.reading import Made, read_by_dcmqi, saved
from worker.follow_up.compare import compare, with_known_identities
from worker.follow_up.comparison import ComparisonStatus
from worker.follow_up.prior import CollectedPriors, Prior
from worker.priors.acquisition import acquisition_of
from worker.priors.files import PriorFiles
from worker.priors.read import read_prior
from worker.recist.timepoints import State
from worker.report import Report

Analyse = Callable[..., Made]

# Boxes of (slice, row, column), far apart. The first grows, the second vanishes, the third stays, the fourth is new.
GROWING = [np.s_[1:5, 2:10, 2:10], np.s_[1:6, 1:11, 1:11], np.s_[0:7, 0:12, 0:12]]
VANISHING, STABLE, NEW = np.s_[1:4, 28:34, 2:8], np.s_[5:9, 16:24, 26:34], np.s_[8:11, 30:36, 20:26]
SCANS = ([GROWING[0], STABLE, VANISHING], [GROWING[1], STABLE], [GROWING[2], STABLE, NEW])
SPACING_MM = (2.5, 2.0, 2.0)
DATES = (date(2026, 1, 5), date(2026, 4, 6), date(2026, 7, 6))


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanReports:
    """The report of each scan, and the file of the last."""

    reports: list[Report]
    last_file: Path


@pytest.fixture(scope="module", params=[True, False], ids=["with CT", "without CT"])
def scan_reports(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ScanReports:
    """Only documents, and the CT if present, are passed from one scan to the next."""
    folder = tmp_path_factory.mktemp("course")
    analysed = analyse_in(folder / "ct")
    found: list[Report] = []
    priors: list[Prior] = []
    for number, boxes in enumerate(SCANS):
        made = analysed(boxes, change=scan_of(number), spacing_mm=SPACING_MM)
        made = replace(
            made, findings=replace(made.findings, job_key=f"{number}" * 64, findings=with_own_uids(made, number))
        )
        search = PriorSearch.FOUND if priors else PriorSearch.NONE_EXISTS
        collected = CollectedPriors(search=search, priors=tuple(priors))
        comparison = compare(made.findings, acquisition_of(made.series.datasets[0]), collected)
        found.append(Report(findings=with_known_identities(made.findings, comparison), comparison=comparison))
        (folder / str(number)).mkdir()
        documents = tuple(saved(made, folder / str(number), report=found[-1]).values())
        ct = tuple(made.ct_files) if request.param else ()
        priors.append(read_prior(PriorFiles(ct=ct, documents=documents), CARD))
    return ScanReports(reports=found, last_file=folder / "2" / "sr.dcm")


@pytest.fixture
def scans(scan_reports: ScanReports) -> list[Report]:
    return scan_reports.reports


def scan_of(number: int) -> Callable[[Dataset], None]:
    def change(image: Dataset) -> None:
        image.StudyDate = image.ContentDate = f"{DATES[number]:%Y%m%d}"
        image.StudyInstanceUID, image.SeriesInstanceUID = f"1.2.1.{number}", f"1.2.2.{number}"
        image.SOPInstanceUID = f"1.2.4.{number}.{image.InstanceNumber}"

    return change


def with_own_uids(made: Made, number: int) -> tuple[Any, ...]:
    """The findings with tracking UIDs that are unique for each analysis."""
    return tuple(
        replace(each, lesion=replace(each.lesion, tracking_uid=f"1.2.9.{number}.{each.lesion.number}"))
        for each in made.findings.findings
    )


def test_lesions_keep_the_uid_of_the_first_scan_that_showed_them(scans: list[Report]) -> None:
    uids = [[finding.lesion.tracking_uid for finding in scan.findings.findings] for scan in scans]

    growing, stable, _ = uids[0]
    assert [scan.comparison.statement for scan in scans] == [ComparisonStatus.NO_PRIOR] + [
        ComparisonStatus.COMPARED
    ] * 2
    assert uids[1] == [growing, stable]
    assert uids[2] == [growing, stable, "1.2.9.2.3"]


def test_the_last_report_contains_the_whole_timeline(scans: list[Report], scan_reports: ScanReports) -> None:
    comparison = scans[-1].comparison

    _, _, vanishing = (finding.lesion.tracking_uid for finding in scans[0].findings.findings)
    states = {
        each.tracking_uid: [observation.state for observation in each.observations] for each in comparison.lesions
    }
    assert states[vanishing] == [State.PRESENT, State.VANISHED, State.VANISHED]
    assert states["1.2.9.2.3"] == [State.PRESENT]
    growing = comparison.lesions[0]
    volumes = [each.sizes.volume_ml for each in growing.observations if each.sizes]
    voxel_ml = 2.5 * 2.0 * 2.0 / 1000
    assert volumes == [round(voxels * voxel_ml, 4) for voxels in (4 * 8 * 8, 5 * 10 * 10, 7 * 12 * 12)]
    assert [scan.report is not None for scan in comparison.scans] == [True, True, False]
    groups = read_by_dcmqi(scan_reports.last_file)["Measurements"]
    vanished_groups = [group for group in groups if group["TrackingUniqueIdentifier"] == vanishing]
    assert len(vanished_groups) == 1


def test_the_sums_are_those_of_the_three_scans(scans: list[Report]) -> None:
    """The targets are the two largest lesions of the first scan; a new lesion is progression."""
    recist = scans[-1].comparison.recist
    assert recist

    sums = [
        round(sum(round(each.measurement.long_axis.length_mm, 1) for each in scan.findings.findings[:2]), 1)
        for scan in scans
    ]
    assert recist.baseline.total.sum_mm == sums[0]
    assert [assessment.total.sum_mm for assessment in recist.assessments] == sums[1:]
    assert recist.assessments[-1].new_lesions == ("1.2.9.2.3",)
