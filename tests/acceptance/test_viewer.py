"""Display of our results in a radiologist's viewer: OHIF in a real browser with a real Orthanc."""

import json
import os
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.lungs.outline import find_lung_air, outline_lungs
from models.volume import Mask
from tests.fixtures.models.model_card import CARD
from tests.fixtures.orthanc_stack import SHARED, OrthancStack, needs_shared
from tests.fixtures.worker.measured import report_of
from worker.ct.reader import load
from worker.findings import Findings
from worker.outputs.dicom.source import source_of
from worker.outputs.encode import encode
from worker.phantom.chest import DEMO_LESIONS, PhantomLesion, PhantomSpec, chest_phantom
from worker.phantom.dicom import write_series
from worker.pipeline import find

OHIF_SHOT = SHARED / "tools" / "ohif-shot"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "lungspread" / "ohif"
SETUP_FAILED = 2

pytestmark = needs_shared


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A phantom's findings, stored in the PACS."""

    site: OrthancStack
    findings: Findings
    pictures: Path

    def open(self, *options: str) -> dict[str, Any]:
        """Open the study in OHIF and return the viewer's state."""
        picture = self.pictures / f"{'-'.join(options).strip('-') or 'seg'}.png"
        pacs = f"http://127.0.0.1:{self.site.http_port}"
        command = [str(OHIF_SHOT), self.findings.study_uid, str(picture), "--pacs", pacs, *options]
        environment = os.environ | {"OHIF_CACHE": str(CACHE)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=400)
        if done.returncode == SETUP_FAILED:
            pytest.skip(f"OHIF is not available: {done.stderr.strip()[-200:]}")
        return dict(json.loads(picture.with_suffix(".json").read_text()))


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrthancStack]:
    site = OrthancStack(folder=tmp_path_factory.mktemp("viewer"))
    site.start_pacs()
    yield site
    site.stop_pacs()


@pytest.fixture(scope="module")
def three_lesions(pacs: OrthancStack, tmp_path_factory: pytest.TempPathFactory) -> Shown:
    return stored(pacs, tmp_path_factory.mktemp("three"), DEMO_LESIONS, seed=1)


@pytest.fixture(scope="module")
def no_lesion(pacs: OrthancStack, tmp_path_factory: pytest.TempPathFactory) -> Shown:
    return stored(pacs, tmp_path_factory.mktemp("none"), (), seed=2)


def stored(site: OrthancStack, folder: Path, lesions: tuple[PhantomLesion, ...], seed: int) -> Shown:
    """Store a phantom's CT, and the SEG and SR of its true lesions, in the PACS."""
    spec = PhantomSpec(seed=seed, shape=(52, 128, 128), spacing_mm=(5.0, 2.7, 2.7), lesions=lesions)
    files = write_series(folder / "ct", chest_phantom(spec))
    series = load(files)
    mask = Mask(voxels=truth(series.volume.affine, series.volume.hu.shape, lesions), affine=series.volume.affine)
    findings = find(series, mask, outline_lungs(find_lung_air(series.volume)), CARD, f"{seed:064x}")
    for name, document in encode(report_of(findings), source_of(series), ("seg", "sr")).items():
        files.append(folder / f"{name}.dcm")
        document.save_as(files[-1], enforce_file_format=True)
    for file in files:
        url = f"http://127.0.0.1:{site.http_port}/instances"
        urllib.request.urlopen(url, file.read_bytes(), timeout=30).close()
    return Shown(site=site, findings=findings, pictures=folder)


def truth(affine: NDArray[np.float64], shape: tuple[int, ...], lesions: tuple[PhantomLesion, ...]) -> NDArray[np.bool_]:
    """Return the voxels whose centre lies in a lesion."""
    points = np.moveaxis(np.indices(shape), 0, -1) @ affine[:3, :3].T + affine[:3, 3]
    inside = np.zeros(shape, bool)
    for lesion in lesions:
        x, y, z = np.moveaxis(points - lesion.centre_mm, -1, 0)
        cos, sin = np.cos(lesion.turn_rad), np.sin(lesion.turn_rad)
        rotated = (cos * x + sin * y, cos * y - sin * x, z)
        inside |= sum((d / half) ** 2 for d, half in zip(rotated, lesion.half_axes_mm, strict=True)) <= 1
    return inside


def test_the_viewer_holds_exactly_the_voxels_of_the_mask(three_lesions: Shown) -> None:
    shown = three_lesions.open()

    (segmentation,) = shown["state"]["segmentations"]
    lesions = [finding.lesion for finding in three_lesions.findings.findings]
    assert len(lesions) == 3
    assert segmentation["voxels"]["counts"] == {str(one.number): int(one.voxels.sum()) for one in lesions}
    with_lesion = {one.corner[0] + offset for one in lesions for offset in range(len(one.voxels))}
    assert segmentation["voxels"]["slices"] == len(with_lesion)
    assert [segment["label"] for segment in segmentation["segments"]] == [
        f"Lesion {one.number} (research)" for one in lesions
    ]


def test_the_viewer_draws_both_axes_of_each_lesion_on_their_slice(three_lesions: Shown) -> None:
    shown = three_lesions.open("--load", "SR", "--panel", "trackedMeasurements")

    drawn = shown["state"]["measurements"]
    assert {one["tool"] for one in drawn} == {"Bidirectional"}
    for one, finding in zip(drawn, three_lesions.findings.findings, strict=True):
        measured = finding.measurement
        length, width = (float(text.split()[1]) for text in one["text"]["primary"])  # "L: 36.0 mm", "W: 30.1 mm"
        assert length == pytest.approx(measured.long_axis.length_mm, abs=0.051)
        assert width == pytest.approx(measured.short_axis.length_mm, abs=0.051)
        sop_instance_uid = three_lesions.findings.frames[measured.long_axis.slice_index].sop_instance_uid
        assert one["frame"].startswith(f"{sop_instance_uid}/")


def test_the_viewer_shows_a_report_without_lesions_as_text_and_offers_no_hydration(no_lesion: Shown) -> None:
    shown = no_lesion.open("--load", "SR", "--no-hydrate", "--prompt", "5")

    (report,) = [one for one in shown["state"]["displaySets"] if one["modality"] == "SR"]
    assert report["text"] == "Lung lesions SR (research)"
    assert not report["rehydratable"]
    assert shown["state"]["segmentations"] == shown["state"]["measurements"] == []
    assert not [line for line in shown["console"] if line.startswith(("error", "uncaught"))]
