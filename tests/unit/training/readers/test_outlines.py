"""DICOM with SEG or RTSTRUCT, and corrected results: the known mask is read back, invalid data is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
from matplotlib.path import Path as Outline
from numpy.typing import NDArray
from pydicom.sr.codedict import codes

from tests.fixtures.training.dicom_data import chest, write_ct, write_own_seg, write_rtstruct, write_seg
from tests.fixtures.worker.ct_series import Series, save
from tests.fixtures.worker.multi_frame import enhanced
from training.data.cache import read_stacks
from training.data.datasets import Stack
from training.data.prepare import DataSource, Prepared, Request, prepare
from training.readers.case import DataRefused
from training.readers.outline import TumourNames
from training.readers.outlined import OutlinedSeries, read_header, read_outlined
from training.readers.rtstruct import inside
from worker.ct.files import dicom_files
from worker.ct.reader import LoadedSeries, load

Bools = NDArray[np.bool_]
Point = tuple[float, float, float]


def prepared(tmp_path: Path, kind: str = "dicom", tumour: TumourNames | None = None) -> Prepared:
    sources = (DataSource(kind=kind, path=tmp_path / "data"),)
    return prepare(Request(sources=sources, cache=tmp_path / "cache", tumour=tumour or TumourNames()))


def read(tmp_path: Path, kind: str = "dicom", tumour: TumourNames | None = None) -> Stack:
    prepared(tmp_path, kind, tumour)
    (stack,) = read_stacks(tmp_path / "cache")
    return stack


def box(*parts: slice) -> Bools:
    mask = np.zeros((10, 48, 64), bool)
    mask[parts] = True
    return mask


TUMOUR = box(slice(3, 6), slice(20, 27), slice(10, 18))
OTHER = box(slice(2, 5), slice(22, 40), slice(12, 60))


@pytest.fixture
def patient(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / "case-1"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def series(patient: Path) -> LoadedSeries:
    return write_ct(patient)


def test_our_own_seg_is_read_back_as_it_was_written(tmp_path: Path, patient: Path, series: LoadedSeries) -> None:
    write_own_seg(patient, series, TUMOUR)

    stack = read(tmp_path)

    assert np.array_equal(stack.mask, TUMOUR)
    assert np.array_equal(stack.hu, np.rint(chest().hu))
    assert (stack.source, stack.patient, stack.name) == ("dicom", "case-1", f"case-1/{series.series_uid}")
    assert stack.spacing_mm == pytest.approx((12.0, 5.0, 5.5))


def test_a_prone_series_gives_the_same_stack(tmp_path: Path, patient: Path) -> None:
    turned = write_ct(patient, prone=True)
    assert turned.volume.affine[0, 2] < 0
    write_seg(patient / "seg.dcm", turned, {"tumour": TUMOUR[..., ::-1, ::-1]})

    stack = read(tmp_path)

    assert np.array_equal(stack.mask, TUMOUR)
    assert np.array_equal(stack.hu, np.rint(chest().hu))


def test_a_multi_frame_image_gives_the_stack_of_its_single_frames(tmp_path: Path, patient: Path) -> None:
    write_ct(tmp_path / "single")
    images = [pydicom.dcmread(file) for file in dicom_files(tmp_path / "single")]
    enhanced(images).save_as(patient / "ct.dcm", enforce_file_format=True)
    write_own_seg(patient, load([patient / "ct.dcm"]), TUMOUR)

    stack = read(tmp_path)

    assert np.array_equal(stack.mask, TUMOUR)
    assert np.array_equal(stack.hu, np.rint(chest().hu))


@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL", "LABELMAP"])
def test_every_kind_of_seg_gives_its_tumour_and_nothing_else(
    tmp_path: Path, patient: Path, series: LoadedSeries, kind: str
) -> None:
    other = OTHER & ~TUMOUR if kind == "LABELMAP" else OTHER
    write_seg(patient / "seg.dcm", series, {"Lung": other, "GTV-1": TUMOUR, "Heart": box(slice(0, 1))}, kind)

    assert np.array_equal(read(tmp_path).mask, TUMOUR)


def test_a_segment_may_be_chosen_by_its_code(tmp_path: Path, patient: Path, series: LoadedSeries) -> None:
    types = [codes.SCT.Lung, codes.SCT.Neoplasm]
    write_seg(patient / "seg.dcm", series, {"Segment 1": OTHER, "Segment 2": TUMOUR}, types=types)

    assert np.array_equal(read(tmp_path).mask, TUMOUR)
    lung = read(tmp_path, tumour=TumourNames(names=(f"SCT:{codes.SCT.Lung.value}",)))
    assert np.array_equal(lung.mask, OTHER), "another choice has another recipe, so the case is read again"


def test_a_seg_with_frames_flipped_against_the_ct_marks_the_same_voxels(
    tmp_path: Path, patient: Path, series: LoadedSeries
) -> None:
    path = write_seg(patient / "seg.dcm", series, {"tumour": TUMOUR})
    seg = pydicom.dcmread(path)
    seg.PixelData = np.packbits(
        np.ascontiguousarray(seg.pixel_array[:, ::-1]).astype(np.uint8).ravel(), bitorder="little"
    ).tobytes()
    seg.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient = [1, 0, 0, 0, -1, 0]
    for groups in seg.PerFrameFunctionalGroupsSequence:
        groups.PlanePositionSequence[0].ImagePositionPatient[1] += 5.0 * 47
    seg.save_as(path)

    assert np.array_equal(read(tmp_path).mask, TUMOUR)


def test_a_frame_between_slices_is_refused(tmp_path: Path, patient: Path, series: LoadedSeries) -> None:
    path = write_seg(patient / "seg.dcm", series, {"tumour": TUMOUR})
    seg = pydicom.dcmread(path)
    seg.PerFrameFunctionalGroupsSequence[1].PlanePositionSequence[0].ImagePositionPatient[2] += 5.0
    seg.save_as(path)

    with pytest.raises(DataRefused, match=rf"case-1/{seg.SOPInstanceUID}: its voxels are up to 0.42 voxels off"):
        prepared(tmp_path)


def test_two_patients_have_one_folder_each(tmp_path: Path) -> None:
    for number in (1, 2):
        folder = tmp_path / "data" / f"case-{number}"
        one = write_ct(folder, seed=number, patient_id=f"PH-{number}")
        write_seg(folder / "seg.dcm", one, {"tumour": np.roll(TUMOUR, number, axis=2)})

    prepared(tmp_path)

    stacks = read_stacks(tmp_path / "cache")
    assert [stack.patient for stack in stacks] == ["case-1", "case-2"]
    assert [np.array_equal(stacks[n].mask, np.roll(TUMOUR, n + 1, axis=2)) for n in (0, 1)] == [True, True]


# -- corrected results --


def test_the_readers_seg_takes_precedence_over_ours_and_the_newest_over_older_ones(
    tmp_path: Path, patient: Path, series: LoadedSeries
) -> None:
    write_own_seg(patient, series, OTHER)
    write_seg(patient / "a.dcm", series, {"Lesion 1 (research)": TUMOUR}, date="20260702")
    write_seg(patient / "b.dcm", series, {"Lesion 1 (research)": OTHER}, date="20260701")

    stack = read(tmp_path, "corrected")

    assert stack.source == "corrected"
    assert np.array_equal(stack.mask, TUMOUR)


def test_results_without_a_corrected_outline_are_refused(tmp_path: Path, patient: Path, series: LoadedSeries) -> None:
    write_own_seg(patient, series, TUMOUR)

    with pytest.raises(DataRefused, match=f"case-1: series {series.series_uid} has only our own outline"):
        prepared(tmp_path, "corrected")


# -- RTSTRUCT --


def rectangle(number: int, top: float, left: float, bottom: float, right: float) -> list[Point]:
    return [(number, top, left), (number, top, right), (number, bottom, right), (number, bottom, left)]


def test_a_contour_between_voxel_centres_marks_what_it_encloses(
    tmp_path: Path, patient: Path, series: LoadedSeries
) -> None:
    contours = [rectangle(number, 19.5, 9.5, 26.5, 17.5) for number in (3, 4, 5)]
    write_rtstruct(patient / "rt.dcm", series, {"Lung": [rectangle(2, 1, 1, 40, 40)], "GTV-1": contours})

    stack = read(tmp_path)

    assert np.array_equal(stack.mask, TUMOUR)
    assert np.array_equal(stack.hu, np.rint(chest().hu))


def test_contours_of_a_prone_series_mark_the_same_voxels(tmp_path: Path, patient: Path) -> None:
    turned = write_ct(patient, prone=True)
    contours = [rectangle(number, 47 - 26.5, 63 - 17.5, 47 - 19.5, 63 - 9.5) for number in (3, 4, 5)]
    write_rtstruct(patient / "rt.dcm", turned, {"GTV-1": contours})

    assert np.array_equal(read(tmp_path).mask, TUMOUR)


def test_a_voxel_whose_centre_lies_on_the_path_belongs_to_the_region(
    tmp_path: Path, patient: Path, series: LoadedSeries
) -> None:
    write_rtstruct(patient / "rt.dcm", series, {"Nodule": [[(4, 10, 20), (4, 10, 24), (4, 14, 20)]]})

    marked = np.argwhere(read(tmp_path).mask)

    assert [tuple(voxel) for voxel in marked] == [(4, 10 + r, 20 + c) for r in range(5) for c in range(5 - r)]


@pytest.mark.parametrize("kind", ["CLOSED_PLANAR", "CLOSEDPLANAR_XOR"])
def test_a_contour_within_another_is_a_hole_and_one_beside_it_is_not(
    tmp_path: Path, patient: Path, series: LoadedSeries, kind: str
) -> None:
    hole, beside = rectangle(4, 21.5, 11.5, 24.5, 15.5), rectangle(4, 30.5, 30.5, 33.5, 35.5)
    write_rtstruct(patient / "rt.dcm", series, {"GTV": [rectangle(4, 19.5, 9.5, 26.5, 17.5), hole, beside]}, kind)

    expected = TUMOUR & box(slice(4, 5)) & ~box(slice(4, 5), slice(22, 25), slice(12, 16))
    assert np.array_equal(read(tmp_path).mask, expected | box(slice(4, 5), slice(31, 34), slice(31, 36)))


def test_a_hole_joined_by_a_keyhole_is_a_hole(tmp_path: Path, patient: Path, series: LoadedSeries) -> None:
    outer, inner = rectangle(4, 19.5, 9.5, 26.5, 17.5), rectangle(4, 21.5, 11.5, 24.5, 15.5)
    write_rtstruct(patient / "rt.dcm", series, {"GTV": [[*outer, outer[0], inner[0], *inner[::-1]]]})

    expected = TUMOUR & box(slice(4, 5)) & ~box(slice(4, 5), slice(22, 25), slice(12, 16))
    assert np.array_equal(read(tmp_path).mask, expected)


def test_points_and_contours_of_two_points_mark_nothing(tmp_path: Path, patient: Path, series: LoadedSeries) -> None:
    line, point = [(2, 10, 10), (2, 10, 20)], [(1, 5, 5)]
    write_rtstruct(patient / "rt.dcm", series, {"GTV": [line, point, rectangle(4, 19.5, 9.5, 26.5, 17.5)]})

    assert np.array_equal(read(tmp_path).mask, TUMOUR & box(slice(4, 5)))


def test_a_contour_beyond_the_image_is_cut_at_its_edge(tmp_path: Path, patient: Path, series: LoadedSeries) -> None:
    write_rtstruct(patient / "rt.dcm", series, {"GTV": [rectangle(4, -7.5, 59.5, 2.5, 80.5)]})

    assert np.array_equal(read(tmp_path).mask, box(slice(4, 5), slice(0, 3), slice(60, 64)))


def test_a_region_may_be_chosen_by_its_interpreted_type(tmp_path: Path, patient: Path, series: LoadedSeries) -> None:
    write_rtstruct(patient / "rt.dcm", series, {"1": [rectangle(4, 19.5, 9.5, 26.5, 17.5)]}, interpreted="GTV")

    assert np.array_equal(read(tmp_path).mask, TUMOUR & box(slice(4, 5)))


def test_a_seg_takes_precedence_over_an_rtstruct(tmp_path: Path, patient: Path, series: LoadedSeries) -> None:
    write_seg(patient / "seg.dcm", series, {"tumour": TUMOUR})
    write_rtstruct(patient / "rt.dcm", series, {"GTV": [rectangle(1, 1, 1, 40, 40)]})

    assert np.array_equal(read(tmp_path).mask, TUMOUR)


def test_inside_agrees_with_matplotlib_on_random_polygons() -> None:
    rng = np.random.default_rng(8)
    rows, columns = np.indices((40, 50))
    centres = np.column_stack([rows.ravel(), columns.ravel()])
    for _ in range(30):
        angle = np.sort(rng.uniform(0, 2 * np.pi, 17))
        polygon = rng.uniform(3, 30, 17)[:, None] * np.column_stack([np.sin(angle), np.cos(angle)]) + (20.2, 24.7)
        polygon = np.round(polygon, 2) + 0.003  # no centre lies on an edge's end

        area, path = inside(polygon, (40, 50))

        expected = Outline(polygon).contains_points(centres).reshape(40, 50)
        assert np.array_equal(area & ~path, expected & ~path)
        assert path.sum() < 3


# -- refused data: messages name folder and UID, never other patient data --


def rejection(tmp_path: Path) -> str:
    with pytest.raises(DataRefused) as refused:
        prepared(tmp_path)
    assert not (tmp_path / "cache").exists()
    assert not any(word in str(refused.value) for word in ("SECRET", "PH-0001", "private"))
    return str(refused.value)


def test_a_ct_without_outline_is_refused(tmp_path: Path, series: LoadedSeries) -> None:
    assert rejection(tmp_path).endswith("case-1: no SEG or RTSTRUCT outlines one of its CT series")


def test_an_outline_without_its_ct_is_refused(tmp_path: Path, patient: Path, series: LoadedSeries) -> None:
    path = write_seg(patient / "seg.dcm", series, {"tumour": TUMOUR})
    shutil.rmtree(patient / "ct")

    assert f"case-1: {pydicom.dcmread(path).SOPInstanceUID} outlines a CT series that is missing" in rejection(tmp_path)


def test_a_seg_without_a_tumour_is_refused(tmp_path: Path, patient: Path, series: LoadedSeries) -> None:
    write_seg(patient / "seg.dcm", series, {"private Lung": OTHER, "private Heart": TUMOUR})

    assert "none of its 2 segment(s) is a tumour by label or code (see --tumour)" in rejection(tmp_path)


def test_an_rtstruct_without_a_tumour_is_refused(tmp_path: Path, patient: Path, series: LoadedSeries) -> None:
    write_rtstruct(patient / "rt.dcm", series, {"private Lung": [rectangle(4, 1, 1, 9, 9)]})

    assert "none of its 1 region(s) is a tumour by name or type (see --tumour)" in rejection(tmp_path)


def test_a_region_that_encloses_no_voxel_is_refused(tmp_path: Path, patient: Path, series: LoadedSeries) -> None:
    write_rtstruct(patient / "rt.dcm", series, {"GTV": [rectangle(4, 1.2, 1.2, 1.8, 1.8)]})

    assert f"case-1/{series.series_uid}: its outlines mark no voxel" in rejection(tmp_path)


@pytest.mark.parametrize(
    ("contour", "named"),
    [
        (rectangle(4.4, 1, 1, 9, 9), "a contour is up to 0.40 slices off the nearest slice"),  # type: ignore[arg-type]
        (rectangle(11, 1, 1, 9, 9), "a contour is outside the CT"),
        ([(4, 1, 1), (4, 1, 9), (4.5, 9, 9)], "slices off the nearest slice"),
    ],
)
def test_contours_outside_every_slice_are_refused(
    tmp_path: Path, patient: Path, series: LoadedSeries, contour: list[Point], named: str
) -> None:
    write_rtstruct(patient / "rt.dcm", series, {"GTV": [contour]})

    assert named in rejection(tmp_path)


def test_a_missing_slice_is_refused(tmp_path: Path, patient: Path, series: LoadedSeries) -> None:
    write_seg(patient / "seg.dcm", series, {"tumour": TUMOUR})
    (patient / "ct" / "0004.dcm").unlink()

    assert "1 gap(s) in the stack, the widest of 24.00 mm" in rejection(tmp_path)


def test_a_truncated_seg_is_refused_without_its_file_name(tmp_path: Path, patient: Path, series: LoadedSeries) -> None:
    path = write_seg(patient / "private.dcm", series, {"tumour": TUMOUR})
    whole, uid = path.read_bytes(), pydicom.dcmread(path).SOPInstanceUID

    path.write_bytes(whole[:200])
    assert "case-1: file 11 of 11 cannot be read as DICOM" in rejection(tmp_path)

    path.write_bytes(whole[:-300])
    assert f"case-1/{uid}: is not a valid SEG or RTSTRUCT" in rejection(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100"], ids=["empty", "no preamble"])
def test_a_slice_that_cannot_be_read_is_not_left_out_without_a_word(
    content: bytes, tmp_path: Path, patient: Path, series: LoadedSeries
) -> None:
    write_seg(patient / "seg.dcm", series, {"tumour": TUMOUR})
    (patient / "ct" / "0010.dcm").write_bytes(content)
    (patient / "notes.txt").write_text("no slice")

    assert "case-1: file 10 of 11 cannot be read as DICOM" in rejection(tmp_path)


def test_two_patients_in_one_folder_are_refused(tmp_path: Path, patient: Path, series: LoadedSeries) -> None:
    write_seg(patient / "seg.dcm", series, {"tumour": TUMOUR})
    other = pydicom.dcmread(patient / "ct" / "0001.dcm")
    other.PatientID = "another private one"
    other.save_as(patient / "ct" / "0001.dcm")

    assert "case-1: objects of 2 patients in one folder, expected one" in rejection(tmp_path)


def test_one_patient_in_two_folders_is_refused(tmp_path: Path) -> None:
    for number in (1, 2):
        folder = tmp_path / "data" / f"case-{number}"
        write_seg(folder / "seg.dcm", write_ct(folder, seed=number), {"tumour": TUMOUR})

    problem = rejection(tmp_path)
    assert f"case-1 of dicom:{tmp_path / 'data'} and case-2 of dicom:" in problem
    assert problem.endswith("have the same Patient ID: a patient must be in one place")


def test_a_series_of_varying_spacing_is_refused(tmp_path: Path) -> None:
    files = save(Series().images_at([0, 1, 2, 3, 5, 7, 9]), tmp_path)
    images = tuple(read_header(file, number, len(files)) for number, file in enumerate(files, start=1))
    outlined = OutlinedSeries(patient="case-1", series_uid="1.2.2", images=images, outlines=())

    with pytest.raises(DataRefused, match=r"case-1/1\.2\.2: its slices are not evenly spaced"):
        read_outlined(outlined, "dicom", TumourNames())
