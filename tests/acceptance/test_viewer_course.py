"""Display of two time points in a radiologist's viewer: the same lesions with the same tracking UIDs."""

import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import pytest

from dicom_node.prior import PriorSearch
from models.lungs.outline import find_lung_air, outline_lungs
from models.volume import Mask
from tests.acceptance.test_viewer import Shown, truth
from tests.fixtures.models.model_card import CARD
from tests.fixtures.orthanc_stack import OrthancStack, needs_shared
from worker.ct.reader import load
from worker.follow_up.compare import compare, with_known_identities
from worker.follow_up.comparison import Comparison, ComparisonStatus
from worker.follow_up.matching import Event
from worker.follow_up.prior import CollectedPriors, Prior
from worker.outputs.dicom.source import source_of
from worker.outputs.encode import encode
from worker.phantom.chest import DEMO_LESIONS, PhantomLesion, PhantomSpec, chest_phantom
from worker.phantom.dicom import write_series
from worker.pipeline import find
from worker.priors.acquisition import acquisition_of
from worker.priors.files import PriorFiles
from worker.priors.read import read_prior
from worker.report import Report

FIRST, LATER = datetime(2026, 1, 5, 9, 30), datetime(2026, 5, 4, 9, 30)
NEW = PhantomLesion(centre_mm=(-70.0, 45.0, 10.0), half_axes_mm=(8.0, 8.0, 8.0))

pytestmark = needs_shared


@dataclass(frozen=True, kw_only=True)
class TwoScans:
    """Both time points in the PACS, and the first one as read back."""

    first: Shown
    later: Shown
    prior: Prior
    comparison: Comparison
    """Of the later one."""


@pytest.fixture(scope="module")
def two_scans(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoScans]:
    """Two scans, 119 days apart: the first lesion grew by 20 % in each direction, the last vanished, one is new."""
    site = OrthancStack(folder=tmp_path_factory.mktemp("two-scans"))
    site.start_pacs()
    first, *others, _ = DEMO_LESIONS
    x, y, z = first.half_axes_mm
    grown = replace(first, half_axes_mm=(1.2 * x, 1.2 * y, 1.2 * z))
    folders = [tmp_path_factory.mktemp(name) for name in ("first", "later")]
    no_priors = CollectedPriors(search=PriorSearch.NONE_EXISTS)
    first_shown, prior, _ = stored(site, folders[0], DEMO_LESIONS, FIRST, no_priors)
    found = CollectedPriors(search=PriorSearch.FOUND, priors=(prior,))
    later_shown, _, comparison = stored(site, folders[1], (grown, *others, NEW), LATER, found)
    yield TwoScans(first=first_shown, later=later_shown, prior=prior, comparison=comparison)
    site.stop_pacs()


def stored(
    site: OrthancStack, folder: Path, lesions: tuple[PhantomLesion, ...], when: datetime, priors: CollectedPriors
) -> tuple[Shown, Prior, Comparison]:
    spec = PhantomSpec(seed=1, shape=(52, 128, 128), spacing_mm=(5.0, 2.7, 2.7), lesions=lesions)
    files = write_series(folder / "ct", chest_phantom(spec), when=when)
    series = load(files)
    mask = Mask(voxels=truth(series.volume.affine, series.volume.hu.shape, lesions), affine=series.volume.affine)
    findings = find(series, mask, outline_lungs(find_lung_air(series.volume)), CARD, f"{when:%Y%m%d}")
    comparison = compare(findings, acquisition_of(series.datasets[0]), priors)
    report = Report(findings=with_known_identities(findings, comparison), comparison=comparison)
    documents = []
    for name, document in encode(report, source_of(series), ("seg", "sr")).items():
        documents.append(folder / f"{name}.dcm")
        document.save_as(documents[-1], enforce_file_format=True)
    for file in (*files, *documents):
        url = f"http://127.0.0.1:{site.http_port}/instances"
        urllib.request.urlopen(url, file.read_bytes(), timeout=30).close()
    prior = read_prior(PriorFiles(ct=tuple(files), documents=tuple(documents)), CARD)
    return Shown(site=site, findings=report.findings, pictures=folder), prior, comparison


def test_both_reports_draw_the_same_lesions(two_scans: TwoScans) -> None:
    drawn = {}
    for name, scan in (("first", two_scans.first), ("later", two_scans.later)):
        shown = scan.open("--load", "SR", "--panel", "trackedMeasurements")
        measurements = shown["state"]["measurements"]
        assert {one["tool"] for one in measurements} == {"Bidirectional"}, name
        drawn[name] = [float(one["text"]["primary"][0].split()[1]) for one in measurements]  # "L: 36.0 mm"
        known = [finding.measurement.long_axis.length_mm for finding in scan.findings.findings]
        assert drawn[name] == pytest.approx(known, abs=0.051), name

    uids = [
        {each.lesion.tracking_uid for each in scan.findings.findings} for scan in (two_scans.first, two_scans.later)
    ]
    assert len(uids[0] & uids[1]) == 2


def test_the_later_scan_is_compared_with_the_results_read_back(two_scans: TwoScans) -> None:
    comparison = two_scans.comparison
    assert comparison.statement is ComparisonStatus.COMPARED
    events = sorted(str(lesion.event) for lesion in comparison.lesions)
    assert events == sorted([Event.SAME, Event.SAME, Event.NEW, Event.VANISHED])
    first, again = two_scans.prior.lesions, two_scans.first.findings.findings
    assert [each.tracking_uid for each in first] == [each.lesion.tracking_uid for each in again]
