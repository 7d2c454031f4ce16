from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from models.segmenter import ModelCard
from models.volume import Mask
from tests.worker.phantom_course import phantom_course
from worker.demo.course import write_visit
from worker.findings import Finding, Findings
from worker.lesions import find_lesions
from worker.load import LoadedSeries, load
from worker.measurements import measure

JOB_KEY = "a" * 64
CARD = ModelCard(
    name="lung_tumour",
    version="0.1.0",
    weights_file="none.safetensors",
    weights_sha256="0123456789abcdef" * 4,
    licence="none",
    threshold=0.5,
    smallest_lesion_ml=0.0,
)

Box = tuple[slice, slice, slice]
"""A lesion, or a part of one, as a box in the volume, axes (slice, row, column)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """The geometry of a small CT series."""

    shape: tuple[int, int, int] = (12, 40, 36)
    spacing_mm: tuple[float, float, float] = (2.5, 0.75, 0.75)
    orientation: tuple[float, ...] = (1, 0, 0, 0, 1, 0)
    lean_mm: tuple[float, float, float] = (0, 0, 0)
    """What each slice is shifted against the one below, besides along their normal."""
    first_position_mm: tuple[float, float, float] = (-13.0, -15.0, -101.25)
    last_slice_first: bool = False

    def images(self) -> list[Dataset]:
        """One data set per slice, in the order in which a scanner numbers them."""
        hu = np.random.default_rng(5).normal(-800, 60, self.shape).round().astype(np.int16)
        row, column = np.array(self.orientation[:3]), np.array(self.orientation[3:])
        step = np.cross(row, column) * self.spacing_mm[0] + self.lean_mm
        heights = range(self.shape[0])
        return [
            self._image(number, np.array(self.first_position_mm) + height * step, hu[height])
            for number, height in enumerate(reversed(heights) if self.last_slice_first else heights, start=1)
        ]

    def _image(self, number: int, position: NDArray[np.float64], hu: NDArray[np.int16]) -> Dataset:
        image = Dataset()
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.SOPClassUID, image.Modality, image.ImageType = CTImageStorage, "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
        image.StudyInstanceUID, image.SeriesInstanceUID, image.FrameOfReferenceUID = "1.2.1", "1.2.2", "1.2.3"
        image.SOPInstanceUID, image.InstanceNumber = f"1.2.4.{number}", number
        image.StudyID, image.SeriesNumber, image.AcquisitionNumber, image.AccessionNumber = "1", 3, 1, "A1"
        image.StudyDate = image.SeriesDate = image.AcquisitionDate = image.ContentDate = "20260504"
        image.StudyTime = image.SeriesTime = image.AcquisitionTime = image.ContentTime = "093000"
        image.PatientName, image.PatientID, image.PatientBirthDate, image.PatientSex = "SECRET^NAME", "S1", "", "F"
        image.ReferringPhysicianName, image.Manufacturer, image.KVP = "", "Scanner", 120
        image.BodyPartExamined, image.PatientPosition, image.PositionReferenceIndicator = "CHEST", "HFS", ""
        image.SliceThickness, image.PixelSpacing = self.spacing_mm[0], list(self.spacing_mm[1:])
        image.ImagePositionPatient = [round(float(value), 6) for value in position]
        image.ImageOrientationPatient = list(self.orientation)
        image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
        image.Rows, image.Columns = hu.shape
        image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 16, 15, 1
        image.RescaleSlope, image.RescaleIntercept, image.RescaleType = 1, 0, "HU"
        image.PixelData = hu.tobytes()
        return image


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysed:
    """A series, its files, and findings whose voxels are known."""

    ct_files: list[Path]
    series: LoadedSeries
    findings: Findings
    mask: NDArray[np.uint8]
    """The number of the lesion of each voxel, on the volume's grid."""


Analyse = Callable[..., Analysed]


@pytest.fixture
def analysed(tmp_path: Path) -> Analyse:
    """Write a scan (`Scan`'s fields as keywords), load it, and find these lesions in it."""

    def analyse(
        lesions: Sequence[Box | list[Box]],
        change: Callable[[Dataset], object] = lambda _: None,
        **scan: Any,  # noqa: ANN401  (the fields of Scan)
    ) -> Analysed:
        folder = tmp_path / "ct"
        folder.mkdir(exist_ok=True)
        files = []
        for image in Scan(**scan).images():
            change(image)
            files.append(folder / f"{image.InstanceNumber:03d}.dcm")
            image.save_as(files[-1], enforce_file_format=True)
        series = load(files)
        mask = np.zeros(series.volume.hu.shape, np.uint8)
        for number, lesion in enumerate(lesions, start=1):
            for box in lesion if isinstance(lesion, list) else [lesion]:
                mask[box] = number
        return Analysed(ct_files=files, series=series, findings=_findings(series, mask), mask=mask)

    return analyse


def _findings(series: LoadedSeries, mask: NDArray[np.uint8]) -> Findings:
    return Findings(
        job_key=JOB_KEY,
        study_uid=series.study_uid,
        series_uid=series.series_uid,
        frame_of_reference_uid=series.frame_of_reference_uid,
        sop_instance_uids=series.sop_instance_uids,
        volume=series.volume,
        card=CARD,
        findings=tuple(_finding(series, mask == number, number) for number in range(1, int(mask.max()) + 1)),
    )


def _finding(series: LoadedSeries, voxels: NDArray[np.bool_], number: int) -> Finding:
    # Each box is searched for alone: lesions that touch would otherwise be one.
    (lesion,) = find_lesions(Mask(voxels=voxels, affine=series.volume.affine), CARD, f"{number}{JOB_KEY[1:]}")
    lesion = replace(lesion, number=number, tracking_id=f"lesion-{number}")
    return Finding(lesion=lesion, measurement=measure(lesion, series.volume))


@pytest.fixture(scope="session")
def course_files(tmp_path_factory: pytest.TempPathFactory) -> list[list[Path]]:
    """The files of each of the phantom course's five scans; they take half a minute to generate."""
    return [write_visit(tmp_path_factory.mktemp("visit"), point.visit) for point in phantom_course()]
