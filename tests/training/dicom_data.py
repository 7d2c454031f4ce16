"""Writes small folders of DICOM for training: a CT, and documents that outline places in it which are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage, generate_uid

from models.segmenter import ModelCard
from models.volume import Mask
from worker.demo.phantom import Phantom, PhantomSpec, chest_phantom
from worker.demo.phantom_dicom import write_series
from worker.findings import Finding, Findings
from worker.folder import dicom_files
from worker.lesions import find_lesions
from worker.load import LoadedSeries, load
from worker.measurements import measure
from worker.outputs.seg import encode_seg

Bools = NDArray[np.bool_]
CARD = ModelCard(
    name="lung_tumour",
    version="0.1.0",
    weights_file="none.safetensors",
    weights_sha256="0123456789abcdef" * 4,
    licence="none",
    threshold=0.5,
    smallest_lesion_ml=0.0,
)


@cache
def chest(seed: int = 1) -> Phantom:
    """A coarse chest of 10 slices without a lesion."""
    return chest_phantom(
        PhantomSpec(seed=seed, shape=(10, 48, 64), spacing_mm=(12.0, 5.0, 5.5), lesions=(), vessels_per_lung=0)
    )


def write_ct(folder: Path, seed: int = 1, patient_id: str = "PH-0001", *, prone: bool = False) -> LoadedSeries:
    """Write the chest as a CT series; prone: the same anatomy, with rows and columns stored the other way round."""
    for path in write_series(folder / "ct", chest(seed)):
        image = pydicom.dcmread(path)
        image.PatientID, image.PatientName = patient_id, "SECRET^NAME"
        if prone:
            _store_reversed(image)
        image.save_as(path)
    return load(dicom_files(folder / "ct"))


def _store_reversed(image: Dataset) -> None:
    rows, columns = image.PixelSpacing
    x, y, z = image.ImagePositionPatient
    image.ImagePositionPatient = [x + (image.Columns - 1) * columns, y + (image.Rows - 1) * rows, z]
    image.ImageOrientationPatient = [-1, 0, 0, 0, -1, 0]
    stored = np.frombuffer(image.PixelData, "<u2").reshape(image.Rows, image.Columns)
    image.PixelData = stored[::-1, ::-1].tobytes()


def write_own_seg(folder: Path, series: LoadedSeries, mask: Bools) -> Path:
    """Write a mask, on the grid of the series, as our own encoder does."""
    lesions = find_lesions(Mask(voxels=mask, affine=series.volume.affine), CARD, "a" * 64)
    findings = Findings(
        job_key="a" * 64,
        study_uid=series.study_uid,
        series_uid=series.series_uid,
        frame_of_reference_uid=series.frame_of_reference_uid,
        sop_instance_uids=series.sop_instance_uids,
        volume=series.volume,
        card=CARD,
        findings=tuple(Finding(lesion=lesion, measurement=measure(lesion, series.volume)) for lesion in lesions),
    )
    seg = encode_seg(findings, series.datasets)
    assert seg is not None
    seg.save_as(folder / "seg.dcm", enforce_file_format=True)
    return folder / "seg.dcm"


def write_seg(
    path: Path,
    series: LoadedSeries,
    segments: Mapping[str, Bools],
    kind: str = "BINARY",
    date: str = "20260601",
    types: Sequence[Code] = (),
) -> Path:
    """Write masks by label as another product would; types: of the segments, Tissue where not said."""
    pixels: NDArray = np.stack([mask.astype(np.uint8) for mask in segments.values()], -1)
    if kind == "LABELMAP":
        pixels = (pixels * np.arange(1, len(segments) + 1)).sum(-1).astype(np.uint8)
    seg = hd.seg.Segmentation(
        source_images=list(series.datasets),
        pixel_array=pixels.astype(np.float32) if kind == "FRACTIONAL" else pixels,
        segmentation_type=kind,
        segment_descriptions=[
            hd.seg.SegmentDescription(
                number,
                label,
                segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
                segmented_property_type=types[number - 1] if types else codes.SCT.Tissue,
                algorithm_type="MANUAL",
            )
            for number, label in enumerate(segments, start=1)
        ],
        series_instance_uid=generate_uid(),
        series_number=9,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="Reader",
        manufacturer_model_name="Workstation",
        software_versions="1",
        device_serial_number="1",
        content_date=date,
        content_time="120000",
    )
    seg.save_as(path)
    return path


def write_rtstruct(
    path: Path,
    series: LoadedSeries,
    regions: Mapping[str, Sequence[Sequence[tuple[float, float, float]]]],
    kind: str = "CLOSED_PLANAR",
    interpreted: str = "",
) -> Path:
    """Write regions by name, each of contours of (slice, row, column); fractions are between voxel centres."""
    structures = _structures(series)
    for number, (name, contours) in enumerate(regions.items(), start=1):
        region, drawn, observed = Dataset(), Dataset(), Dataset()
        region.ROINumber, region.ROIName, region.ROIGenerationAlgorithm = number, name, "MANUAL"
        region.ReferencedFrameOfReferenceUID = series.frame_of_reference_uid
        drawn.ReferencedROINumber = observed.ReferencedROINumber = observed.ObservationNumber = number
        drawn.ContourSequence = [_contour(contour, kind, series) for contour in contours]
        observed.RTROIInterpretedType, observed.ROIInterpreter = interpreted, ""
        structures.StructureSetROISequence.append(region)
        structures.ROIContourSequence.append(drawn)
        structures.RTROIObservationsSequence.append(observed)
    structures.save_as(path, enforce_file_format=True)
    return path


def _structures(series: LoadedSeries) -> Dataset:
    first = series.datasets[0]
    structures = Dataset()
    structures.file_meta = FileMetaDataset()
    structures.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    structures.SOPClassUID, structures.SOPInstanceUID = RTStructureSetStorage, generate_uid()
    structures.StudyInstanceUID, structures.SeriesInstanceUID = series.study_uid, generate_uid()
    structures.Modality, structures.PatientID, structures.PatientName = "RTSTRUCT", first.PatientID, "SECRET^NAME"
    structures.StructureSetLabel, structures.StructureSetDate, structures.StructureSetTime = "RT", "20260601", "1200"
    ct, study, frame = Dataset(), Dataset(), Dataset()
    ct.SeriesInstanceUID, study.RTReferencedSeriesSequence = series.series_uid, [ct]
    frame.FrameOfReferenceUID, frame.RTReferencedStudySequence = series.frame_of_reference_uid, [study]
    structures.ReferencedFrameOfReferenceSequence = [frame]
    structures.StructureSetROISequence, structures.ROIContourSequence = [], []
    structures.RTROIObservationsSequence = []
    return structures


def _contour(points: Sequence[tuple[float, float, float]], kind: str, series: LoadedSeries) -> Dataset:
    places = np.array(points, float) @ series.volume.affine[:3, :3].T + series.volume.affine[:3, 3]
    contour = Dataset()
    contour.ContourGeometricType, contour.NumberOfContourPoints = kind, len(points)
    contour.ContourData = [f"{value:.4f}" for value in places.ravel()]
    return contour
