"""Whatever is wrong with a header: the same numbers as without it, or one line before the network runs.

200 damages are drawn here; `pytest --hypothesis-profile=acceptance tests/integration/worker/test_damaged_headers.py`
draws 2,000.
"""

from __future__ import annotations

import re
import subprocess
import warnings
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, example, given
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence

from dicom_node.errors import SeriesRejected
from models.segmenter import ModelCard, Progress
from models.volume import Mask, Volume
from tests.fixtures.ct_image import ct_image
from tests.fixtures.damaged_headers import (
    DELIMITER,
    EXPLICIT,
    IMPLICIT,
    SECRET,
    Damaged,
    Element,
    Elements,
    damaged,
    dicom_file,
    elements_of,
    everywhere,
    padded,
    says_otherwise,
)
from tests.fixtures.models.model_card import CARD
from worker.outputs.dicom.rejection import write_rejection
from worker.outputs.dicom.source import copy_identity
from worker.pipeline import Analysis, AnalysisRequest, ReadScan, analyse, read_scan

# As `configure_libraries` does; pytest has its own filters for each test.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")

KEY = "d" * 64
SLICES, SIDE, LESION = 4, 24, np.s_[1:3, 9:14, 10:15]
DECIDING = ("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "RescaleSlope",
            "RescaleIntercept", "PixelPaddingValue", "PixelPaddingRangeLimit", "PixelSpacing", "ImagePositionPatient",
            "ImageOrientationPatient", "PixelData")  # fmt: skip


TRUNCATED_ITEM = b"\xfe\xff\0\xe0\x0c\0\0\0\x10\0\x20\0SQ\0\0\x04\0\0\0"


@dataclass(frozen=True, slots=True)
class Threshold:
    """A segmenter that takes what is above 60 HU, and counts how often it ran."""

    card: ModelCard = CARD
    ran: list[float] = field(default_factory=list)

    def segment(self, volume: Volume, progress: Progress) -> Mask:
        """The mask of dense tissue."""
        progress(1.0)
        self.ran.append(float(volume.hu.max()))
        return Mask(voxels=volume.hu > 60, affine=volume.affine)


def hounsfield() -> NDArray[np.int16]:
    """Air around a body of 40 HU with lungs of -850 and a lesion of 80; two corners are padding."""
    hu = np.full((SLICES, SIDE, SIDE), -1000, np.int16)
    hu[:, 3:21, 3:21] = 40
    hu[:, 6:18, 6:18] = -850
    hu[LESION] = 80
    hu[:, :2, 0] = -2000
    return hu


def images() -> list[Dataset]:
    """Slices with the elements that scanners write, and more."""
    made = []
    for number, stored in enumerate(hounsfield(), start=1):
        image = ct_image(stored, number, (-96.0, -96.0, number * 2.5), pixel_mm=(8.0, 8.0))
        image.SpecificCharacterSet, image.PatientName = "ISO_IR 100", "SECRET^NAME"
        for keyword, value in TYPICAL.items():
            setattr(image, keyword, value)
        image.add_new("PixelPaddingValue", "SS", -2000)
        image.add_new(0x00090010, "LO", "MAKER 1.0")
        image.add_new(0x00091001, "UN", b"\1\2\3\4")
        other = Dataset()
        other.PatientID, other.TypeOfPatientID = "SECRET-9", "TEXT"
        image.OtherPatientIDsSequence = Sequence([other])
        made.append(image)
    return made


TYPICAL = {
    "InstanceCreationDate": "20260504", "StudyDate": "20260504", "SeriesDate": "20260504",
    "AcquisitionDate": "20260504", "ContentDate": "20260504", "StudyTime": "093000", "SeriesTime": "093000",
    "AcquisitionTime": "093000", "ContentTime": "093000.25", "AccessionNumber": "SECRET-A", "Manufacturer": "Maker",
    "InstitutionName": "Hospital", "ReferringPhysicianName": "SECRET^DOCTOR", "StudyDescription": "SECRET CHEST",
    "SeriesDescription": "SECRET LUNG", "ManufacturerModelName": "Model", "PatientBirthDate": "19330303",
    "PatientSex": "F", "PatientAge": "093Y", "PatientSize": 1.6, "PatientWeight": 60, "IssuerOfPatientID": "SECRET-I",
    "OtherPatientIDs": "SECRET-O", "EthnicGroup": "SECRET", "AdditionalPatientHistory": "SECRET",
    "ContrastBolusAgent": "Agent", "BodyPartExamined": "CHEST", "KVP": 120, "SliceThickness": 2.5,
    "DataCollectionDiameter": 500, "DeviceSerialNumber": "77", "SoftwareVersions": ["VB1", "VB2"],
    "ProtocolName": "SECRET", "ReconstructionDiameter": 400, "GantryDetectorTilt": 0, "ExposureTime": 500,
    "XRayTubeCurrent": 100, "ConvolutionKernel": "B30f", "FilterType": "1", "PatientPosition": "HFS", "StudyID": "1",
    "SeriesNumber": 3, "AcquisitionNumber": 1, "PositionReferenceIndicator": "", "SliceLocation": 2.5,
    "WindowCenter": [40, -600], "WindowWidth": [400, 1500], "RescaleType": "HU", "LossyImageCompression": "01",
    "LossyImageCompressionRatio": 5, "LossyImageCompressionMethod": "ISO_10918_1",
}  # fmt: skip
ELEMENTS = [elements_of(image) for image in images()]


class Bench:
    """Where the series is written, what its analysis finds without damage, and the documents of what was seen.

    Equal headers give equal documents, so that each is encoded once.
    """

    def __init__(self, folder: Path, expected: Analysis) -> None:
        self.folder, self.expected = folder, expected
        self.documents: dict[bytes, list[bytes]] = {}
        self.identities: set[bytes] = set()


def write(series: list[Elements], syntax: str, folder: Path) -> list[Path]:
    files = [folder / f"{number}.dcm" for number in range(1, len(series) + 1)]
    for file, elements in zip(files, series, strict=True):
        file.write_bytes(dicom_file(elements, syntax))
    return files


def run(files: list[Path], segmenter: Threshold, out: Path) -> Analysis:
    request = AnalysisRequest(job_key=KEY, images_sha256=KEY, config_hash="r", outputs=("seg", "sr"))
    return analyse(files, request, segmenter, out, lambda _: None)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("damaged")
    expected = run(write(ELEMENTS, EXPLICIT, folder), Threshold(), folder)
    assert [finding.lesion.number for finding in expected.report.findings.findings] == [1]
    return Bench(folder, expected)


@example(damage=everywhere(Element(0x00080005, "CS", b"\0ISO_IR 100 ")))
@example(damage=everywhere(Element(0x00080020, "DA", b"20260504" + DELIMITER, is_undefined_length=True), IMPLICIT))
@example(damage=everywhere(Element(0x00090010, "XX", b"")))
@example(damage=everywhere(Element(0x00101002, "SQ", TRUNCATED_ITEM)))
@example(damage=everywhere(Element(0x0020000E, "UI", b"SECRET")))
@example(damage=everywhere(Element(0x00280103, "LO", b"1 ")))
@example(damage=everywhere(Element(0x00281054, "LO", b"SECRET")))
@given(damage=damaged(ELEMENTS[0], SLICES))
def test_a_damaged_header_changes_no_number_or_refuses_the_series_in_one_line(bench: Bench, damage: Damaged) -> None:
    assume(not says_otherwise(damage, ELEMENTS[0], DECIDING))
    files = write([damage(elements, index) for index, elements in enumerate(ELEMENTS)], damage.syntax, bench.folder)
    segmenter = Threshold()
    try:
        scan = read_scan(files)
    except SeriesRejected as rejected:
        check_line(str(rejected))
        with pytest.raises(type(rejected)):
            run(files, segmenter, bench.folder)
        assert segmenter.ran == []
        check_rejection(files, rejected, bench.folder)
    else:
        wanted = bench.expected.report.findings.volume
        assert np.array_equal(scan.series.volume.hu, wanted.hu)
        assert np.array_equal(scan.series.volume.affine, wanted.affine)
        check_documents(files, scan, bench)


SAMPLE = {
    "a thickness with its unit": {"SliceThickness": b"5 mm"},
    "numbers too long for their VR": {
        "PixelSpacing": b"8.00000000000000000000\\8.00000000000000000000",
        "ImageOrientationPatient": b"1.00000000000000000\\0\\0\\0\\1.00000000000000000\\0",
        "SliceThickness": b"2.500000000000000000000",
        "PatientWeight": b"60.000000000000000000000",
    },
    "texts too long for their VR": {"Manufacturer": b"M" * 100, "InstitutionName": b"I" * 2000},
    "ratios and methods of compression": {
        "LossyImageCompressionRatio": b"15:1",
        "LossyImageCompressionMethod": b"JPEG of the maker",
    },
    "letters for numbers": {"SeriesNumber": b"S301", "PatientSize": b"tall", "AcquisitionDate": b"in May"},
    "NUL in the character set": {"SpecificCharacterSet": b"\0ISO_IR 100\0"},
    "a sequence of rubbish": {"OtherPatientIDsSequence": b"\xfe\xff\0\xe0\x20\0\0\0rubbish"},
}
"""Values of elements, by keyword."""


@pytest.mark.skipif(not Path("/usr/bin/dciodvfy").exists(), reason="dicom3tools are not installed")
@pytest.mark.parametrize("name", SAMPLE)
def test_dciodvfy_finds_no_more_in_the_results_of_a_damaged_series(bench: Bench, name: str) -> None:
    undamaged = found_by_dciodvfy(write(ELEMENTS, EXPLICIT, bench.folder), bench.folder)
    damaged_elements = [dict(elements) for elements in ELEMENTS]
    for elements in damaged_elements:
        for keyword, value in SAMPLE[name].items():
            tag = tag_for_keyword(keyword) or 0
            elements[tag] = elements[tag]._replace(value=padded(value))

    assert found_by_dciodvfy(write(damaged_elements, EXPLICIT, bench.folder), bench.folder) <= undamaged


def found_by_dciodvfy(files: list[Path], folder: Path) -> set[str]:
    """The errors and warnings of dciodvfy on SEG and SR, without those on private codes."""
    documents = run(files, Threshold(), folder).documents
    commands = [["/usr/bin/dciodvfy", str(folder / document.file_name)] for document in documents]
    said = [subprocess.run(command, capture_output=True, text=True, check=False).stderr for command in commands]
    assert len(said) == 2
    return {line for text in said for line in text.splitlines() if line.startswith(("Error", "Warning"))}


def check_line(message: str) -> None:
    """One line that names a UID or a file, and no patient."""
    assert message.isprintable()
    assert len(message) < 400
    assert SECRET not in message
    assert re.search(r"\b1\.2\.\d|file \d of \d", message)


def check_documents(files: list[Path], scan: ReadScan, bench: Bench) -> None:
    """SEG and SR are written with the same findings, and every element of them can be read again."""
    source = scan.source
    headers = repr((source.series_number, source.content_time, scan.acquisition)).encode()
    headers += b"".join(map(written, source.headers))
    if headers not in bench.documents:
        bench.documents[headers] = analysed(files, bench)
    if (identity := written(source.identity)) in bench.identities:
        return
    bench.identities.add(identity)
    document = dcmread(BytesIO(bench.documents[headers][0]))
    copy_identity(document, source)
    read_again(document)


def analysed(files: list[Path], bench: Bench) -> list[bytes]:
    found = run(files, Threshold(), bench.folder)
    wanted = [each.measurement for each in bench.expected.report.findings.findings]
    assert [each.measurement for each in found.report.findings.findings] == wanted
    encoded = [(bench.folder / document.file_name).read_bytes() for document in found.documents]
    assert len(encoded) == 2
    for document in encoded:
        str(dcmread(BytesIO(document)))
    return encoded


def check_rejection(files: list[Path], rejected: SeriesRejected, folder: Path) -> None:
    for document in write_rejection(files, rejected, CARD, KEY, folder):
        read_again(dcmread(folder / document.file_name))


def read_again(document: Dataset) -> None:
    """Write a document, and decode its elements."""
    buffer = BytesIO()
    document.save_as(buffer, enforce_file_format=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pydicom, of texts that contradict their character set
        read = dcmread(BytesIO(buffer.getvalue()))
        assert [element.tag for element in read] == [element.tag for element in document]
        str(read.get("PatientName"))


def written(dataset: Dataset) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_dataset(buffer, dataset)
    return buffer.getvalue()
