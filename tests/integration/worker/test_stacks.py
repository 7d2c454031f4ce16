"""One chest with spheres of known place and size, scanned with tilted gantries, obliquely, and at varying distances."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray

from models.lungs.lungs import Lobe
from models.volume import Volume
from tests.fixtures.ct_image import ct_image
from tests.fixtures.models.lung_phantoms import TILTED_MM, tilted
from tests.fixtures.models.threshold_segmenter import ThresholdSegmenter
from worker.phantom.chest import PhantomLesion, PhantomSpec, chest_phantom
from worker.pipeline import Analysis, AnalysisRequest, analyse

LARGE = PhantomLesion(centre_mm=(82.0, 14.0, -62.0), half_axes_mm=(13.0, 13.0, 13.0))
SMALL = PhantomLesion(centre_mm=(-78.0, -12.0, 64.0), half_axes_mm=(10.0, 10.0, 10.0))
LOBES = {LARGE: Lobe.LEFT_LOWER, SMALL: Lobe.RIGHT_UPPER}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """How the chest is scanned. without: remainders by four of the slices that the upper half of the scan lacks."""

    tilt_deg: float = 0.0
    is_gantry: bool = True
    without: tuple[int, ...] = ()

    def write(self, chest: Volume, folder: Path) -> list[Path]:
        """Write the images, numbered from the first to the last that there is."""
        volume = tilted(chest, self.tilt_deg, is_gantry=self.is_gantry)
        row, column = volume.affine[:3, 2] / TILTED_MM, volume.affine[:3, 1] / TILTED_MM
        kept = [at for at in range(len(volume.hu)) if at < len(volume.hu) // 2 or at % 4 not in self.without]
        files = []
        for number, at in enumerate(kept, start=1):
            stored = np.rint(volume.hu[at]).astype(np.int16)
            position = volume.affine[:3, 3] + at * volume.affine[:3, 0]
            pixel_mm = (TILTED_MM, TILTED_MM)
            image = ct_image(stored, number, position, orientation=(*row, *column), pixel_mm=pixel_mm)
            image.StudyDate, image.StudyTime, image.SliceThickness = "20260504", "093000", 3
            files.append(folder / f"{number:03d}.dcm")
            image.save_as(files[-1], enforce_file_format=True)
        return files


SCANS = {
    "gantry tilted by -30 degrees": Scan(tilt_deg=-30.0),
    "oblique by 20 degrees": Scan(tilt_deg=20.0, is_gantry=False),
    "6 mm above, 3 mm below": Scan(without=(1, 3)),
    "the same, gantry tilted by 10 degrees": Scan(tilt_deg=10.0, without=(1, 3)),
}


@pytest.fixture(scope="module")
def chest() -> Volume:
    spec = PhantomSpec(
        spacing_mm=(2.0, 1.8, 1.8), shape=(130, 192, 192), lesions=(LARGE, SMALL), noise_hu=5.0,
        vessels_per_lung=0,
    )  # fmt: skip
    phantom = chest_phantom(spec)
    return Volume(hu=phantom.hu, affine=phantom.affine)


@pytest.mark.parametrize("name", SCANS)
def test_every_stack_gives_the_true_place_and_size_of_the_lesions(name: str, chest: Volume, tmp_path: Path) -> None:
    scan = SCANS[name]
    files = scan.write(chest, tmp_path)
    request = AnalysisRequest(job_key="e" * 64, images_sha256="e" * 64, config_hash="r", outputs=("seg",))

    analysis = analyse(files, request, ThresholdSegmenter(lesions=(LARGE, SMALL)), tmp_path, lambda _: None)

    found = analysis.report.findings.findings
    assert len(found) == 2
    slice_mm = TILTED_MM * (2 if scan.without else 1)
    for finding, truth in zip(found, (LARGE, SMALL), strict=True):
        assert finding.lesion.centroid_mm == pytest.approx(truth.centre_mm, abs=0.8)
        assert finding.measurement.volume_ml == pytest.approx(truth.volume_ml, rel=0.12)
        assert finding.measurement.long_axis.length_mm == pytest.approx(truth.long_axis_mm, abs=TILTED_MM)
        assert finding.measurement.short_axis.length_mm == pytest.approx(truth.short_axis_mm, abs=TILTED_MM)
        assert finding.location is not None
        assert finding.location.lobe is LOBES[truth]
        assert finding.location.wall_mm == pytest.approx(distance_to_wall_mm(truth), abs=4.0)
        middle = axis_middle_mm(analysis, files, finding.measurement.long_axis)
        assert middle == pytest.approx(truth.centre_mm, abs=slice_mm)
        drawn = seg_centre_mm(tmp_path / "seg.dcm", finding.lesion.number)
        assert drawn == pytest.approx(truth.centre_mm, abs=slice_mm / 2)
    written = json.loads((tmp_path / "findings.json").read_text())["resampling"]
    assert (written is not None) == bool(scan.without)


def distance_to_wall_mm(lesion: PhantomLesion) -> float:
    """From the sphere to the ellipsoid of its lung (worker/phantom/chest.py), along rays from the sphere's centre."""
    at = np.array(lesion.centre_mm) - (math.copysign(76.0, lesion.centre_mm[0]), -2.0, -12.0)
    axes = np.array((60.0, 88.0, 128.0))
    u, v = np.meshgrid(np.linspace(0, 2 * np.pi, 721), np.linspace(0, np.pi, 361))
    surface = np.stack([np.cos(u) * np.sin(v), np.sin(u) * np.sin(v), np.cos(v)], -1) * axes
    outer = surface[surface[..., 0] * at[0] > 0] if abs(at[0]) > 1 else surface.reshape(-1, 3)
    return float(np.linalg.norm(outer - at, axis=1).min()) - lesion.half_axes_mm[0]


def axis_middle_mm(analysis: Analysis, files: list[Path], axis: Any) -> NDArray[np.float64]:  # noqa: ANN401
    """The middle of an axis from the pixels on its image, as a viewer draws it."""
    findings = analysis.report.findings
    uid = findings.frames[findings.volume.image_at(axis.slice_index)].sop_instance_uid
    image = next(ct for ct in map(pydicom.dcmread, files) if ct.SOPInstanceUID == uid)
    column, row = np.mean([axis.start_px, axis.end_px], axis=0)
    cosines = np.array(image.ImageOrientationPatient, float)
    return np.asarray(
        np.array(image.ImagePositionPatient, float)
        + cosines[:3] * column * image.PixelSpacing[1]
        + cosines[3:] * row * image.PixelSpacing[0]
    )


def seg_centre_mm(file: Path, number: int) -> NDArray[np.float64]:
    """The middle between the first and the last frame of a segment, of the means of their voxels."""
    seg = pydicom.dcmread(file)
    shared = seg.SharedFunctionalGroupsSequence[0]
    cosines = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float)
    row_mm, column_mm = shared.PixelMeasuresSequence[0].PixelSpacing
    centres, areas = [], []
    for frame, groups in zip(seg.pixel_array, seg.PerFrameFunctionalGroupsSequence, strict=True):
        if groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber == number:
            rows, columns = np.nonzero(frame)
            position = np.array(groups.PlanePositionSequence[0].ImagePositionPatient, float)
            centres.append(position + cosines[:3] * columns.mean() * column_mm + cosines[3:] * rows.mean() * row_mm)
            areas.append(len(rows))
    return np.average(centres, axis=0, weights=areas)
