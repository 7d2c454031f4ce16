from __future__ import annotations

import random
import shutil
import subprocess
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pydicom
import pytest
import SimpleITK
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate_extended, generate_fragmented_frames
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from dicom_node.errors import SeriesRejected
from tests.fixtures.worker.analysed_series import STORED_SCANS, Scan
from tests.fixtures.worker.ct_series import Series, save
from tests.fixtures.worker.multi_frame import (
    ENHANCED_UID,
    concatenation,
    converted,
    enhanced,
    groups_of,
    with_group,
)
from worker.ct import rejections
from worker.ct.reader import LoadedSeries, load
from worker.priors.acquisition import acquisition_of

sitk: Any = SimpleITK  # untyped


def shuffled(images: Sequence[Dataset]) -> list[Dataset]:
    return random.Random(4).sample(images, len(images))


MADE: dict[str, Callable[[list[Dataset]], list[Dataset]]] = {
    "enhanced, with shared groups": lambda images: [enhanced(images)],
    "enhanced, each frame with all groups": lambda images: [enhanced(images, is_shared=False)],
    "enhanced, frames in any order": lambda images: [enhanced(shuffled(images))],
    "a concatenation of three": lambda images: concatenation(images, slice(0, 5), slice(5, 6), slice(6, 12)),
    "a concatenation, frames in any order": lambda images: concatenation(shuffled(images), slice(0, 7), slice(7, 12)),
    "two stacks, one above the other": lambda images: [with_group(enhanced(images), "StackID", ["11111222222", "2"])],
    "legacy converted by highdicom": lambda images: [converted(shuffled(images))],
}  # fmt: skip
"""Ways to store the twelve images of a `Scan` as multi-frame images."""


def loaded(instances: Sequence[Dataset], folder: Path) -> LoadedSeries:
    folder.mkdir(exist_ok=True)
    return load(save(list(instances), folder))


@pytest.mark.parametrize("scan", STORED_SCANS.values(), ids=STORED_SCANS.keys())
@pytest.mark.parametrize("name", MADE)
def test_a_multi_frame_series_is_the_volume_of_its_single_frame_original(
    name: str, scan: dict[str, Any], tmp_path: Path
) -> None:
    images = Scan(**scan).images()
    for number, image in enumerate(images):
        image.RescaleIntercept = -number  # each frame has its own rescale
    expected = loaded(images, tmp_path / "single")

    series = loaded(MADE[name](images), tmp_path / "multi")

    assert np.array_equal(series.volume.hu, expected.volume.hu)
    assert np.array_equal(series.volume.affine, expected.volume.affine)
    assert series.frame_of_reference_uid == expected.frame_of_reference_uid
    assert [image.ImagePositionPatient for image in series.datasets] == [
        image.ImagePositionPatient for image in expected.datasets
    ]


def test_each_slice_has_the_frame_that_it_was_read_from(tmp_path: Path) -> None:
    images = shuffled(Scan().images())
    instances = concatenation(images, slice(0, 7), slice(7, 12))

    series = loaded(instances, tmp_path)

    assert set(series.sop_instance_uids) == {f"{ENHANCED_UID}.1", f"{ENHANCED_UID}.2"}
    by_uid = {instance.SOPInstanceUID: instance for instance in instances}
    for index, (frame, plane) in enumerate(zip(series.frames, series.volume.hu, strict=True)):
        assert frame.number is not None
        instance = by_uid[frame.sop_instance_uid]
        position = groups_of(instance, frame.number).PlanePositionSequence[0].ImagePositionPatient
        assert np.array(position, float) == pytest.approx((series.volume.affine @ (index, 0, 0, 1))[:3])
        assert np.array_equal(plane, instance.pixel_array[frame.number - 1])


@pytest.mark.parametrize("make", [enhanced, converted])
def test_the_volume_is_that_of_highdicom_and_simpleitk(make: Callable[..., Dataset], tmp_path: Path) -> None:
    images = Scan().images()
    series = loaded([make(images)], tmp_path)
    (file,) = tmp_path.iterdir()

    by_highdicom = highdicom.imread(file).get_volume()
    assert by_highdicom.affine[2, 0] < 0  # from head to feet
    assert np.array_equal(series.volume.hu, by_highdicom.array[::-1])
    assert by_highdicom.flip_spatial(0).affine == pytest.approx(series.volume.affine)
    if make is enhanced:  # GDCM takes the frames of the converted image as they are stored, from head to feet
        by_itk = sitk.ReadImage(str(file))
        assert np.array_equal(series.volume.hu, sitk.GetArrayFromImage(by_itk))
        assert by_itk.GetOrigin() == pytest.approx(series.volume.affine[:3, 3])
        assert by_itk.GetSpacing()[::-1] == pytest.approx(series.volume.spacing)


def test_the_enhanced_images_of_these_tests_conform_to_the_standard(tmp_path: Path) -> None:
    dciodvfy = shutil.which("dciodvfy")
    if dciodvfy is None:
        pytest.skip("dciodvfy of dicom3tools is not installed")
    images = Scan().images()
    parts = concatenation(images, slice(0, 5), slice(5, 12))
    for number, instance in enumerate([enhanced(images), enhanced(images, is_shared=False), *parts]):
        file = tmp_path / f"{number}.dcm"
        instance.save_as(file, enforce_file_format=True)
        found = subprocess.run([dciodvfy, "-new", file], check=False, capture_output=True, text=True)
        assert "EnhancedCTImage" in found.stderr
        assert "Error" not in found.stderr


# -- transfer syntaxes --


def by_pydicom(syntax: UID) -> Callable[[Dataset], object]:
    return lambda image: image.compress(syntax, generate_instance_uid=False)


def with_extended_offsets(image: Dataset) -> None:
    by_pydicom(JPEGLSLossless)(image)
    frames = list(pydicom.encaps.generate_frames(image.PixelData, number_of_frames=image.NumberOfFrames))
    encoded, image.ExtendedOffsetTable, image.ExtendedOffsetTableLengths = encapsulate_extended(frames)
    image.PixelData = encoded


def in_fragments(image: Dataset) -> None:
    """Three fragments for each frame, and no offsets: only the ends of the JPEG streams tell where a frame ends."""
    by_pydicom(JPEG2000Lossless)(image)
    frames = generate_fragmented_frames(image.PixelData, number_of_frames=image.NumberOfFrames)
    items = [item for frame in frames for item in pydicom.encaps.itemize_frame(b"".join(frame), 3)]
    image.PixelData = b"".join([b"\xfe\xff\x00\xe0\x00\x00\x00\x00", *items])


def big_endian(image: Dataset) -> None:
    image.PixelData = np.frombuffer(image.PixelData, "<u2").astype(">u2").tobytes()
    image.file_meta.TransferSyntaxUID = ExplicitVRBigEndian


def in_syntax(syntax: UID) -> Callable[[Dataset], object]:
    return lambda image: setattr(image.file_meta, "TransferSyntaxUID", syntax)


ENCODINGS: dict[str, Callable[[Dataset], object]] = {
    "Implicit VR Little Endian": in_syntax(ImplicitVRLittleEndian),
    "Explicit VR Big Endian": big_endian,
    "Deflated Explicit VR Little Endian": in_syntax(DeflatedExplicitVRLittleEndian),
    "JPEG 2000 Lossless": by_pydicom(JPEG2000Lossless),
    "JPEG 2000 Lossless in fragments": in_fragments,
    "JPEG-LS Lossless": by_pydicom(JPEGLSLossless),
    "JPEG-LS Lossless with an extended offset table": with_extended_offsets,
    "RLE Lossless": by_pydicom(RLELossless),
}


@pytest.mark.parametrize("name", ENCODINGS)
def test_every_transfer_syntax_gives_the_same_voxels(name: str, tmp_path: Path) -> None:
    images = Series(rows=40, columns=48, noise_hu=200).images()
    expected = loaded(images, tmp_path / "single").volume
    image = enhanced(shuffled(images))
    ENCODINGS[name](image)
    syntax = UID(image.file_meta.TransferSyntaxUID)
    file = tmp_path / "multi.dcm"
    image.save_as(file, enforce_file_format=True)

    series = load([file])

    assert {header.file_meta.TransferSyntaxUID for header in series.datasets} == {syntax}
    assert np.array_equal(series.volume.hu, expected.hu)


@pytest.mark.parametrize("command", [("dcmcjpeg", "+e1"), ("dcmcjpls", "+el"), ("dcmcrle",)], ids=lambda c: c[0])
def test_frames_compressed_by_dcmtk_give_the_same_voxels(command: tuple[str, ...], tmp_path: Path) -> None:
    program = shutil.which(command[0], path="/usr/bin:/usr/local/bin")  # not that of a virtual environment
    if program is None:
        pytest.skip(f"dcmtk's {command[0]} is not installed")
    images = Series(rows=40, columns=48, noise_hu=200).images()
    expected = loaded(images, tmp_path / "single").volume
    (file,) = save([enhanced(images)], tmp_path)
    subprocess.run([program, *command[1:], file, file], check=True, capture_output=True)

    assert np.array_equal(load([file]).volume.hu, expected.hu)


def test_reading_needs_less_than_twice_the_memory_of_the_volume(tmp_path: Path) -> None:
    files = save([enhanced(Series(slices=24, rows=256, columns=256).images())], tmp_path)
    load(files)
    tracemalloc.start()

    volume = load(files).volume

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * volume.hu.nbytes


# -- what the frames are --


def test_a_frame_has_the_acquisition_of_its_functional_groups(tmp_path: Path) -> None:
    images = Scan().images()
    for image in images:
        image.ConvolutionKernel = "B70f"

    for number, made in enumerate([enhanced(images), enhanced(images, is_shared=False), converted(images)]):
        header = loaded([made], tmp_path / str(number)).datasets[5]
        assert (header.ConvolutionKernel, header.KVP, header.AcquisitionNumber) == ("B70f", 120, 1)
        assert acquisition_of(header).kernel == "B70f"


def test_without_contrast_agent_in_the_header_none_was_given(tmp_path: Path) -> None:
    assert acquisition_of(loaded([enhanced(Scan().images())], tmp_path).datasets[0]).has_contrast is False


@pytest.mark.parametrize(("administered", "has_contrast"), [("YES", True), ("NO", False)])
def test_a_frame_tells_whether_contrast_agent_was_given(administered: str, has_contrast: bool, tmp_path: Path) -> None:
    image = enhanced(Scan().images())
    agent, usage = Dataset(), Dataset()
    agent.ContrastBolusAgentNumber = usage.ContrastBolusAgentNumber = 1
    usage.ContrastBolusAgentAdministered = administered
    image.ContrastBolusAgentSequence = [agent]
    image.SharedFunctionalGroupsSequence[0].ContrastBolusUsageSequence = [usage]

    assert acquisition_of(loaded([image], tmp_path).datasets[0]).has_contrast is has_contrast


# -- rejections --


def rejection_of(instances: Sequence[Dataset], folder: Path) -> SeriesRejected:
    with pytest.raises(SeriesRejected) as caught:
        loaded(instances, folder)
    assert "\n" not in str(caught.value)
    assert "SECRET" not in str(caught.value)
    return caught.value


def setting(keyword: str, value: object) -> Callable[[list[Dataset]], list[Dataset]]:
    """Return a function that makes an enhanced image in which the group with the element differs in frame 3."""

    def make(images: list[Dataset]) -> list[Dataset]:
        image = enhanced(images, is_shared=False)
        return [with_group(image, keyword, {3: value})]

    return make


def twice(keyword: str, first: object, second: object) -> Callable[[list[Dataset]], list[Dataset]]:
    """Return a function that makes an enhanced image of two volumes at the same positions."""

    def make(images: list[Dataset]) -> list[Dataset]:
        image = enhanced([*images, *images], is_shared=False)
        return [with_group(image, keyword, [first] * len(images) + [second] * len(images))]

    return make


def without(keyword: str) -> Callable[[list[Dataset]], list[Dataset]]:
    def make(images: list[Dataset]) -> list[Dataset]:
        image = enhanced(images, is_shared=False)
        delattr(groups_of(image, 3), keyword)
        return [image]

    return make


def cut(images: list[Dataset]) -> list[Dataset]:
    image = enhanced(images)
    image.PixelData = image.PixelData[:-50]
    return [image]


def cut_stream(images: list[Dataset]) -> list[Dataset]:
    image = enhanced(images)
    by_pydicom(JPEGLSLossless)(image)
    frames = list(pydicom.encaps.generate_frames(image.PixelData, number_of_frames=12))
    frames[2] = frames[2][: len(frames[2]) // 4 * 2]
    image.PixelData = pydicom.encaps.encapsulate(frames)
    return [image]


def one_frame_less_described(images: list[Dataset]) -> list[Dataset]:
    image = enhanced(images)
    del image.PerFrameFunctionalGroupsSequence[-1]
    return [image]


F3 = "instance 1.2.5.1 frame 3"
SEVERAL = "its slices are of several reconstructions or acquisitions"
VOLUME = ["ORIGINAL", "PRIMARY", "VOLUME"]

Case = tuple[Callable[[list[Dataset]], list[Dataset]], type[SeriesRejected], str]
CASES: dict[str, Case] = {
    "a localizer": (
        setting("FrameType", ["ORIGINAL", "PRIMARY", "LOCALIZER", "NONE"]), rejections.Localizer,
        f"{F3} is a localizer (scout), axial slices are needed",
    ),
    "the largest values of a slab": (
        setting("FrameType", ["DERIVED", "PRIMARY", "VOLUME", "MAXIMUM"]), rejections.Projection,
        f"{F3} is a projection (MAXIMUM), slices are needed",
    ),
    "a projection of the volume": (
        setting("VolumeBasedCalculationTechnique", "MAX_IP"), rejections.Projection,
        f"{F3} is a projection (MAX_IP), slices are needed",
    ),
    "a rendered surface": (
        setting("VolumeBasedCalculationTechnique", "SURFACE_RENDER"), rejections.NotCt,
        f"{F3} is not a CT image: Volume Based Calculation Technique says SURFACE_RENDER",
    ),
    "a plane that is not flat": (
        setting("VolumetricProperties", "DISTORTED"), rejections.NotCt,
        f"{F3} is not a CT image: Volumetric Properties says DISTORTED",
    ),
    "a subtraction": (
        setting("FrameType", ["DERIVED", "PRIMARY", "VOLUME", "SUBTRACTION"]), rejections.NotHounsfield,
        f"{F3} has no Hounsfield units: Image Type says SUBTRACTION, a map",
    ),
    "an iodine map": (
        setting("RescaleType", "MGML"), rejections.NotHounsfield,
        f"{F3} has no Hounsfield units: RescaleType is MGML, not HU",
    ),
    "no rescale": (
        without("PixelValueTransformationSequence"), rejections.NotHounsfield,
        f"{F3} has no Hounsfield units: RescaleSlope or RescaleIntercept is missing or not a number",
    ),
    "no position": (
        without("PlanePositionSequence"), rejections.MissingGeometry,
        f"{F3} cannot be placed in space: ImagePositionPatient is missing or not 3 numbers",
    ),
    "no pixel spacing": (
        without("PixelMeasuresSequence"), rejections.MissingGeometry,
        f"{F3} cannot be placed in space: PixelSpacing is missing or not 2 numbers",
    ),
    "another orientation": (
        setting("ImageOrientationPatient", [1, 0, 0, 0, 0.9998, 0.02]), rejections.DifferingGeometry,
        "ImageOrientationPatient of instance 1.2.5.1 frame 3 differs from that of the first slice "
        "(limit 0.001 in each cosine)",
    ),
    "a missing frame": (
        lambda images: [enhanced([image for image in images if image is not images[2]])], rejections.MissingSlices,
        "1 gap(s) in the stack, the widest of 5.00 mm where slices are 2.50 mm apart, "
        "between instances 1.2.5.1 frame 2 and 1.2.5.1 frame 3",
    ),
    "two points of time": (
        twice("TemporalPositionIndex", 1, 2), rejections.MixedReconstructions,
        f"{SEVERAL}: 2 different TemporalPositionIndex",
    ),
    "two cardiac phases": (
        twice("NominalPercentageOfCardiacPhase", 40.0, 75.0), rejections.MixedReconstructions,
        f"{SEVERAL}: 2 different NominalPercentageOfCardiacPhase",
    ),
    "two stacks at one place": (
        twice("StackID", "1", "2"), rejections.MixedReconstructions, f"{SEVERAL}: 2 different StackID",
    ),
    "two kernels": (
        twice("ConvolutionKernel", "B30f", "B70f"), rejections.MixedReconstructions,
        f"{SEVERAL}: 2 different ConvolutionKernel",
    ),
    "two energies": (
        twice("MonoenergeticEnergyEquivalent", 50.0, 70.0), rejections.MixedReconstructions,
        f"{SEVERAL}: 2 different MonoenergeticEnergyEquivalent",
    ),
    "two volumes alike": (
        lambda images: [enhanced([*images, *images])], rejections.DuplicatePositions,
        "12 pair(s) of slices at one position (closer than 0.01 mm), the first: "
        "instances 1.2.5.1 frame 1 and 1.2.5.1 frame 13",
    ),
    "interleaved points of time": (
        lambda images: [with_group(enhanced(images), "TemporalPositionIndex", [1, 2] * 6)],
        rejections.MixedReconstructions, f"{SEVERAL}: 2 different TemporalPositionIndex",
    ),
    "a part of a concatenation": (
        lambda images: concatenation(images, slice(0, 5), slice(5, 12))[:1], rejections.IncompleteConcatenation,
        "1 of the 2 instances of concatenation 1.2.5.9 are present",
    ),
    "single frames beside it": (
        lambda images: [enhanced(images), *images], rejections.MixedSeries,
        "instances of 2 different SOPClassUID are mixed, one is needed",
    ),
    "the same instance twice": (
        lambda images: [enhanced(images), enhanced(images)], rejections.DuplicateInstances,
        "instance 1.2.5.1 is present 2 times, once is needed",
    ),
    "a frame that is not described": (
        one_frame_less_described, rejections.UndescribedFrames,
        "instance 1.2.5.1 does not describe its frames: NumberOfFrames is 12, functional groups describe 11",
    ),
    "too few pixels": (
        cut, rejections.TruncatedInstance,
        "instance 1.2.5.1 frame 12 is truncated: 2830 bytes of pixel data, 2880 are needed",
    ),
    "a frame that was cut off": (
        cut_stream, rejections.TruncatedInstance, f"{F3} is truncated: its compressed image has no end marker",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_an_unsuitable_image_is_rejected_with_a_reason_that_names_the_frame_or_the_dimension(
    name: str, tmp_path: Path
) -> None:
    make, error, reason = CASES[name]

    rejected = rejection_of(make(Scan().images()), tmp_path)

    assert (type(rejected), rejected.reason) == (error, reason)
