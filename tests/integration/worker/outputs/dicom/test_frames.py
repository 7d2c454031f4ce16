from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from dicom_node.identifiers import CT_IMAGES
from tests.fixtures.models.model_card import CARD
from tests.fixtures.worker.analysed_series import Analysed, Scan, analysed_from
from tests.fixtures.worker.measured import report_of
from tests.fixtures.worker.multi_frame import concatenation, converted, enhanced
from tests.fixtures.worker.reading import FIVE, everything, read_by_dcmqi, saved
from worker.outputs.json.write import findings_json
from worker.priors.files import PriorFiles
from worker.priors.read import read_labels, read_prior

MADE: dict[str, Callable[[list[Dataset]], list[Dataset]]] = {
    "enhanced": lambda images: [enhanced(images[::-1])],
    "a concatenation": lambda images: concatenation(images, slice(0, 5), slice(5, 12)),
    "legacy converted": lambda images: [converted(images)],
}
"""Ways to store the images of a scan as multi-frame images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """A scan of multi-frame images with five lesions, and its documents."""

    analysed: Analysed
    seg: Path
    sr: Path


@pytest.fixture(scope="module", params=MADE.values(), ids=list(MADE))
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Encoded:
    return encoded(request.param(Scan().images()), tmp_path_factory.mktemp("multi"))


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Encoded:
    """The same scan of single-frame images."""
    return encoded(Scan().images(), tmp_path_factory.mktemp("single"))


def encoded(images: list[Dataset], folder: Path) -> Encoded:
    analysed = analysed_from(images, folder / "ct", FIVE)
    return Encoded(analysed=analysed, **saved(analysed, folder))


def test_each_frame_of_the_segmentation_refers_to_the_frame_that_it_marks(case: Encoded) -> None:
    seg = pydicom.dcmread(case.seg)

    instances = {instance.SOPInstanceUID: instance for instance in map(pydicom.dcmread, case.analysed.ct_files)}
    seen = np.zeros_like(case.analysed.mask)
    for frame, groups in zip(seg.pixel_array, seg.PerFrameFunctionalGroupsSequence, strict=True):
        (source,) = groups.DerivationImageSequence[0].SourceImageSequence
        instance = instances[source.ReferencedSOPInstanceUID]
        assert source.ReferencedSOPClassUID == instance.SOPClassUID
        plane = instance.PerFrameFunctionalGroupsSequence[source.ReferencedFrameNumber - 1].PlanePositionSequence[0]
        assert groups.PlanePositionSequence[0].ImagePositionPatient == plane.ImagePositionPatient
        height = plane.ImagePositionPatient[2] - case.analysed.series.volume.affine[2, 3]
        index = round(height / case.analysed.series.volume.spacing[0])
        seen[index] += frame * groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber
    assert np.array_equal(seen, case.analysed.mask)


def test_highdicom_finds_the_segments_of_each_source_frame(case: Encoded) -> None:
    seg = highdicom.seg.segread(case.seg)

    for file in case.analysed.ct_files:
        instance = pydicom.dcmread(file)
        labels = seg.get_pixels_by_source_frame(
            source_sop_instance_uid=instance.SOPInstanceUID,
            source_frame_numbers=list(range(1, instance.NumberOfFrames + 1)),
            combine_segments=True,
            assert_missing_frames_are_empty=True,
        )
        for number, plane in enumerate(labels, start=1):
            index = [(frame.sop_instance_uid, frame.number) for frame in case.analysed.series.frames].index(
                (instance.SOPInstanceUID, number)
            )
            assert np.array_equal(plane, case.analysed.mask[index])


def test_the_documents_list_each_instance_once(case: Encoded) -> None:
    seg, sr = pydicom.dcmread(case.seg), pydicom.dcmread(case.sr)
    instances = [(file.SOPClassUID, file.SOPInstanceUID) for file in map(pydicom.dcmread, case.analysed.ct_files)]

    evidence = sr.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    listed = [
        seg.SourceImageSequence,
        seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence,
        *(each.ReferencedSOPSequence for each in evidence if each.SeriesInstanceUID == case.analysed.series.series_uid),
    ]
    assert len(listed) == 3
    for references in listed:
        assert sorted((each.ReferencedSOPClassUID, each.ReferencedSOPInstanceUID) for each in references) == sorted(
            instances
        )
        assert not any("ReferencedFrameNumber" in each for each in references)


def test_the_report_refers_to_the_frames_of_the_axes(case: Encoded) -> None:
    sr = pydicom.dcmread(case.sr)

    references = [item.ReferencedSOPSequence[0] for item in everything(sr) if item.ValueType == "IMAGE"]
    frames = [
        (each.ReferencedSOPInstanceUID, each.ReferencedFrameNumber)
        for each in references
        if each.ReferencedSOPClassUID in CT_IMAGES
    ]
    known = [(frame.sop_instance_uid, frame.number) for frame in case.analysed.series.frames]
    measured = [finding.measurement for finding in case.analysed.findings.findings]
    slices = {axis.slice_index for each in measured for axis in (each.long_axis, each.short_axis)}
    assert {known.index(frame) for frame in frames} == slices | {len(known) // 2}, "axes, and the middle of the scan"


def test_dcmqi_reads_the_report_of_the_single_frames(case: Encoded, single: Encoded) -> None:
    assert read_by_dcmqi(case.sr)["Measurements"] == read_by_dcmqi(single.sr)["Measurements"]


def test_the_json_has_the_frame_of_each_axis(case: Encoded) -> None:
    content = findings_json(report_of(case.analysed.findings))

    assert content.slices == 12
    for lesion, finding in zip(content.lesions, case.analysed.findings.findings, strict=True):
        frame = case.analysed.series.frames[finding.measurement.long_axis.slice_index]
        assert lesion.long_axis.sop_instance_uid == frame.sop_instance_uid
        assert lesion.long_axis.frame_number == frame.number is not None


def test_the_documents_are_read_back_as_a_prior(case: Encoded) -> None:
    assert np.array_equal(read_labels(pydicom.dcmread(case.seg), case.analysed.series.frames), case.analysed.mask)
    for ct in (tuple(case.analysed.ct_files), ()):
        prior = read_prior(PriorFiles(ct=ct, documents=(case.seg, case.sr)), CARD)
        assert prior.series_uid == case.analysed.series.series_uid
        assert prior.slice_mm == pytest.approx(case.analysed.series.volume.spacing[0])
        for lesion, finding in zip(prior.lesions, case.analysed.findings.findings, strict=True):
            assert lesion.tracking_uid == finding.lesion.tracking_uid
            assert lesion.outline is not None
            assert np.array_equal(lesion.outline.voxels, finding.lesion.voxels)
            index = case.analysed.series.frames.index(lesion.image) if lesion.image else None
            middle = finding.lesion.corner[0] + (finding.lesion.voxels.shape[0] - 1) / 2
            assert index is None if not ct else abs((index or 0) - middle) <= 0.501


def test_the_documents_conform_to_the_standard(case: Encoded) -> None:
    dciodvfy = shutil.which("dciodvfy")
    if dciodvfy is None:
        pytest.skip("dciodvfy of dicom3tools is not installed")

    found = subprocess.run([dciodvfy, "-new", case.seg], check=False, capture_output=True, text=True).stderr

    assert "Segmentation" in found
    assert "Error" not in found


def test_a_repeated_job_repeats_its_bytes(case: Encoded, tmp_path: Path) -> None:
    again = saved(case.analysed, tmp_path)

    assert [file.read_bytes() for file in again.values()] == [case.seg.read_bytes(), case.sr.read_bytes()]
