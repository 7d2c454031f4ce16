"""What a radiologist's viewer makes of two time points: the same lesions, tracked, side by side."""

import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import pytest

from dicom_node.prior import PriorSearch
from models.volume import Mask
from tests.acceptance.test_viewer import CARD, Shown, truth
from tests.fixtures.orthanc_stack import Site, needs_shared
from worker.ct.acquisition import acquisition_of
from worker.ct.reader import load
from worker.follow_up.compare import follow_up
from worker.follow_up.comparison import Statement
from worker.follow_up.matching import Event
from worker.outputs.encode import encode
from worker.phantom.chest import DEMO_LESIONS, PhantomLesion, PhantomSpec, chest_phantom
from worker.phantom.dicom import write_series
from worker.pipeline import find
from worker.priors.collect import CollectedPriors
from worker.priors.read import Prior, PriorFiles, read_prior

FIRST, LATER = datetime(2026, 1, 5, 9, 30), datetime(2026, 5, 4, 9, 30)
NEW = PhantomLesion(centre_mm=(-70.0, 45.0, 10.0), half_axes_mm=(8.0, 8.0, 8.0))

pytestmark = needs_shared


@dataclass(frozen=True, kw_only=True)
class TwoScans:
    """Both time points in the PACS, and the first as it was read back."""

    first: Shown
    later: Shown
    prior: Prior


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoScans]:
    """Two scans, 119 days apart: the first lesion grew by a fifth in each direction, the last vanished, one is new."""
    site = Site(folder=tmp_path_factory.mktemp("course"))
    site.start_pacs()
    first, *others, _ = DEMO_LESIONS
    grown = replace(first, half_axes_mm=tuple(1.2 * half for half in first.half_axes_mm))
    folders = [tmp_path_factory.mktemp(name) for name in ("first", "later")]
    none = CollectedPriors(search=PriorSearch.NONE_EXISTS)
    earlier, prior = stored(site, folders[0], DEMO_LESIONS, FIRST, none)
    found = CollectedPriors(search=PriorSearch.FOUND, priors=(prior,))
    later, _ = stored(site, folders[1], (grown, *others, NEW), LATER, found)
    yield TwoScans(first=earlier, later=later, prior=prior)
    site.stop_pacs()


def stored(
    site: Site, folder: Path, lesions: tuple[PhantomLesion, ...], when: datetime, earlier: CollectedPriors
) -> tuple[Shown, Prior]:
    spec = PhantomSpec(seed=1, shape=(52, 128, 128), spacing_mm=(5.0, 2.7, 2.7), lesions=lesions)
    files = write_series(folder / "ct", chest_phantom(spec), when=when)
    series = load(files)
    mask = Mask(voxels=truth(series.volume.affine, series.volume.hu.shape, lesions), affine=series.volume.affine)
    findings = follow_up(find(series, mask, CARD, f"{when:%Y%m%d}"), acquisition_of(series.datasets[0]), earlier)
    documents = []
    for name, document in encode(findings, series.datasets, ("seg", "sr")).items():
        documents.append(folder / f"{name}.dcm")
        document.save_as(documents[-1], enforce_file_format=True)
    for file in (*files, *documents):
        url = f"http://127.0.0.1:{site.http_port}/instances"
        urllib.request.urlopen(url, file.read_bytes(), timeout=30).close()
    prior = read_prior(PriorFiles(ct=tuple(files), documents=tuple(documents)), CARD)
    return Shown(site=site, findings=findings, pictures=folder), prior


def test_both_reports_draw_the_same_lesions(course: TwoScans) -> None:
    drawn = {}
    for name, scan in (("first", course.first), ("later", course.later)):
        shown = scan.open("--load", "SR", "--panel", "trackedMeasurements")
        measurements = shown["state"]["measurements"]
        assert {one["tool"] for one in measurements} == {"Bidirectional"}, name
        drawn[name] = [float(one["text"]["primary"][0].split()[1]) for one in measurements]  # "L: 36.0 mm"
        known = [finding.measurement.long_axis.length_mm for finding in scan.findings.findings]
        assert drawn[name] == pytest.approx(known, abs=0.051), name

    uids = [{each.lesion.tracking_uid for each in scan.findings.findings} for scan in (course.first, course.later)]
    assert len(uids[0] & uids[1]) == 2


def test_the_later_scan_was_compared_with_what_was_read_back(course: TwoScans) -> None:
    comparison = course.later.findings.comparison
    assert comparison
    assert comparison.statement is Statement.COMPARED
    events = sorted(str(lesion.event) for lesion in comparison.lesions)
    assert events == sorted([Event.SAME, Event.SAME, Event.NEW, Event.VANISHED])
    first, again = course.prior.lesions, course.first.findings.findings
    assert [each.tracking_uid for each in first] == [each.lesion.tracking_uid for each in again]
