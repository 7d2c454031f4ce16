"""Elements of the source images that no measurement needs: they never decide, and texts keep their bytes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from tests.fixtures.worker.make_comparisons import alone
from worker.ct.reader import load
from worker.follow_up.comparison import ComparisonStatus
from worker.outputs.dicom.source import source_of
from worker.outputs.encode import encode
from worker.report import Report

Analyse = Callable[..., Any]
LESION = [np.s_[3:7, 5:12, 4:20]]


def rewrite(files: list[Path], keyword: str, value: bytes) -> None:
    """Write these bytes as the value of an element, whatever its VR allows."""
    tag, vr = Tag(tag_for_keyword(keyword) or 0), dictionary_VR(keyword)
    padded = value + (b"\0" if vr == "UI" else b" ") * (len(value) % 2)
    for file in files:
        image = dcmread(file)
        image[tag] = RawDataElement(tag, vr, len(padded), padded, 0, False, True)
        image.save_as(file)


def documents(case: Any, folder: Path) -> dict[str, Dataset]:  # noqa: ANN401 - an Analysed
    """SEG and SR of a case whose files were changed, written to files and read again."""
    report = Report(findings=case.findings, comparison=alone(ComparisonStatus.NOT_QUERIED))
    encoded = encode(report, source_of(load(case.ct_files)), ("seg", "sr"))
    for name, document in encoded.items():
        document.save_as(folder / f"{name}.dcm", enforce_file_format=True)
    return {name: dcmread(folder / f"{name}.dcm") for name in encoded}


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("SeriesNumber", b"S301"),
        ("SliceThickness", b"5 mm"),
        ("SliceThickness", b"0 "),
        ("LossyImageCompressionRatio", b"15:1"),
        ("PatientWeight", b"70 kg "),
        ("PatientSize", b"1,82"),
        ("StudyDate", b"04.05.2026"),
        ("StudyTime", b"morning "),
        ("AcquisitionDate", b"unknown "),
        ("SoftwareVersions", b"VB10 \xff"),
    ],
)
def test_an_element_that_is_not_valid_decides_nothing(
    keyword: str, value: bytes, analysed: Analyse, tmp_path: Path
) -> None:
    case = analysed(LESION)
    undisturbed = documents(case, tmp_path)
    rewrite(case.ct_files, keyword, value)
    found = documents(case, tmp_path)

    assert found["seg"].PixelData == undisturbed["seg"].PixelData
    assert len(found["sr"].ContentSequence) == len(undisturbed["sr"].ContentSequence)
    assert found["seg"].SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SliceThickness == 2.5


@pytest.mark.parametrize(
    ("character_set", "name"),
    [
        ("ISO_IR 192", b"M\xfcller^Anna"),
        ("ISO_IR 100", b"M\xfcller^Anna"),
        ("ISO_IR 192", "Müller^Anna".encode()),
        ("GB18030", "王^小东".encode("gb18030")),
        ("ISO_IR 192", "王^小东".encode("gb18030")),
    ],
    ids=["Latin-1 called UTF-8", "Latin-1", "UTF-8", "GB18030", "GB18030 called UTF-8"],
)
@pytest.mark.parametrize(("keyword", "vr"), [("PatientName", b"PN"), ("StudyDescription", b"LO")])
def test_a_text_keeps_its_bytes(
    keyword: str, vr: bytes, character_set: str, name: bytes, analysed: Analyse, tmp_path: Path
) -> None:
    case = analysed(LESION, lambda image: setattr(image, "SpecificCharacterSet", character_set))
    rewrite(case.ct_files, keyword, name)
    documents(case, tmp_path)

    padded = name + b" " * (len(name) % 2)
    for document in ("seg", "sr"):
        encoded = (tmp_path / f"{document}.dcm").read_bytes()
        assert vr + len(padded).to_bytes(2, "little") + padded in encoded
        assert character_set.encode() in encoded
