from __future__ import annotations

import math
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pydicom
import pytest
import SimpleITK
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from tests.fixtures.worker.ct_series import Series, save
from worker.ct.reader import load

sitk: Any = SimpleITK  # untyped

SHARED = Path(__file__).parents[5] / "shared" / "data"

HALF = math.sqrt(0.5)
TILT = math.radians(20)

ORIENTATIONS: dict[str, Series] = {
    "head first, supine": Series(),
    "feet first, supine": Series(orientation=(-1, 0, 0, 0, 1, 0)),
    "prone": Series(orientation=(-1, 0, 0, 0, -1, 0)),
    "rows reversed": Series(orientation=(1, 0, 0, 0, -1, 0)),
    "rows and columns exchanged": Series(orientation=(0, 1, 0, 1, 0, 0)),
    "turned in the plane": Series(orientation=(HALF, HALF, 0, -HALF, HALF, 0)),
    "tilted, slices stacked along their normal": Series(
        orientation=(1, 0, 0, 0, math.cos(TILT), math.sin(TILT))
    ),
    "gantry tilt, slices stacked along the table": Series(
        orientation=(1, 0, 0, 0, math.cos(TILT), math.sin(TILT)), step=(0, 0, 2.5)
    ),
}  # fmt: skip
ORTHOGONAL = [name for name in ORIENTATIONS if "gantry" not in name]


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_every_voxel_is_at_the_position_given_by_its_image(name: str, tmp_path: Path) -> None:
    series = ORIENTATIONS[name]

    volume = load(save(series.images(), tmp_path, shuffled=True)).volume

    index = np.stack(np.meshgrid(*map(np.arange, volume.hu.shape), indexing="ij"), axis=-1)
    places = index @ volume.affine[:3, :3].T + volume.affine[:3, 3]
    assert np.abs(volume.hu - series.hu_at(places)).max() <= 0.51
    assert volume.hu.dtype == np.float32
    assert volume.spacing[1:] == pytest.approx(series.spacing_mm[1:])


VARYING: dict[str, tuple[dict[str, Any], list[float]]] = {
    "2.5 mm, then 5 mm": ({}, [*range(0, 8), 9, 11, 13, 15]),
    "5 mm, then 2.5 mm, stored from the head down": ({"orientation": (-1, 0, 0, 0, 1, 0)}, [0, 2, 4, 6, *range(7, 13)]),
    "overlapping reconstructions": ({}, [0, 0.4, 1, 1.4, 2, 2.4, 3, 3.4, 4, 4.4]),
    "a spacing that drifts": ({}, [1.02**step * step for step in range(20)]),
    "with a tilted gantry": (
        {"orientation": (1, 0, 0, 0, math.cos(TILT), math.sin(TILT)), "step": (0, 0, 2.5)},
        [0, 1, 2, 3, 4, 6, 8, 10, 12],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", VARYING)
def test_a_varying_spacing_becomes_an_even_stack_at_the_same_positions(name: str, tmp_path: Path) -> None:
    """Hounsfield units that are linear in position stay so between the images; beyond the last, it is repeated."""
    fields, heights = VARYING[name]
    series = Series(**fields, rows=10, columns=8)
    images = series.images_at(heights)

    loaded = load(save(images, tmp_path, shuffled=True))

    volume = loaded.volume
    assert volume.places is not None
    assert loaded.sop_instance_uids == tuple(image.SOPInstanceUID for image in images)
    finest = min(np.diff(heights)) * 2.5
    assert finest <= volume.spacing[0] <= 1.25 * finest
    index = np.stack(np.meshgrid(*map(np.arange, volume.hu.shape), indexing="ij"), axis=-1).astype(float)
    index[..., 0] = index[..., 0].clip(volume.places[0], volume.places[-1])
    places = index @ volume.affine[:3, :3].T + volume.affine[:3, 3]
    assert np.abs(volume.hu - series.hu_at(places)).max() <= 0.51
    for image, place in zip(images, volume.places, strict=True):
        assert (volume.affine @ (place, 0, 0, 1))[:3] == pytest.approx(list(image.ImagePositionPatient), abs=1e-4)


def test_the_finest_part_of_a_varying_stack_keeps_its_images(tmp_path: Path) -> None:
    images = Series(noise_hu=100).images_at([0, 2, 4, 6, 7, 8, 9, 10])

    volume = load(save(images, tmp_path)).volume

    for image, index in zip(images, (0, 2, 4, 6, 7, 8, 9, 10), strict=True):
        assert np.array_equal(volume.hu[index], image.pixel_array.astype(np.float32) - 1024)


def test_slices_are_ordered_along_the_normal_with_their_uids_and_headers(tmp_path: Path) -> None:
    images = Series().images()

    series = load(save(images, tmp_path, shuffled=True))

    assert series.sop_instance_uids == tuple(image.SOPInstanceUID for image in images)
    assert [image.SOPInstanceUID for image in series.datasets] == list(series.sop_instance_uids)
    assert all("PixelData" not in image for image in series.datasets)
    assert (series.study_uid, series.series_uid, series.frame_of_reference_uid) == ("1.2.1", "1.2.2", "1.2.3")


@pytest.mark.parametrize("name", ORTHOGONAL)
def test_voxels_and_affine_are_those_of_highdicom(name: str, tmp_path: Path) -> None:
    files = save(ORIENTATIONS[name].images(), tmp_path, shuffled=True)

    volume = load(files).volume

    reference = highdicom.get_volume_from_series([pydicom.dcmread(file) for file in files])
    assert_same_volume(volume.hu, volume.affine, reference.array, reference.affine)


@pytest.mark.parametrize("name", ORTHOGONAL)
def test_voxels_and_affine_are_those_of_simpleitk(name: str, tmp_path: Path) -> None:
    files = save(ORIENTATIONS[name].images(), tmp_path, shuffled=True)

    volume = load(files).volume

    assert_same_volume(volume.hu, volume.affine, *read_by_simpleitk(tmp_path))


def read_by_simpleitk(folder: Path) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    affine = np.eye(4)
    affine[:3, :3] = (np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing())[:, ::-1]
    affine[:3, 3] = image.GetOrigin()
    return sitk.GetArrayFromImage(image).astype(np.float32), affine


def assert_same_volume(
    hu: NDArray[np.float32], affine: NDArray[np.float64], other: NDArray[Any], other_affine: NDArray[np.float64]
) -> None:
    """Compare two volumes that may be stacked in opposite directions."""
    if other_affine[:3, 0] @ affine[:3, 0] < 0:
        other = other[::-1]
        other_affine = other_affine.copy()
        other_affine[:3, 3] += other_affine[:3, 0] * (len(other) - 1)
        other_affine[:3, 0] *= -1
    assert affine == pytest.approx(other_affine, abs=1e-4)
    assert np.array_equal(hu, other)


@pytest.mark.parametrize("name", ["c3n-00247", "lung-dx-a0001"])
def test_a_real_series_has_the_voxels_and_affine_of_highdicom_and_simpleitk(name: str, tmp_path: Path) -> None:
    if not (SHARED / "unpack").exists():
        pytest.skip("the shared data is not there")
    subprocess.run([SHARED / "unpack", tmp_path, name], check=True, capture_output=True)
    files = sorted((tmp_path / name).glob("*.dcm"))

    volume = load(files).volume

    assert_same_volume(volume.hu, volume.affine, *read_by_simpleitk(tmp_path / name))
    reference = highdicom.get_volume_from_series([pydicom.dcmread(file) for file in files], dtype=np.float32)
    assert_same_volume(volume.hu, volume.affine, reference.array, reference.affine)


def change(files: list[Path], alter: Callable[[Dataset], object], which: slice = slice(None)) -> list[Path]:
    for file in files[which]:
        image = pydicom.dcmread(file)
        alter(image)
        image.save_as(file)
    return files


def stored(image: Dataset, dtype: str = "<u2") -> NDArray[Any]:
    return np.frombuffer(image.PixelData, dtype).reshape(image.Rows, image.Columns).copy()


def test_each_slice_has_its_own_rescale(tmp_path: Path) -> None:
    files = save(Series().images(), tmp_path)
    expected = load(files).volume.hu.copy()

    def halve(image: Dataset) -> None:
        image.PixelData = (stored(image) * 2).tobytes()
        image.RescaleSlope, image.BitsStored, image.HighBit = 0.5, 16, 15

    change(files, halve, slice(1, 3))

    assert np.array_equal(load(files).volume.hu, expected)


@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
def test_bits_outside_of_the_stored_ones_are_ignored(signed: bool, tmp_path: Path) -> None:
    files = save(Series(signed=signed, noise_hu=200).images(), tmp_path)
    expected = load(files).volume.hu.copy()

    def fill_unused_bits(image: Dataset) -> None:
        assert image.BitsStored == 12
        image.PixelData = (stored(image) & 0x0FFF | 0xA000).tobytes()

    change(files, fill_unused_bits)

    assert np.array_equal(load(files).volume.hu, expected)


def test_stored_bits_may_be_the_high_bits(tmp_path: Path) -> None:
    files = save(Series().images(), tmp_path)
    expected = load(files).volume.hu.copy()

    def shift(image: Dataset) -> None:
        image.PixelData = (stored(image) << 4).tobytes()
        image.HighBit = 15

    change(files, shift)

    assert np.array_equal(load(files).volume.hu, expected)


@pytest.mark.parametrize(
    ("attributes", "air"),
    [
        ({"PixelPaddingValue": -2000}, [True, False, False]),
        ({"PixelPaddingValue": -2000, "PixelPaddingRangeLimit": -1900}, [True, True, False]),
        ({"PixelPaddingValue": -1900, "PixelPaddingRangeLimit": -2000}, [True, True, False]),
        ({"PixelPaddingValue": 40}, [False, False, False]),  # ignored: a tissue's value
    ],
    ids=["a value", "a range", "a range upside down", "a value of tissue"],
)
def test_padding_is_set_to_air(attributes: dict[str, int], air: list[bool], tmp_path: Path) -> None:
    values = [-2000, -1950, 40]

    def pad(image: Dataset) -> None:
        pixels = stored(image, "<i2")
        pixels[0, :3] = values
        image.PixelData = pixels.tobytes()
        image.BitsStored, image.HighBit, image.RescaleIntercept = 16, 15, 0
        for keyword, value in attributes.items():
            image.add_new(keyword, "SS", value)

    files = change(save(Series(signed=True).images(), tmp_path), pad)

    corner = load(files).volume.hu[:, 0, :3]

    expected = [-1000 if is_air else value for is_air, value in zip(air, values, strict=True)]
    assert corner.tolist() == [expected] * len(files)


def test_unsigned_padding_values_are_recognised_in_signed_pixels(tmp_path: Path) -> None:
    def pad(image: Dataset) -> None:
        pixels = stored(image, "<i2")
        pixels[0, 0] = -2000
        image.PixelData = pixels.tobytes()
        image.BitsStored, image.HighBit, image.RescaleIntercept = 16, 15, 0
        image.add_new("PixelPaddingValue", "US", 63536)

    files = change(save(Series(signed=True).images(), tmp_path), pad)

    assert load(files).volume.hu[:, 0, 0].tolist() == [-1000] * len(files)


def test_positions_with_few_decimals_are_accepted(tmp_path: Path) -> None:
    def round_position(image: Dataset) -> None:
        image.ImagePositionPatient = [round(value, 1) for value in image.ImagePositionPatient]

    files = change(save(Series(spacing_mm=(0.625, 0.7, 0.8), slices=40).images(), tmp_path), round_position)

    assert load(files).volume.spacing[0] == pytest.approx(0.625, abs=0.003)
