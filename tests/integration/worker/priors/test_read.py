from __future__ import annotations

import itertools
import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
import pytest
import SimpleITK
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as standard
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from tests.fixtures.models.model_card import CARD
from tests.fixtures.worker.analysed_series import STORED_SCANS, TWO_SPACINGS
from tests.fixtures.worker.described import LUNGS, described
from tests.fixtures.worker.five_compared import MERGED_UID, VANISHED_UID, compared
from tests.fixtures.worker.make_comparisons import alone
from tests.fixtures.worker.measured import report_of
from tests.fixtures.worker.reading import BIN, FIVE, ONE, Made, saved
from worker.findings import Finding
from worker.follow_up.comparison import ComparisonStatus, Origin
from worker.follow_up.prior import Prior, PriorLesion
from worker.lesions.uncertainty import sizes_of
from worker.outputs.dicom.source import source_of
from worker.outputs.dicom.sr.report import encode_rejection
from worker.priors.files import PriorFiles
from worker.priors.lung_mask import write_lungs
from worker.priors.read import PriorUnreadable, read_prior
from worker.priors.seg import read_outlines
from worker.recist.timepoints import State
from worker.report import Report

Analyse = Callable[..., Made]


def read(made: Made, folder: Path, *documents: Path, report: Report | None = None, ct: bool = True) -> Prior:
    files = saved(made, folder, report=report)
    files_of_ct = tuple(made.ct_files) if ct else ()
    return read_prior(PriorFiles(ct=files_of_ct, documents=(*files.values(), *documents)), CARD)


def by_uid(prior: Prior) -> dict[str, PriorLesion]:
    found = {lesion.tracking_uid: lesion for lesion in prior.lesions}
    assert len(found) == len(prior.lesions)
    return found


def outline_points_mm(lesion: PriorLesion) -> set[tuple[float, ...]]:
    """The voxel centres of an outline, rounded to a tenth of a millimetre."""
    assert lesion.outline
    indices = np.argwhere(lesion.outline.voxels)
    points = indices @ lesion.outline.affine[:3, :3].T + lesion.outline.affine[:3, 3]
    return {tuple(float(value) + 0.0 for value in point) for point in points.round(1)}


def true_points_mm(made: Made, voxels: Any) -> set[tuple[float, ...]]:  # noqa: ANN401
    affine = made.findings.volume.affine
    points = np.argwhere(voxels) @ affine[:3, :3].T + affine[:3, 3]
    return {tuple(float(value) + 0.0 for value in point) for point in points.round(1)}


def uids_of(made: Made) -> list[str]:
    return [finding.lesion.tracking_uid for finding in made.findings.findings]


@pytest.mark.parametrize("scan", STORED_SCANS.values(), ids=STORED_SCANS.keys())
@pytest.mark.parametrize("ct", [True, False], ids=["with CT", "without CT"])
def test_outlines_are_read_back_at_their_position(
    analysed: Analyse, tmp_path: Path, scan: dict[str, Any], ct: bool
) -> None:
    made = analysed(FIVE, **scan)

    lesions = by_uid(read(made, tmp_path, ct=ct))

    assert list(lesions) == uids_of(made)
    for number, uid in enumerate(uids_of(made), start=1):
        assert outline_points_mm(lesions[uid]) == true_points_mm(made, made.mask == number)


# Images at slices 0 to 7, 9, 11 and 13 of the even stack; a lesion reaches from image to image, a hole is within one.
AMONG_IMAGES = [np.s_[3:8, 5:12, 4:20], np.s_[9:12, 20:30, 5:9], np.s_[6:14, 33:38, 30:34]]


@pytest.mark.parametrize("scan", TWO_SPACINGS.values(), ids=TWO_SPACINGS.keys())
@pytest.mark.parametrize("ct", [True, False], ids=["with CT", "without CT"])
def test_outlines_on_images_at_varying_distances_are_solid(
    analysed: Analyse, tmp_path: Path, scan: dict[str, Any], ct: bool
) -> None:
    made = analysed(AMONG_IMAGES, **scan)

    lesions = by_uid(read(made, tmp_path, ct=ct))

    assert set(lesions) == set(uids_of(made))
    for number, uid in enumerate(uids_of(made), start=1):
        assert outline_points_mm(lesions[uid]) == true_points_mm(made, made.mask == number)
        sizes, truth = lesions[uid].sizes, made.findings.findings[number - 1].sizes
        assert sizes is not None
        assert sizes.spacing_mm == pytest.approx(made.findings.volume.spacing)
        assert replace(sizes, spacing_mm=truth.spacing_mm) == truth


@pytest.mark.parametrize("scan", TWO_SPACINGS.values(), ids=TWO_SPACINGS.keys())
def test_a_readers_outline_on_images_at_varying_distances_is_solid(
    analysed: Analyse, tmp_path: Path, scan: dict[str, Any]
) -> None:
    made = analysed(AMONG_IMAGES, **scan)
    shown = made.mask[[*range(8), 9, 11, 13]]
    seg_by_highdicom(made, shown, "BINARY").save_as(tmp_path / "reader.dcm")

    lesions = read(made, tmp_path, tmp_path / "reader.dcm").lesions

    found = [outline_points_mm(lesion) for lesion in lesions]
    assert len(found) == 3
    for number in (1, 2, 3):
        assert true_points_mm(made, made.mask == number) in found


@pytest.mark.parametrize("scan", STORED_SCANS.values(), ids=STORED_SCANS.keys())
def test_a_lesion_has_the_image_through_its_centre(analysed: Analyse, tmp_path: Path, scan: dict[str, Any]) -> None:
    made = analysed(FIVE, **scan)

    prior = read(made, tmp_path, ct=True)

    for number, lesion in enumerate(prior.lesions, start=1):
        slices = np.argwhere(made.mask == number)[:, 0]
        image = made.findings.frames.index(lesion.image)
        assert abs(image - slices.mean()) <= 0.501, "the nearest image; either one for an even number of slices"
    assert [lesion.image for lesion in read(made, tmp_path, ct=False).lesions] == [None] * 5


@pytest.mark.parametrize("ct", [True, False], ids=["with CT", "without CT"])
def test_the_timeline_in_our_report_is_read_back(analysed: Analyse, tmp_path: Path, ct: bool) -> None:
    made = analysed(FIVE)

    prior = read(made, tmp_path, report=compared(described(made.findings)), ct=ct)

    lesions = by_uid(prior)
    first, second, third, fourth, fifth = uids_of(made)
    assert list(lesions) == [first, second, third, fourth, fifth, VANISHED_UID, MERGED_UID]
    assert [lesion.tracking_id for lesion in prior.lesions] == [f"lesion-{number}" for number in range(1, 8)]
    assert [lesion.state for lesion in prior.lesions] == [State.PRESENT] * 5 + [State.VANISHED, State.MERGED]
    assert lesions[MERGED_UID].merged_into == third
    assert lesions[fourth].split_from == third
    assert [lesion.mass_g for lesion in prior.lesions] == [1.5171 + order for order in range(5)] + [None] * 2
    for absent in (lesions[VANISHED_UID], lesions[MERGED_UID]):
        assert (absent.outline, absent.sizes) == (None, None)
    assert prior.origin is Origin.OURS


@pytest.mark.parametrize("ct", [True, False], ids=["with CT", "without CT"])
def test_sizes_are_taken_from_the_report_and_not_measured_again(analysed: Analyse, tmp_path: Path, ct: bool) -> None:
    made = analysed(FIVE)
    report = compared(made.findings)
    findings = report.findings
    first = findings.findings[0]
    larger = replace(first, measurement=replace(first.measurement, volume_ml=7.7777))
    findings = replace(findings, findings=(larger, *findings.findings[1:]))

    prior = read(made, tmp_path, report=replace(report, findings=findings), ct=ct)

    for lesion, finding in zip(prior.lesions, findings.findings, strict=False):
        known = sizes_of(finding.lesion, finding.measurement, findings.volume)
        assert lesion.sizes is not None
        assert lesion.sizes.noise == pytest.approx(known.noise, abs=1e-6)
        assert replace(lesion.sizes, noise=known.noise) == known
    assert prior.lesions[0].sizes
    assert prior.lesions[0].sizes.volume_ml == 7.7777


def test_a_doubtful_lesion_has_outline_and_sizes(analysed: Analyse, tmp_path: Path) -> None:
    made = analysed(FIVE)
    report = compared(made.findings)
    first, *others = report.comparison.lesions
    doubtful = replace(first, observations=(replace(first.now, state=State.DOUBTFUL),))
    comparison = replace(report.comparison, lesions=(doubtful, *others))

    lesion = read(made, tmp_path, report=replace(report, comparison=comparison)).lesions[0]

    assert lesion.state is State.DOUBTFUL
    assert lesion.outline is not None
    assert lesion.sizes is not None


def test_lesions_of_a_report_without_comparison_are_present(analysed: Analyse, tmp_path: Path) -> None:
    made = analysed(FIVE)

    for status in (ComparisonStatus.NOT_QUERIED, ComparisonStatus.NO_PRIOR):
        lesions = read(made, tmp_path, report=report_of(made.findings, alone(status))).lesions
        assert [lesion.state for lesion in lesions] == [State.PRESENT] * 5


def test_the_scan_is_identified_by_its_ct_headers(analysed: Analyse, tmp_path: Path) -> None:
    def agent(image: Dataset) -> None:
        image.ConvolutionKernel, image.ContrastBolusAgent = "B60f", "Iohexol"

    made = analysed(FIVE, change=agent)

    prior = read(made, tmp_path, report=compared(made.findings))

    assert prior.date.isoformat() == "2026-05-04"
    assert (prior.study_uid, prior.series_uid, prior.frame_of_reference_uid) == ("1.2.1", "1.2.2", "1.2.3")
    assert (prior.slice_mm, prior.kernel, prior.has_contrast) == (2.5, "B60f", True)
    sr = pydicom.dcmread(tmp_path / "sr.dcm")
    assert prior.report
    assert (prior.report.sop_instance_uid, prior.report.series_uid) == (sr.SOPInstanceUID, sr.SeriesInstanceUID)
    assert (prior.report.sop_class_uid, prior.report.study_uid) == (sr.SOPClassUID, "1.2.1")


def test_a_scan_without_ct_is_identified_by_its_documents(analysed: Analyse, tmp_path: Path) -> None:
    made = analysed(FIVE)

    prior = read(made, tmp_path, ct=False)

    assert prior.date.isoformat() == "2026-05-04"
    assert (prior.study_uid, prior.series_uid, prior.frame_of_reference_uid) == ("1.2.1", "1.2.2", "1.2.3")
    assert prior.slice_mm == pytest.approx(2.5)
    assert (prior.kernel, prior.has_contrast, prior.lungs) == (None, None, None)


def test_the_lungs_file_is_read_without_the_ct_unless_it_is_damaged(analysed: Analyse, tmp_path: Path) -> None:
    made = analysed(FIVE)
    files = saved(made, tmp_path)
    lobes = (np.indices((4, 5, 6)).sum(axis=0) % 6).astype(np.uint8)
    affine = np.array([[0, 0, 2.0, 10], [0, 3.0, 0, 20], [4.0, 0, 0, 30], [0, 0, 0, 1]])
    write_lungs(replace(LUNGS, lobes=lobes, affine=affine), tmp_path / "lungs.nii.gz")
    files_without_ct = PriorFiles(ct=(), documents=tuple(files.values()), lungs=tmp_path / "lungs.nii.gz")

    lungs = read_prior(files_without_ct, CARD).lungs

    assert lungs is not None
    assert np.array_equal(lungs.voxels, lobes > 0)
    assert np.allclose(lungs.affine, affine)
    (tmp_path / "lungs.nii.gz").write_bytes(b"no lungs")
    assert read_prior(files_without_ct, CARD).lungs is None


def test_a_report_alone_gives_the_sizes(analysed: Analyse, tmp_path: Path) -> None:
    made = analysed(FIVE, spacing_mm=(3.0, 0.6, 1.1))
    report = compared(made.findings)
    saved(made, tmp_path, report=report)

    prior = read_prior(PriorFiles(ct=(), documents=(tmp_path / "sr.dcm",)), CARD)

    assert prior.slice_mm == pytest.approx(3.0)
    assert prior.frame_of_reference_uid == "1.2.3"
    for lesion, finding in zip(prior.lesions, report.findings.findings, strict=False):
        known = finding.sizes
        assert lesion.outline is None
        assert lesion.sizes is not None
        assert lesion.sizes.noise == pytest.approx(known.noise, abs=1e-6)
        assert lesion.sizes.spacing_mm == pytest.approx((3.0, 0.6, 1.1))
        assert replace(lesion.sizes, noise=known.noise, spacing_mm=known.spacing_mm) == known


def test_a_readers_axes_are_assigned_by_uid_with_our_report_alone(analysed: Analyse, tmp_path: Path) -> None:
    made = analysed(FIVE)
    saved(made, tmp_path, report=compared(made.findings))
    sr = ohif_sr(made, tmp_path, made.findings.findings[2], uids_of(made)[2], (9.5, 4.25))

    prior = read_prior(PriorFiles(ct=(), documents=(tmp_path / "sr.dcm", sr)), CARD)

    assert prior.lesions[2].sizes
    assert prior.lesions[2].sizes.long_axis_mm == 9.5


def test_a_report_without_lesions_is_a_scan_without_lesions(analysed: Analyse, tmp_path: Path) -> None:
    made = analysed([])

    assert read(made, tmp_path).lesions == ()


# -- a reader's SEG, written by dcmqi --


def reader_seg(
    made: Made,
    folder: Path,
    segments: list[Any],
    uids: list[str | None] | None = None,
    *,
    category: str = "49755003",
    algorithm: str | None = None,
) -> Path:
    """A SEG written by dcmqi: one segment for each of these arrays, on the volume's grid."""
    folder = folder / f"reader-{len(list(folder.glob('reader-*')))}"
    (folder / "ct").mkdir(parents=True)
    for file in made.ct_files:
        (folder / "ct" / file.name).write_bytes(file.read_bytes())
    affine = made.findings.volume.affine
    paths = []
    for number, voxels in enumerate(segments, start=1):
        image: Any = SimpleITK.GetImageFromArray(voxels.astype(np.uint8))
        spacing = np.linalg.norm(affine[:3, :3], axis=0)
        image.SetSpacing(spacing[::-1].tolist())
        image.SetOrigin(affine[:3, 3].tolist())
        image.SetDirection((affine[:3, :3] / spacing)[:, ::-1].ravel().tolist())
        paths.append(folder / f"{number}.nrrd")
        SimpleITK.WriteImage(image, str(paths[-1]))
    (folder / "meta.json").write_text(json.dumps(META | {
        "segmentAttributes": [[segment_of(category, algorithm, uid)] for uid in uids or [None] * len(segments)]
    }))  # fmt: skip
    command = [str(BIN / "itkimage2segimage"), "--inputImageList", ",".join(map(str, paths)), "--inputDICOMDirectory",
               str(folder / "ct"), "--inputMetadata", str(folder / "meta.json"), "--outputDICOM",
               str(folder / "seg.dcm")]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    return folder / "seg.dcm"


def seg_by_highdicom(made: Made, pixels: Any, kind: str) -> Dataset:  # noqa: ANN401  (an array)
    """A SEG with five segments by a reader. pixels: (image, row, column), for some kinds (..., segment)."""
    return hd.seg.Segmentation(
        source_images=[pydicom.dcmread(file) for file in made.ct_files],
        pixel_array=pixels,
        segmentation_type=kind,
        segment_descriptions=[
            hd.seg.SegmentDescription(
                segment_number=number, segment_label="lesion", algorithm_type="MANUAL",
                segmented_property_category=standard.SCT.MorphologicallyAbnormalStructure,
                segmented_property_type=standard.SCT.Neoplasm,
            )
            for number in range(1, 6)
        ],
        series_instance_uid=generate_uid(), series_number=9, sop_instance_uid=generate_uid(), instance_number=1,
        manufacturer="Reader", manufacturer_model_name="R", software_versions="1", device_serial_number="1",
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )  # fmt: skip


META = {
    "ContentCreatorName": "Reader", "ClinicalTrialSeriesID": "1", "ClinicalTrialTimePointID": "1",
    "SeriesDescription": "corrected", "SeriesNumber": "300", "InstanceNumber": "1", "BodyPartExamined": "CHEST",
    "ContentLabel": "LESIONS", "ContentDescription": "corrected by hand",
}  # fmt: skip


def segment_of(category: str, algorithm: str | None, uid: str | None) -> dict[str, Any]:
    def code(value: str, meaning: str) -> dict[str, str]:
        return {"CodeValue": value, "CodingSchemeDesignator": "SCT", "CodeMeaning": meaning}

    return {
        "labelID": 1, "SegmentDescription": "a tumour", "SegmentAlgorithmType": "AUTOMATIC" if algorithm else "MANUAL",
        **({"SegmentAlgorithmName": algorithm} if algorithm else {}),
        "SegmentedPropertyCategoryCodeSequence": code(category, "category"),
        "SegmentedPropertyTypeCodeSequence": code("108369006", "Neoplasm"),
        **({"TrackingUniqueIdentifier": uid, "TrackingIdentifier": "a tumour"} if uid else {}),
    }  # fmt: skip


def test_a_readers_outline_replaces_ours_and_keeps_its_identity(analysed: Analyse, tmp_path: Path) -> None:
    """One more slice for the third lesion: five slices instead of four."""
    made = analysed(FIVE)
    corrected = made.mask == 3
    corrected[4, 12:15, 20:30] = True
    seg = reader_seg(made, tmp_path, [made.mask == 1, corrected])

    prior = read(made, tmp_path, seg, report=compared(described(made.findings)))

    lesions = by_uid(prior)
    first, second, third, fourth, fifth = uids_of(made)
    assert prior.origin is Origin.READER
    assert outline_points_mm(lesions[third]) == true_points_mm(made, corrected)
    assert lesions[third].tracking_id == "lesion-3"
    sizes = lesions[third].sizes
    assert sizes is not None
    assert sizes.volume_ml == round(5 * 3 * 10 * 2.5 * 0.75 * 0.75 / 1000, 4)
    assert not {second, fourth, fifth} & set(lesions), "the reader left them out"
    assert lesions[VANISHED_UID].state is State.VANISHED
    assert lesions[MERGED_UID].merged_into == third
    assert first in lesions


@pytest.mark.parametrize("scan", STORED_SCANS.values(), ids=STORED_SCANS.keys())
@pytest.mark.parametrize("ct", [True, False], ids=["with CT", "without CT"])
def test_a_readers_outline_is_read_at_its_position(
    analysed: Analyse, tmp_path: Path, scan: dict[str, Any], ct: bool
) -> None:
    if "lean_mm" in scan:
        pytest.skip("ITK has no sheared grid")
    made = analysed(FIVE, **scan)
    seg = reader_seg(made, tmp_path, [made.mask == 2])

    prior = read(made, tmp_path, seg, ct=ct)

    (lesion,) = prior.lesions
    assert lesion.tracking_uid == uids_of(made)[1]
    assert outline_points_mm(lesion) == true_points_mm(made, made.mask == 2)


def test_the_sizes_of_a_readers_outline_agree_with_and_without_the_ct(analysed: Analyse, tmp_path: Path) -> None:
    made = analysed(FIVE)
    seg = reader_seg(made, tmp_path, [made.mask == 1, made.mask == 5])
    files = tuple(made.ct_files)

    with_ct, without = (read_prior(PriorFiles(ct=ct, documents=(seg,)), CARD) for ct in (files, ()))

    assert len(with_ct.lesions) == 2
    for with_pixels, without_pixels, number in zip(with_ct.lesions, without.lesions, (0, 4), strict=True):
        measured = made.findings.findings[number].measurement
        assert with_pixels.sizes
        assert without_pixels.sizes
        for sizes in (with_pixels.sizes, without_pixels.sizes):
            assert sizes.volume_ml == pytest.approx(measured.volume_ml)
            assert sizes.long_axis_mm == pytest.approx(measured.long_axis.length_mm, abs=1e-3)
            assert sizes.short_axis_mm == pytest.approx(measured.short_axis.length_mm, abs=1e-3)
        assert with_pixels.mass_g is not None
        assert without_pixels.mass_g is None


def test_a_segment_with_our_uid_is_that_lesion_at_any_position(analysed: Analyse, tmp_path: Path) -> None:
    made = analysed(FIVE)
    first, second, *_ = uids_of(made)
    seg = reader_seg(made, tmp_path, [made.mask == 2, made.mask == 1], [first, None])

    lesions = by_uid(read(made, tmp_path, seg))

    assert outline_points_mm(lesions[first]) == true_points_mm(made, made.mask == 2)
    (new_uid,) = set(lesions) - {first}
    assert new_uid != second, "a part that overlaps only an assigned lesion of ours is new"


def test_one_segment_for_all_tumours_is_split(analysed: Analyse, tmp_path: Path) -> None:
    made = analysed(FIVE)
    new = np.zeros_like(made.mask, bool)
    new[2:4, 28:34, 14:20] = True
    seg = reader_seg(made, tmp_path, [(made.mask == 1) | (made.mask == 3) | new], ["1.2.77"])

    lesions = by_uid(read(made, tmp_path, seg))

    first, _, third, *_ = uids_of(made)
    assert set(lesions) == {first, third, "1.2.77"}
    assert outline_points_mm(lesions["1.2.77"]) == true_points_mm(made, new)
    assert lesions["1.2.77"].tracking_id.startswith("reader-"), "a reader's free text may contain patient data"


def test_a_new_lesion_without_a_uid_gets_a_reproducible_one(analysed: Analyse, tmp_path: Path) -> None:
    made = analysed(ONE)
    new = np.zeros_like(made.mask, bool)
    new[8:10, 28:34, 14:20] = True
    seg = reader_seg(made, tmp_path, [new])

    first_run, second_run = (read(made, tmp_path, seg).lesions for _ in range(2))

    assert first_run[0].tracking_uid == second_run[0].tracking_uid
    assert first_run[0].tracking_uid not in uids_of(made)
    assert pydicom.uid.UID(first_run[0].tracking_uid).is_valid


def test_an_outlined_organ_is_not_a_lesion(analysed: Analyse, tmp_path: Path) -> None:
    made = analysed(FIVE)
    lung = np.zeros_like(made.mask, bool)
    lung[2:10, 4:36, 4:32] = True
    seg = reader_seg(made, tmp_path, [lung], category="123037004")

    prior = read(made, tmp_path, seg)

    assert [lesion.tracking_uid for lesion in prior.lesions] == uids_of(made)
    assert prior.origin is Origin.OURS


@pytest.mark.parametrize(
    ("algorithm", "origin"),
    [("lung_tumour", Origin.READER), ("OHIF Brush", Origin.READER), ("another nodule finder", Origin.OURS)],
)
def test_an_outline_of_another_program_is_not_a_readers(
    analysed: Analyse, tmp_path: Path, algorithm: str, origin: Origin
) -> None:
    """OHIF 3.13 keeps the name of the algorithm whose outline a reader corrects."""
    made = analysed(FIVE)
    seg = reader_seg(made, tmp_path, [made.mask == 1], algorithm=algorithm)

    assert read(made, tmp_path, seg).origin is origin


def test_a_readers_seg_is_used_despite_a_newer_one_of_a_program(analysed: Analyse, tmp_path: Path) -> None:
    made = analysed(FIVE)
    paths = [
        reader_seg(made, tmp_path, [made.mask == 1]),
        reader_seg(made, tmp_path, [made.mask == 2], algorithm="another nodule finder"),
    ]
    for path, time in zip(paths, ("110000", "120000"), strict=True):
        seg = pydicom.dcmread(path)
        seg.ContentDate, seg.ContentTime = "20260601", time
        seg.save_as(path)

    (lesion,) = read(made, tmp_path, *paths).lesions

    assert lesion.tracking_uid == uids_of(made)[0]


def test_the_newest_document_of_a_reader_is_used(analysed: Analyse, tmp_path: Path) -> None:
    made = analysed(FIVE)
    paths = [reader_seg(made, tmp_path, [made.mask == number]) for number in (1, 2)]
    for path, time in zip(paths, ("120000", "110000"), strict=True):
        seg = pydicom.dcmread(path)
        seg.ContentDate, seg.ContentTime = "20260601", time
        seg.save_as(path)

    (lesion,) = read(made, tmp_path, *paths).lesions

    assert lesion.tracking_uid == uids_of(made)[0]


def test_a_readers_document_of_another_scan_is_ignored(analysed: Analyse, tmp_path: Path) -> None:
    made = analysed(FIVE)
    path = reader_seg(made, tmp_path, [made.mask == 1])
    seg = pydicom.dcmread(path)
    seg.ReferencedSeriesSequence[0].SeriesInstanceUID = "1.2.999"
    seg.save_as(path)

    assert read(made, tmp_path, path).origin is Origin.OURS


@pytest.mark.parametrize("kind", ["LABELMAP", "FRACTIONAL"])
def test_other_types_of_segmentations_are_read(analysed: Analyse, tmp_path: Path, kind: str) -> None:
    made = analysed(FIVE)
    labels = np.stack([made.mask == number for number in range(1, 6)], axis=-1)
    pixels = labels.astype(np.float32) * 0.6 if kind == "FRACTIONAL" else made.mask
    if kind == "FRACTIONAL":
        pixels[0, 0, 0, 0] = 0.4  # below half of the maximum
    seg_by_highdicom(made, pixels, kind).save_as(tmp_path / "other.dcm")

    outlines = read_outlines(pydicom.dcmread(tmp_path / "other.dcm"))

    for outline in outlines:
        lesion = PriorLesion(
            tracking_uid="1.2", tracking_id="", state=State.PRESENT, merged_into=None, split_from=None,
            outline=outline.mask, sizes=None, mass_g=None,
        )  # fmt: skip
        assert outline_points_mm(lesion) == true_points_mm(made, made.mask == outline.number)
    assert len(outlines) == 5


# -- a reader's SR, as written by OHIF --


def ohif_sr(
    made: Made, folder: Path, finding: Finding, tracking_uid: str, sizes_mm: tuple[float, float], scheme: str = "SCT"
) -> Path:
    """An SR with the two axes of a lesion: manufacturer, names and units as in OHIF."""
    codes = {"SCT": ("103339001", "103340004"), "SRT": ("G-A185", "G-A186")}[scheme]
    measured = finding.measurement
    image = made.series.datasets[measured.long_axis.slice_index]
    numbers = [
        hd.sr.Measurement(
            name=hd.sr.CodedConcept(code, scheme, meaning), value=size_mm,
            unit=hd.sr.CodedConcept("mm", "UCUM", "millimeter"),
            referenced_coordinates=[
                hd.sr.CoordinatesForMeasurement(
                    graphic_type="POLYLINE",
                    graphic_data=np.array([axis.start_px, axis.end_px]) + 0.5,
                    source_image=hd.sr.SourceImageForRegion(image.SOPClassUID, image.SOPInstanceUID),
                )
            ],
        )
        for code, meaning, size_mm, axis in zip(
            codes, ("Long Axis", "Short Axis"), sizes_mm, (measured.long_axis, measured.short_axis), strict=True
        )
    ]  # fmt: skip
    group = hd.sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(
            uid=tracking_uid, identifier="Cornerstone3DTools@^0.1.0:Bidirectional"
        ),
        measurements=numbers,
    )
    observer = hd.sr.ObserverContext(
        observer_type=standard.DCM.Person,
        observer_identifying_attributes=hd.sr.PersonObserverIdentifyingAttributes("Reader^A"),
    )
    report = hd.sr.MeasurementReport(
        observation_context=hd.sr.ObservationContext(observer_person_context=observer),
        procedure_reported=standard.LN.CTUnspecifiedBodyRegion,
        imaging_measurements=[group],
    )
    sr = hd.sr.Comprehensive3DSR(
        evidence=[pydicom.dcmread(file) for file in made.ct_files], content=report,
        series_instance_uid=generate_uid(), series_number=9, sop_instance_uid=generate_uid(), instance_number=1,
        manufacturer="Unspecified",
    )  # fmt: skip
    path = folder / f"ohif-{len(list(folder.glob('ohif-*')))}.dcm"
    sr.save_as(path)
    return path


@pytest.mark.parametrize("ct", [True, False], ids=["with CT", "without CT"])
@pytest.mark.parametrize("scheme", ["SCT", "SRT"])
def test_a_readers_axes_replace_those_of_the_lesion_they_were_drawn_in(
    analysed: Analyse, tmp_path: Path, ct: bool, scheme: str
) -> None:
    made = analysed(FIVE)
    sr = ohif_sr(made, tmp_path, made.findings.findings[2], generate_uid(), (9.5, 4.25), scheme)

    prior = read(made, tmp_path, sr, report=compared(made.findings), ct=ct)

    third = prior.lesions[2]
    assert third.sizes
    assert (third.sizes.long_axis_mm, third.sizes.short_axis_mm) == (9.5, 4.25)
    assert third.sizes.volume_ml == made.findings.findings[2].measurement.volume_ml
    first = prior.lesions[0].sizes
    assert first
    assert first.long_axis_mm == made.findings.findings[0].measurement.long_axis.length_mm
    assert prior.origin is Origin.READER
    assert prior.report
    assert prior.report.sop_instance_uid == pydicom.dcmread(tmp_path / "sr.dcm").SOPInstanceUID


def test_a_readers_axes_with_our_uid_belong_to_that_lesion(analysed: Analyse, tmp_path: Path) -> None:
    made = analysed(FIVE)
    sr = ohif_sr(made, tmp_path, made.findings.findings[2], uids_of(made)[0], (9.5, 4.25))

    prior = read(made, tmp_path, sr)

    assert prior.lesions[0].sizes
    assert prior.lesions[2].sizes
    assert prior.lesions[0].sizes.long_axis_mm == 9.5
    assert prior.lesions[2].sizes.long_axis_mm != 9.5


def test_measurements_of_another_device_are_ignored(analysed: Analyse, tmp_path: Path) -> None:
    made = analysed(FIVE)
    path = ohif_sr(made, tmp_path, made.findings.findings[2], uids_of(made)[2], (9.5, 4.25))
    sr = pydicom.dcmread(path)
    (observer,) = [
        item for item in sr.ContentSequence if item.ConceptNameCodeSequence[0].CodeMeaning == "Observer Type"
    ]
    observer.ConceptCodeSequence[0].CodeValue = "121007"
    sr.save_as(path)

    assert read(made, tmp_path, path).origin is Origin.OURS


def test_axes_drawn_outside_of_every_lesion_are_ignored(analysed: Analyse, tmp_path: Path) -> None:
    made = analysed(FIVE)
    finding = made.findings.findings[2]
    axes = [replace(axis, start_px=(1.0, 37.0), end_px=(3.0, 37.0)) for axis in (finding.measurement.long_axis,) * 2]
    measurement = replace(finding.measurement, long_axis=axes[0], short_axis=axes[1])
    sr = ohif_sr(made, tmp_path, replace(finding, measurement=measurement), generate_uid(), (9.5, 4.25))

    prior = read(made, tmp_path, sr)

    assert all(lesion.sizes and lesion.sizes.long_axis_mm != 9.5 for lesion in prior.lesions)
    assert prior.origin is Origin.OURS


def test_outlines_of_one_reader_and_axes_of_another_are_both_used(analysed: Analyse, tmp_path: Path) -> None:
    made = analysed(FIVE)
    seg = reader_seg(made, tmp_path, [made.mask == 3])
    sr = ohif_sr(made, tmp_path, made.findings.findings[2], generate_uid(), (9.5, 4.25))

    (lesion,) = read(made, tmp_path, seg, sr).lesions

    assert lesion.sizes
    assert lesion.sizes.long_axis_mm == 9.5
    assert lesion.sizes.volume_ml == pytest.approx(made.findings.findings[2].measurement.volume_ml)


# -- unreadable documents --


def test_the_error_for_a_truncated_document_contains_no_patient_data(analysed: Analyse, tmp_path: Path) -> None:
    made = analysed(FIVE)
    files = saved(made, tmp_path)
    for name, share in itertools.product(("seg", "sr"), (0.3, 0.5, 2 / 3, 0.9, 0.99)):
        content = files[name].read_bytes()
        files[name].write_bytes(content[: int(len(content) * share)])
        with pytest.raises(PriorUnreadable) as caught:
            read_prior(PriorFiles(ct=tuple(made.ct_files), documents=tuple(files.values())), CARD)
        assert "SECRET" not in str(caught.value)
        assert caught.value.__cause__ is None
        files[name].write_bytes(content)


def test_a_report_without_content_is_unreadable(analysed: Analyse, tmp_path: Path) -> None:
    made = analysed([])
    files = saved(made, tmp_path)
    sr = pydicom.dcmread(files["sr"])
    del sr.ContentSequence
    sr.save_as(files["sr"])

    with pytest.raises(PriorUnreadable):
        read_prior(PriorFiles(ct=tuple(made.ct_files), documents=(files["sr"],)), CARD)


@pytest.mark.parametrize("what", ["PerFrameFunctionalGroupsSequence", "SegmentSequence", "PixelData"])
def test_a_seg_without_a_required_element_is_unreadable(analysed: Analyse, tmp_path: Path, what: str) -> None:
    made = analysed(FIVE)
    files = saved(made, tmp_path)
    seg = pydicom.dcmread(files["seg"])
    uid = seg.SOPInstanceUID
    del seg[what]
    seg.save_as(files["seg"])

    with pytest.raises(PriorUnreadable, match=uid.replace(".", r"\.")):
        read_prior(PriorFiles(ct=(), documents=tuple(files.values())), CARD)


def test_a_seg_of_another_analysis_than_the_report_is_ignored(analysed: Analyse, tmp_path: Path) -> None:
    made = analysed(FIVE)
    (tmp_path / "other").mkdir()
    other_seg = saved(with_another_job(made), tmp_path / "other")["seg"]

    prior = read(made, tmp_path, other_seg)
    without_ct = read_prior(PriorFiles(ct=(), documents=(other_seg, tmp_path / "sr.dcm")), CARD)

    assert [lesion.tracking_uid for lesion in prior.lesions] == uids_of(made)
    assert [lesion.tracking_uid for lesion in without_ct.lesions] == uids_of(made)
    assert not any(lesion.outline for lesion in without_ct.lesions)


def with_another_job(made: Made) -> Made:
    findings = [
        replace(each, lesion=replace(each.lesion, tracking_uid=f"1.2.5.{each.lesion.number}"))
        for each in made.findings.findings
    ]
    return replace(made, findings=replace(made.findings, job_key="f" * 64, findings=tuple(findings)))


def test_a_result_takes_precedence_over_a_rejection_of_the_same_scan(analysed: Analyse, tmp_path: Path) -> None:
    made = analysed(FIVE)
    for key in ("0", "8", "f"):  # for any order of the UIDs
        encode_rejection(key * 64, "why", CARD, source_of(made.series)).save_as(tmp_path / "rejection.dcm")
        assert len(read(made, tmp_path, tmp_path / "rejection.dcm").lesions) == 5


def test_a_rejected_scan_is_unreadable(analysed: Analyse, tmp_path: Path) -> None:
    made = analysed(FIVE)
    encode_rejection("c" * 64, "why", CARD, source_of(made.series)).save_as(tmp_path / "rejection.dcm")

    with pytest.raises(PriorUnreadable, match="not analysed"):
        read_prior(PriorFiles(ct=tuple(made.ct_files), documents=(tmp_path / "rejection.dcm",)), CARD)


def test_a_ct_without_documents_and_documents_without_a_date_are_unreadable(analysed: Analyse, tmp_path: Path) -> None:
    made = analysed(FIVE)
    with pytest.raises(PriorUnreadable, match="none of 0 documents"):
        read_prior(PriorFiles(ct=tuple(made.ct_files), documents=()), CARD)

    files = saved(made, tmp_path)
    for file in files.values():
        document = pydicom.dcmread(file)
        document.StudyDate = ""
        document.save_as(file)
    with pytest.raises(PriorUnreadable, match="study date"):
        read_prior(PriorFiles(ct=(), documents=tuple(files.values())), CARD)


def test_an_incomplete_ct_is_ignored(analysed: Analyse, tmp_path: Path) -> None:
    made = analysed(FIVE)
    files = saved(made, tmp_path)

    prior = read_prior(PriorFiles(ct=(*made.ct_files[:3], *made.ct_files[8:]), documents=tuple(files.values())), CARD)

    assert [outline_points_mm(lesion) for lesion in prior.lesions] == [
        true_points_mm(made, made.mask == n) for n in range(1, 6)
    ]
    assert prior.lungs is None
