from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from tests.fixtures.worker.analysed_series import TWO_SPACINGS
from worker.outputs.dicom.seg import COLOURS, encode_seg
from worker.outputs.dicom.source import plain_header, source_of

BIN = Path(sys.executable).parent

Made = Any  # an Analysed of tests/fixtures/worker/analysed_series.py
Analyse = Callable[..., Made]

ONE = [np.s_[3:7, 5:12, 4:20]]
FIVE = [np.s_[1:4, 2:8, 2:9], np.s_[1:3, 20:24, 5:9], np.s_[5:9, 12:15, 20:30], np.s_[8:9, 30:31, 3:4],
        np.s_[6:11, 33:38, 30:34]]  # fmt: skip
TOUCHING = [np.s_[3:7, 5:12, 4:12], np.s_[3:7, 5:12, 12:20], np.s_[7:9, 5:12, 4:12]]
STAIRS = [[np.s_[2:4, 5:9, 4:20], np.s_[4:6, 8:15, 10:14], np.s_[6:7, 14:30, 13:14]]]
FIRST_AND_LAST = [np.s_[0:2, 0:4, 0:4], np.s_[10:12, 36:40, 32:36]]

SCANS = {
    "head first": {},
    "feet first": {"orientation": (-1, 0, 0, 0, 1, 0)},
    "prone": {"orientation": (-1, 0, 0, 0, -1, 0)},
    "upside down": {"orientation": (1, 0, 0, 0, -1, 0)},
    "last slice first": {"last_slice_first": True},
    "pixels that are not square": {"spacing_mm": (3.0, 0.6, 1.1)},
    "slices that overlap": {"spacing_mm": (0.7, 0.75, 0.75)},
}


def saved(case: Made, folder: Path) -> Path:
    seg = encode_seg(case.findings, source_of(case.series))
    assert seg is not None
    seg.save_as(folder / "seg.dcm", enforce_file_format=True)
    return folder / "seg.dcm"


def read_by_dcmqi(file: Path, folder: Path, affine: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """The segment number of each voxel as dcmqi reads it, resampled to our grid by origin, spacing and direction."""
    out = folder / "dcmqi"
    out.mkdir()
    command = [BIN / "segimage2itkimage", "--inputDICOM", file, "--outputDirectory", out, "-t", "nrrd"]
    subprocess.run([str(part) for part in command], check=True, capture_output=True)
    labels = np.zeros(shape, np.uint8)
    for path in out.glob("*.nrrd"):
        image: Any = SimpleITK.ReadImage(str(path))
        voxels = np.argwhere(SimpleITK.GetArrayFromImage(image))
        assert len(voxels), "a segment without a voxel"
        axes = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
        points = voxels[:, ::-1] @ axes.T + image.GetOrigin()
        indices = (points - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T
        assert np.abs(indices - indices.round()).max() < 1e-3
        place = tuple(indices.round().astype(int).T)
        assert not labels[place].any(), "segments overlap"
        labels[place] = int(path.stem.split("-")[-1])
    return labels


@pytest.mark.parametrize("scan", SCANS.values(), ids=SCANS.keys())
@pytest.mark.parametrize(
    "boxes",
    [ONE, FIVE, TOUCHING, STAIRS, FIRST_AND_LAST],
    ids=["one", "five", "touching", "stairs", "first and last slice"],
)
def test_dcmqi_reads_exactly_the_voxels_of_the_mask_at_their_positions(
    analysed: Analyse, tmp_path: Path, boxes: list[Any], scan: dict[str, Any]
) -> None:
    case = analysed(boxes, **scan)

    volume = case.findings.volume
    assert np.array_equal(read_by_dcmqi(saved(case, tmp_path), tmp_path, volume.affine, volume.hu.shape), case.mask)


SHEARED = {"lean_mm": (0.0, 0.8, 0.0), "orientation": (1, 0, 0, 0, 0.955336, 0.29552)}


@pytest.mark.parametrize("scan", [*SCANS.values(), SHEARED], ids=[*SCANS.keys(), "tilted gantry"])
def test_each_frame_lies_where_its_source_image_lies(analysed: Analyse, tmp_path: Path, scan: dict[str, Any]) -> None:
    case = analysed(FIVE, **scan)

    seg = pydicom.dcmread(saved(case, tmp_path))

    sources = {image.SOPInstanceUID: image for image in map(pydicom.dcmread, case.ct_files)}
    slice_of = {uid: index for index, uid in enumerate(case.series.sop_instance_uids)}
    seen = np.zeros_like(case.mask)
    for frame, groups in zip(seg.pixel_array, seg.PerFrameFunctionalGroupsSequence, strict=True):
        source = sources[groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID]
        position = groups.PlanePositionSequence[0].ImagePositionPatient
        assert [float(v) for v in position] == [float(v) for v in source.ImagePositionPatient]
        seen[slice_of[source.SOPInstanceUID]] += frame * groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber
    assert np.array_equal(seen, case.mask)
    shared = seg.SharedFunctionalGroupsSequence[0]
    first = sources[case.series.sop_instance_uids[0]]
    assert shared.PlaneOrientationSequence[0].ImageOrientationPatient == first.ImageOrientationPatient
    assert shared.PixelMeasuresSequence[0].PixelSpacing == first.PixelSpacing


def test_the_spacing_between_slices_is_measured_along_their_normal(analysed: Analyse, tmp_path: Path) -> None:
    seg = pydicom.dcmread(saved(analysed(ONE, **SHEARED), tmp_path))

    normal = np.cross(SHEARED["orientation"][:3], SHEARED["orientation"][3:])
    spacing_mm = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SpacingBetweenSlices
    assert float(spacing_mm) == pytest.approx(2.5 + normal @ np.array(SHEARED["lean_mm"]), abs=1e-5)


# Images at slices 0 to 7, 9, 11 and 13 of the even stack; the second lesion lies between the images 9 and 11.
ON_IMAGES = [np.s_[5:12, 5:12, 4:20], np.s_[10:11, 30:33, 3:6]]


@pytest.mark.parametrize("scan", TWO_SPACINGS.values(), ids=TWO_SPACINGS.keys())
def test_a_segment_of_a_resampled_stack_is_on_the_original_images(
    analysed: Analyse, tmp_path: Path, scan: dict[str, Any]
) -> None:
    case = analysed(ON_IMAGES, **scan)

    seg = pydicom.dcmread(saved(case, tmp_path))

    sources = [pydicom.dcmread(file) for file in case.ct_files]
    number_of = {image.SOPInstanceUID: number for number, image in enumerate(sources)}
    seen = np.zeros((len(sources), *case.mask.shape[1:]), np.uint8)
    for frame, groups in zip(seg.pixel_array, seg.PerFrameFunctionalGroupsSequence, strict=True):
        number = number_of[groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID]
        position = groups.PlanePositionSequence[0].ImagePositionPatient
        assert [float(v) for v in position] == [float(v) for v in sources[number].ImagePositionPatient]
        seen[number] += frame * groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber
    expected = case.mask[[*range(8), 9, 11, 13]]
    expected[8, 30:33, 3:6] = 2
    assert np.array_equal(seen, expected)
    measures = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert "SpacingBetweenSlices" not in measures, "there is no one spacing"


def test_only_slices_with_a_lesion_become_frames(analysed: Analyse, tmp_path: Path) -> None:
    seg = pydicom.dcmread(saved(analysed(FIVE), tmp_path))

    assert seg.NumberOfFrames == sum(box[0].stop - box[0].start for box in FIVE)
    assert all(frame.any() for frame in seg.pixel_array)
    referenced = seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    assert len(referenced) == 12, "every segmented image is referenced"


def test_without_a_lesion_there_is_no_segmentation(analysed: Analyse) -> None:
    case = analysed([])

    assert encode_seg(case.findings, source_of(case.series)) is None


def test_a_lesion_keeps_number_and_colour_though_it_is_no_longer_the_largest(analysed: Analyse, tmp_path: Path) -> None:
    case = analysed([np.s_[3:7, 0:12, 0:36], np.s_[3:7, 20:30, 4:20]])
    first = pydicom.dcmread(saved(case, tmp_path)).SegmentSequence
    numbered = [
        replace(finding, lesion=replace(finding.lesion, number=number))
        for finding, number in zip(case.findings.findings, (4, 2), strict=True)
    ]
    later = replace(case, findings=replace(case.findings, findings=tuple(numbered)))

    seg = pydicom.dcmread(saved(later, tmp_path))

    smaller, largest = seg.SegmentSequence
    assert [smaller.SegmentNumber, largest.SegmentNumber] == [1, 2], "PS3.3 C.8.20.4: from 1, without gaps"
    assert [smaller.SegmentLabel, largest.SegmentLabel] == ["Lesion 2 (research)", "Lesion 4 (research)"]
    assert smaller.RecommendedDisplayCIELabValue == first[1].RecommendedDisplayCIELabValue
    voxels = {1: 0, 2: 0}
    for frame, groups in zip(seg.pixel_array, seg.PerFrameFunctionalGroupsSequence, strict=True):
        voxels[groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber] += int(frame.sum())
    assert voxels == {1: 4 * 10 * 16, 2: 4 * 12 * 36}


def test_twelve_lesions_have_twelve_colours() -> None:
    assert len(set(COLOURS)) == 12


def test_each_segment_has_type_site_and_algorithm(analysed: Analyse, tmp_path: Path) -> None:
    case = analysed([np.s_[3:7, 0:12, 0:36], np.s_[3:7, 20:30, 4:20]], spacing_mm=(2.5, 1.0, 1.0))

    large, small = pydicom.dcmread(saved(case, tmp_path)).SegmentSequence

    assert [large.SegmentNumber, small.SegmentNumber] == [1, 2]
    assert [large.SegmentLabel, small.SegmentLabel] == ["Lesion 1 (research)", "Lesion 2 (research)"]
    assert large.SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Neoplasm", "over 36 mm across"
    assert small.SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Nodule", "under 20 mm across"
    assert small.SegmentedPropertyCategoryCodeSequence[0].CodeValue == "49755003"
    assert small.AnatomicRegionSequence[0].CodeMeaning == "Lung"
    assert small.SegmentAlgorithmType == "AUTOMATIC"
    algorithm = small.SegmentationAlgorithmIdentificationSequence[0]
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("lung_tumour", "0.1.0")
    assert algorithm.AlgorithmFamilyCodeSequence[0].CodeMeaning == "Artificial Intelligence"
    assert "0123456789abcdef" * 4 in algorithm.AlgorithmParameters
    lesions = [finding.lesion for finding in case.findings.findings]
    assert [(s.TrackingID, s.TrackingUID) for s in (large, small)] == [
        (lesion.tracking_id, lesion.tracking_uid) for lesion in lesions
    ]
    assert large.RecommendedDisplayCIELabValue != small.RecommendedDisplayCIELabValue


def test_a_repeated_job_repeats_its_bytes(analysed: Analyse, tmp_path: Path) -> None:
    case = analysed(FIVE)

    first = saved(case, tmp_path).read_bytes()

    assert saved(case, tmp_path).read_bytes() == first


def test_the_document_belongs_to_the_patient_and_study_and_is_marked_as_research(
    analysed: Analyse, tmp_path: Path
) -> None:
    case = analysed(ONE)

    seg, ct = pydicom.dcmread(saved(case, tmp_path)), pydicom.dcmread(case.ct_files[0])

    for keyword in ("PatientName", "PatientID", "PatientSex", "StudyInstanceUID", "StudyDate", "AccessionNumber"):
        assert seg[keyword].value == ct[keyword].value, keyword
    assert seg.SeriesInstanceUID != ct.SeriesInstanceUID
    assert seg.SeriesNumber == 10031
    assert seg.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert seg.SeriesDescription == "Lung lesions SEG (research)"
    assert seg.ContentDescription == "Research, not for diagnosis"
    assert seg.ContentQualification == "RESEARCH"


def broken_header(image: Dataset) -> None:
    """A header as found in archives: a name without carets, invalid date and sex, missing and empty attributes."""
    image.PatientName = "ONE-WORD"
    image.add(pydicom.DataElement(0x00100030, "DA", "19.05.1950", validation_mode=0))
    image.add(pydicom.DataElement(0x00100040, "CS", "U"))
    image.add(pydicom.DataElement(0x00102160, "SH", "8"))
    image.ReferencedStudySequence = [Dataset()]
    image.ReferencedStudySequence[0].ReferencedSOPInstanceUID = "1.2.9"
    image.SliceThickness = None
    image.ContentDate = image.AcquisitionDate = ""
    image.SpecificCharacterSet = "ISO_IR 100"
    image.ImageOrientationPatient = [1, 0, 0, 0, 1, 1e-7 * image.InstanceNumber]
    for keyword in ("AccessionNumber", "StudyID", "Manufacturer", "SeriesNumber", "StudyTime"):
        del image[keyword]


def test_a_broken_header_is_copied_unchanged_without_warnings(analysed: Analyse, tmp_path: Path) -> None:
    case = analysed(ONE, change=broken_header)

    seg = pydicom.dcmread(saved(case, tmp_path))

    assert seg.PatientName == "ONE-WORD"
    assert seg.get_item("PatientBirthDate").value == b"19.05.1950"
    assert seg.get_item("PatientSex").value.strip() == b"U"
    assert seg.EthnicGroup == "8"
    assert seg.AccessionNumber == seg.StudyID == ""
    assert "ReferencedStudySequence" not in seg
    assert seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SliceThickness == 2.5
    assert (seg.ContentDate, seg.ContentTime, seg.SeriesNumber) == ("20260504", "093000", 10001)


def test_a_plain_header_has_no_patient_data(analysed: Analyse) -> None:
    header = plain_header(analysed(ONE).series.datasets[0])

    assert "SECRET" not in str(header)
    assert not any(header[keyword].value for keyword in ("PatientName", "PatientID", "AccessionNumber"))
