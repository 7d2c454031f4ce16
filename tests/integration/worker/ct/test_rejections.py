from __future__ import annotations

import contextlib
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID, JPEG2000Lossless, JPEGLSLossless, RLELossless

from dicom_node.errors import SeriesRejected
from tests.fixtures.worker.ct_series import Series, save
from worker.ct import rejections
from worker.ct.reader import load

SHARED = Path(__file__).parents[5] / "shared" / "data"

ENHANCED, PET, SEG = "1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.128", "1.2.840.10008.5.1.4.1.1.66.4"


def rejection_of(files: list[Path]) -> SeriesRejected:
    """The rejection of a series; its message is one line without patient data."""
    with pytest.raises(SeriesRejected) as caught:
        load(files)
    message = str(caught.value)
    assert "\n" not in message
    assert "SECRET" not in message
    assert "19330303" not in message
    return caught.value


def setting(keyword: str, value: Any) -> Callable[[list[Dataset]], object]:  # noqa: ANN401  (any DICOM value)
    """A function that sets an attribute of the third image."""
    return lambda images: setattr(images[2], keyword, value)


def deleting(keyword: str) -> Callable[[list[Dataset]], object]:
    return lambda images: delattr(images[2], keyword)


def move(images: list[Dataset], number: int, mm: tuple[float, float, float]) -> None:
    image = images[number - 1]
    image.ImagePositionPatient = [float(a + b) for a, b in zip(image.ImagePositionPatient, mm, strict=True)]


def shear(images: list[Dataset], mm: float) -> None:
    for number in range(1, len(images) + 1):
        move(images, number, (mm * number, 0, 0))


def drop(images: list[Dataset], *numbers: int) -> None:
    images[:] = [image for number, image in enumerate(images, start=1) if number not in numbers]


def set_orientation(images: list[Dataset], *cosines: float) -> None:
    for image in images:
        image.ImageOrientationPatient = list(cosines)


def drop_and_number(images: list[Dataset], *numbers: int) -> None:
    """Leave images out and number the others without a gap, as archives may do."""
    drop(images, *numbers)
    for number, image in enumerate(images, start=1):
        image.InstanceNumber = number


def number_acquisitions(images: list[Dataset], *numbers: int) -> None:
    for image, number in zip(images, numbers, strict=True):
        image.AcquisitionNumber = number


def set_kernels(images: list[Dataset], *kernels: str) -> None:
    for image, kernel in zip(images, kernels, strict=True):
        image.ConvolutionKernel = kernel


def give_another_birth_date(images: list[Dataset]) -> None:
    del images[0].PatientBirthDate
    images[2].PatientBirthDate = "19330304"


Case = tuple[Callable[[list[Dataset]], object], type[SeriesRejected], str]

CASES: dict[str, Case] = {
    "PET": (
        setting("SOPClassUID", PET),
        rejections.NotCt,
        "instance 1.2.4.3 is not a CT image: its SOP class is Positron Emission Tomography Image Storage",
    ),
    "an MR called CT": (
        setting("Modality", "MR"),
        rejections.NotCt,
        "instance 1.2.4.3 is not a CT image: its Modality is not CT",
    ),
    "in colour": (
        setting("SamplesPerPixel", 3),
        rejections.NotCt,
        "instance 1.2.4.3 is not a CT image: SamplesPerPixel is not 1",
    ),
    "enhanced CT": (
        setting("SOPClassUID", ENHANCED),
        rejections.UndescribedFrames,
        "instance 1.2.4.3 does not describe its frames: NumberOfFrames is 0, functional groups describe 0",
    ),
    "several frames": (
        setting("NumberOfFrames", 7),
        rejections.UndescribedFrames,
        "instance 1.2.4.3 does not describe its frames: NumberOfFrames is not 1, and the SOP class is CT Image Storage",
    ),
    "scout": (
        setting("ImageType", ["ORIGINAL", "PRIMARY", "LOCALIZER", "CT_SOM5 TOP"]),
        rejections.Localizer,
        "instance 1.2.4.3 is a localizer (scout), axial slices are needed",
    ),
    "slabs of largest values": (
        setting("ImageType", ["DERIVED", "SECONDARY", "AXIAL", "MIP"]),
        rejections.Projection,
        "instance 1.2.4.3 is a projection (MIP), slices are needed",
    ),
    "slabs of smallest values": (
        setting("ImageType", ["DERIVED", "SECONDARY", "MINIP"]),
        rejections.Projection,
        "instance 1.2.4.3 is a projection (MINIP), slices are needed",
    ),
    "slabs of means": (
        setting("ImageType", ["DERIVED", "SECONDARY", "average"]),
        rejections.Projection,
        "instance 1.2.4.3 is a projection (AVERAGE), slices are needed",
    ),
    "a map without a rescale type": (
        setting("ImageType", ["DERIVED", "PRIMARY", "AXIAL", "MAT_SPECIFIC"]),
        rejections.NotHounsfield,
        "instance 1.2.4.3 has no Hounsfield units: Image Type says MAT_SPECIFIC, a map",
    ),
    "a picture of a screen": (
        setting("ImageType", ["DERIVED", "SECONDARY", "SCREEN SAVE"]),
        rejections.NotCt,
        "instance 1.2.4.3 is not a CT image: Image Type says SCREEN SAVE",
    ),
    "two kernels": (
        lambda images: set_kernels(images, *"AABAAA"),
        rejections.MixedReconstructions,
        "its slices are of several reconstructions or acquisitions: 2 different ConvolutionKernel",
    ),
    "acquisitions that alternate": (
        lambda images: number_acquisitions(images, 1, 2, 1, 2, 1, 2),
        rejections.MixedReconstructions,
        "its slices are of several reconstructions or acquisitions: 2 different AcquisitionNumber",
    ),
    "one slice": (
        lambda images: drop(images, 2, 3, 4, 5, 6),
        rejections.TooFewSlices,
        "1 slice(s), at least 3 are needed to detect gaps",
    ),
    "two slices": (
        lambda images: drop(images, 3, 4, 5, 6),
        rejections.TooFewSlices,
        "2 slice(s), at least 3 are needed to detect gaps",
    ),
    "two series": (
        setting("SeriesInstanceUID", "1.2.9"),
        rejections.MixedSeries,
        "instances of 2 different SeriesInstanceUID are mixed, one is needed",
    ),
    "two patients": (
        setting("PatientID", "SECRET-2"),
        rejections.SeveralPatients,
        "images of several patients are mixed: 1 of 6 instances have another PatientID than the first",
    ),
    "two names": (
        setting("PatientName", "SECRET^OTHER"),
        rejections.SeveralPatients,
        "images of several patients are mixed: 1 of 6 instances have another PatientName than the first",
    ),
    "two birth dates, one of them left out before": (
        give_another_birth_date,
        rejections.SeveralPatients,
        "images of several patients are mixed: 1 of 6 instances have another PatientBirthDate than the first",
    ),
    "two frames of reference": (
        setting("FrameOfReferenceUID", "1.2.9"),
        rejections.MixedSeries,
        "instances of 2 different FrameOfReferenceUID are mixed, one is needed",
    ),
    "no frame of reference": (
        deleting("FrameOfReferenceUID"),
        rejections.MissingGeometry,
        "instance 1.2.4.3 cannot be placed in space: FrameOfReferenceUID is missing or not a UID",
    ),
    "an instance twice": (
        setting("SOPInstanceUID", "1.2.4.1"),
        rejections.DuplicateInstances,
        "instance 1.2.4.1 is present 2 times, once is needed",
    ),
    "no position": (
        deleting("ImagePositionPatient"),
        rejections.MissingGeometry,
        "instance 1.2.4.3 cannot be placed in space: ImagePositionPatient is missing or not 3 numbers",
    ),
    "half a position": (
        setting("ImagePositionPatient", [1, 2]),
        rejections.MissingGeometry,
        "instance 1.2.4.3 cannot be placed in space: ImagePositionPatient is missing or not 3 numbers",
    ),
    "no orientation": (
        deleting("ImageOrientationPatient"),
        rejections.MissingGeometry,
        "instance 1.2.4.3 cannot be placed in space: ImageOrientationPatient is missing or not 6 numbers",
    ),
    "no pixel spacing": (
        deleting("PixelSpacing"),
        rejections.MissingGeometry,
        "instance 1.2.4.3 cannot be placed in space: PixelSpacing is missing or not 2 numbers",
    ),
    "no rows": (
        deleting("Rows"),
        rejections.MissingGeometry,
        "instance 1.2.4.3 cannot be placed in space: Rows is missing or not above 0",
    ),
    "axes that are not at right angles": (
        lambda images: set_orientation(images, 1, 0, 0, 0.1, 0.995, 0),
        rejections.MissingGeometry,
        "instance 1.2.4.1 cannot be placed in space: "
        "ImageOrientationPatient is not two unit vectors at right angles (limit 0.001)",
    ),
    "another orientation": (
        setting("ImageOrientationPatient", [1, 0, 0, 0, 0.9998, 0.02]),
        rejections.DifferingGeometry,
        "ImageOrientationPatient of instance 1.2.4.3 differs from that of the first slice (limit 0.001 in each cosine)",
    ),
    "another pixel spacing": (
        setting("PixelSpacing", [0.7, 0.81]),
        rejections.DifferingGeometry,
        "PixelSpacing of instance 1.2.4.3 differs from that of the first slice (limit 0.001 mm)",
    ),
    "another size": (
        setting("Columns", 15),
        rejections.DifferingGeometry,
        "Columns of instance 1.2.4.3 differs from that of the first slice (limit equal)",
    ),
    "sagittal": (
        lambda images: set_orientation(images, 0, 1, 0, 0, 0, -1),
        rejections.NotAxial,
        "not an axial series: the slices are tilted by 90.0 degrees (limit 30)",
    ),
    "coronal": (
        lambda images: set_orientation(images, 1, 0, 0, 0, 0, -1),
        rejections.NotAxial,
        "not an axial series: the slices are tilted by 90.0 degrees (limit 30)",
    ),
    "tilted by 35 degrees": (
        lambda images: set_orientation(images, 1, 0, 0, 0, 0.819152, 0.573576),
        rejections.NotAxial,
        "not an axial series: the slices are tilted by 35.0 degrees (limit 30)",
    ),
    "a stack that leans over": (
        lambda images: shear(images, 2.5),
        rejections.NotAxial,
        "not an axial series: the stack leans against the slices' normal by 45.0 degrees (limit 30)",
    ),
    "two slices at one position": (
        lambda images: move(images, 3, (0, 0, -2.5)),
        rejections.DuplicatePositions,
        "1 pair(s) of slices at one position (closer than 0.01 mm), the first: instances 1.2.4.2 and 1.2.4.3",
    ),
    "a missing slice": (
        lambda images: drop(images, 3),
        rejections.MissingSlices,
        "1 gap(s) in the stack, the widest of 5.00 mm where slices are 2.50 mm apart, "
        "between instances 1.2.4.2 and 1.2.4.4",
    ),
    "a missing slice, the others numbered anew": (
        lambda images: drop_and_number(images, 3),
        rejections.MissingSlices,
        "1 gap(s) in the stack, the widest of 5.00 mm where slices are 2.50 mm apart, "
        "between instances 1.2.4.2 and 1.2.4.4",
    ),
    "a slice shifted sideways": (
        lambda images: move(images, 3, (4, 0, 0)),
        rejections.ShiftedSlices,
        "instance 1.2.4.3 is shifted sideways: it is 4.00 mm beside the straight line from the first slice to the last "
        "(limit 0.25 mm)",
    ),
    "no rescale": (
        deleting("RescaleSlope"),
        rejections.NotHounsfield,
        "instance 1.2.4.3 has no Hounsfield units: RescaleSlope or RescaleIntercept is missing or not a number",
    ),
    "rescale by zero": (
        setting("RescaleSlope", 0),
        rejections.NotHounsfield,
        "instance 1.2.4.3 has no Hounsfield units: RescaleSlope is 0, or a value is not finite",
    ),
    "an iodine map": (
        setting("RescaleType", "MGML"),
        rejections.NotHounsfield,
        "instance 1.2.4.3 has no Hounsfield units: RescaleType is MGML, not HU",
    ),
    "no pixels": (
        deleting("PixelData"),
        rejections.TruncatedInstance,
        "instance 1.2.4.3 is truncated: the file ends before its pixel data begins",
    ),
    "too few pixels": (
        lambda images: setattr(images[2], "PixelData", images[2].PixelData[:-50]),
        rejections.TruncatedInstance,
        "instance 1.2.4.3 is truncated: 590 bytes of pixel data, 640 are needed",
    ),
    "contradictory bits": (
        setting("HighBit", 9),
        rejections.UndecodablePixels,
        "pixel data of instance 1.2.4.3 cannot be decoded: BitsStored 12 and HighBit 9 contradict each other",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_an_unsuitable_series_is_rejected_with_a_one_line_reason(name: str, tmp_path: Path) -> None:
    alter, error, reason = CASES[name]
    images = Series().images()
    alter(images)

    rejected = rejection_of(save(images, tmp_path))

    assert type(rejected) is error
    assert rejected.reason == reason
    assert str(rejected) == f"series 1.2.2: {reason}"


@pytest.mark.parametrize("numbers", [(1, 2, 3, 4, 5, 6), (1, 1, 1, 2, 2, 2), (1, 1, 1, 1, 1, 1)])
def test_a_scan_in_steps_counts_its_acquisitions_and_is_one_series(numbers: tuple[int, ...], tmp_path: Path) -> None:
    images = Series().images()
    number_acquisitions(images, *numbers)

    assert len(load(save(images, tmp_path)).datasets) == 6


def test_an_element_that_some_slices_lack_makes_no_other_reconstruction(tmp_path: Path) -> None:
    images = Series().images()
    set_kernels(images, *"AAAAAA")
    images[2].ConvolutionKernel = ""
    del images[3].ConvolutionKernel

    assert len(load(save(images, tmp_path)).datasets) == 6


@pytest.mark.parametrize("unit", ["HU", "hu ", "HOUNSFIELD UNIT", "Hounsfield"])
def test_the_unit_of_hounsfield_may_be_written_out(unit: str, tmp_path: Path) -> None:
    images = Series().images()
    for image in images:
        image.RescaleType = unit

    assert len(load(save(images, tmp_path)).datasets) == 6


def test_a_stack_without_every_other_slice_in_one_half_is_rejected(tmp_path: Path) -> None:
    images = Series(slices=20).images()
    drop(images, 12, 14, 16, 18)

    rejected = rejection_of(save(images, tmp_path))

    assert isinstance(rejected, rejections.MissingSlices)
    assert rejected.reason.startswith("4 gap(s) in the stack, the widest of 5.00 mm where slices are 2.50 mm apart")


def test_a_varying_spacing_has_a_widest_gap(tmp_path: Path) -> None:
    images = Series(slices=12).images()
    for number in range(7, 13):
        move(images, number, (0, 0, 7.75 * (number - 6)))  # 2.5 mm, then 10.25 mm

    rejected = rejection_of(save(images, tmp_path))

    assert isinstance(rejected, rejections.WideGaps)
    assert rejected.reason == (
        "6 wide gap(s) in a stack of varying spacing, the widest of 10.25 mm (limit 10 mm), "
        "between instances 1.2.4.6 and 1.2.4.7"
    )


def twice(change: Callable[[Dataset, int], object]) -> list[Dataset]:
    """Two images at each position; `change` sets attributes of an image of the first (0) or second (1) time."""
    images = []
    for time in (0, 1):
        for number, image in enumerate(Series().images(), start=1):
            image.SOPInstanceUID, image.InstanceNumber = f"1.2.{4 + time}.{number}", 6 * time + number
            change(image, time)
            images.append(image)
    return images


def set_phase(image: Dataset, time: int) -> None:
    image.NominalPercentageOfCardiacPhase, image.TriggerTime = (40, 75)[time], (350, 690)[time]
    set_time(image, time)


def set_time(image: Dataset, time: int) -> None:
    image.AcquisitionNumber, image.AcquisitionTime, image.ContentTime = 1, f"09300{time}", f"09310{time}"


TOLD_APART: dict[str, tuple[Callable[[Dataset, int], object], str]] = {
    "two kernels": (lambda image, time: setattr(image, "ConvolutionKernel", "Bf"[time] * 2), "ConvolutionKernel"),
    "two phases of the heart": (set_phase, "NominalPercentageOfCardiacPhase"),
    "two trigger times": (lambda image, time: setattr(image, "TriggerTime", 350 + 340 * time), "TriggerTime"),
    "without and with contrast": (
        lambda image, time: setattr(image, "ContrastBolusAgent", "AGENT") if time else None,
        "ContrastBolusAgent",
    ),
    "two acquisitions": (lambda image, time: setattr(image, "AcquisitionNumber", 2 + time), "AcquisitionNumber"),
    "two times": (set_time, "AcquisitionTime"),
    "two tube voltages": (lambda image, time: setattr(image, "KVP", (80, 140)[time]), "KVP"),
    "two thicknesses": (lambda image, time: setattr(image, "SliceThickness", (1, 5)[time]), "SliceThickness"),
}


@pytest.mark.parametrize("name", TOLD_APART)
def test_two_reconstructions_in_one_series_are_rejected_by_what_tells_them_apart(name: str, tmp_path: Path) -> None:
    change, keyword = TOLD_APART[name]

    rejected = rejection_of(save(twice(change), tmp_path))

    assert isinstance(rejected, rejections.MixedReconstructions)
    assert rejected.reason.endswith(f": 2 different {keyword}")


def test_the_same_slices_twice_are_rejected_as_duplicates(tmp_path: Path) -> None:
    rejected = rejection_of(save(twice(lambda *_: None), tmp_path))

    assert isinstance(rejected, rejections.DuplicatePositions)
    assert rejected.reason.startswith("6 pair(s) of slices at one position")


def test_phases_of_the_heart_that_alternate_are_rejected(tmp_path: Path) -> None:
    images = Series().images()
    for number, image in enumerate(images):
        image.NominalPercentageOfCardiacPhase = 40 + 35 * (number % 2)

    assert rejection_of(save(images, tmp_path)).reason.endswith(": 2 different NominalPercentageOfCardiacPhase")


def test_one_phase_of_a_gated_scan_is_read_though_each_slice_has_its_own_trigger_time(tmp_path: Path) -> None:
    images = Series().images()
    for number, image in enumerate(images):
        image.NominalPercentageOfCardiacPhase, image.TriggerTime = 75, (690, 702, 690, 688, 702, 690)[number]

    assert len(load(save(images, tmp_path)).datasets) == 6


@pytest.mark.parametrize("kept", [0.02, 0.3, 0.6, 0.97])
def test_a_truncated_file_is_rejected(kept: float, tmp_path: Path) -> None:
    files = save(Series(rows=64, columns=64).images(), tmp_path)
    files[3].write_bytes(files[3].read_bytes()[: int(kept * files[3].stat().st_size)])

    rejected = rejection_of(files)

    assert isinstance(rejected, rejections.TruncatedInstance | rejections.UnreadableFile)
    assert rejected.series_uid == "1.2.2"


@pytest.mark.parametrize("kept", [0.5, 0.8, 0.98])
@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless, RLELossless], ids=lambda syntax: syntax.name)
def test_a_truncated_compressed_file_is_rejected(syntax: pydicom.uid.UID, kept: float, tmp_path: Path) -> None:
    files = save(Series(rows=64, columns=64, noise_hu=200).images(), tmp_path)
    for file in files:
        image = pydicom.dcmread(file)
        image.compress(syntax, generate_instance_uid=False)
        image.save_as(file)
    files[3].write_bytes(files[3].read_bytes()[: int(kept * files[3].stat().st_size)])

    rejected = rejection_of(files)

    assert rejected.reason == "instance 1.2.4.4 is truncated: its pixel data is missing or incomplete"


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless, RLELossless], ids=lambda syntax: syntax.name)
def test_a_compressed_image_truncated_before_encapsulation_is_rejected(syntax: pydicom.uid.UID, tmp_path: Path) -> None:
    files = save(Series(rows=64, columns=64, noise_hu=200).images(), tmp_path)
    for file in files:
        image = pydicom.dcmread(file)
        image.compress(syntax, generate_instance_uid=False)
        if file == files[3]:
            (frame,) = pydicom.encaps.generate_frames(image.PixelData, number_of_frames=1)
            image.PixelData = pydicom.encaps.encapsulate([frame[: len(frame) // 4 * 2]])
        image.save_as(file)

    rejected = rejection_of(files)

    assert isinstance(rejected, rejections.TruncatedInstance | rejections.UndecodablePixels)
    assert "1.2.4.4" in rejected.reason


def test_the_rejection_of_a_file_that_is_not_dicom_gives_its_number_and_not_its_name(tmp_path: Path) -> None:
    files = save(Series().images(), tmp_path)
    other_file = tmp_path / "SECRET_NAME_report.txt"
    other_file.write_text("no image")

    rejected = rejection_of([*files, other_file])

    assert isinstance(rejected, rejections.UnreadableFile)
    assert str(rejected) == "series 1.2.2: file 7 of 7 cannot be read: not a DICOM object"


def test_the_rejection_of_an_unreadable_file_named_by_a_uid_gives_the_uid(tmp_path: Path) -> None:
    files = save(Series().images(), tmp_path)
    (tmp_path / "1.2.4.77.dcm").write_bytes(b"")

    assert rejection_of([*files, tmp_path / "1.2.4.77.dcm"]).reason.startswith("instance 1.2.4.77 cannot be read")


def test_an_empty_list_of_files_is_rejected() -> None:
    assert str(rejection_of([])) == "series unknown: the series cannot be read: no file"


def test_a_missing_file_is_an_os_error_and_not_a_rejection(tmp_path: Path) -> None:
    files = save(Series().images(), tmp_path)

    with pytest.raises(FileNotFoundError):
        load([*files, tmp_path / "gone.dcm"])


@pytest.mark.parametrize("seed", range(8))
def test_damaged_bytes_are_either_loaded_or_rejected(seed: int, tmp_path: Path) -> None:
    generator = random.Random(seed)
    syntax = [None, JPEG2000Lossless, JPEGLSLossless, RLELossless][seed % 4]
    files = save(Series(rows=40, columns=48, slices=4, noise_hu=100).images(), tmp_path)
    content = files[1].read_bytes()
    if syntax:
        image = pydicom.dcmread(files[1])
        image.compress(syntax, generate_instance_uid=False)
        image.save_as(files[1])
        content = files[1].read_bytes()
    for _ in range(40):
        damaged = bytearray(content)
        for _ in range(generator.choice([1, 3, 30])):
            damaged[generator.randrange(128, len(damaged))] = generator.randrange(256)
        files[1].write_bytes(bytes(damaged[: generator.choice([None, generator.randrange(140, len(damaged))])]))
        with contextlib.suppress(SeriesRejected):
            load(files)


@pytest.fixture(scope="module")
def real_ct(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not (SHARED / "unpack").exists():
        pytest.skip("the shared data is not there")
    folder = tmp_path_factory.mktemp("data")
    subprocess.run([SHARED / "unpack", folder, "c3n-00247"], check=True, capture_output=True)
    return folder / "c3n-00247"


@pytest.fixture
def real_files(real_ct: Path, tmp_path: Path) -> list[Path]:
    """Copies of twelve neighbouring slices of a real series, in order, which a test may modify."""
    files = sorted(real_ct.glob("*.dcm"), key=height)[40:52]
    return [Path(shutil.copy(file, tmp_path)) for file in files]


def height(file: Path) -> float:
    return float(pydicom.dcmread(file, stop_before_pixels=True).ImagePositionPatient[2])


def uid(file: Path) -> str:
    return str(pydicom.dcmread(file, stop_before_pixels=True).SOPInstanceUID)


def test_a_real_series_without_one_slice_is_rejected(real_files: list[Path]) -> None:
    before, missing, after = real_files[4:7]

    rejected = rejection_of([file for file in real_files if file != missing])

    assert isinstance(rejected, rejections.MissingSlices)
    assert rejected.reason == (
        "1 gap(s) in the stack, the widest of 6.00 mm where slices are 3.00 mm apart, "
        f"between instances {uid(before)} and {uid(after)}"
    )


def test_a_real_series_with_a_truncated_file_is_rejected(real_files: list[Path]) -> None:
    name, content = uid(real_files[4]), real_files[4].read_bytes()
    real_files[4].write_bytes(content[:-1000])

    rejected = rejection_of(real_files)

    assert isinstance(rejected, rejections.TruncatedInstance)
    assert rejected.reason == f"instance {name} is truncated: 523288 bytes of pixel data, 524288 are needed"


def test_a_sagittal_reformat_of_a_real_series_is_rejected(real_files: list[Path], tmp_path: Path) -> None:
    volume = load(real_files).volume
    template = pydicom.dcmread(real_files[0])
    files = []
    for number, column in enumerate(range(200, 210)):
        plane = volume.hu[::-1, :, column].astype(np.int16)
        template.Rows, template.Columns = plane.shape
        template.PixelData = (plane - int(template.RescaleIntercept)).astype("<u2").tobytes()
        template.PixelSpacing = [volume.spacing[0], volume.spacing[1]]
        template.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
        template.ImagePositionPatient = (volume.affine @ (len(volume.hu) - 1, 0, column, 1))[:3].round(4).tolist()
        template.SOPInstanceUID = template.file_meta.MediaStorageSOPInstanceUID = UID(f"1.2.4.{number}")
        files.append(tmp_path / f"sagittal-{number}.dcm")
        template.save_as(files[-1])

    rejected = rejection_of(files)

    assert isinstance(rejected, rejections.NotAxial)
    assert rejected.reason == "not an axial series: the slices are tilted by 90.0 degrees (limit 30)"
