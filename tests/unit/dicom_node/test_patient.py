"""Which images name two patients: what is said decides, not how it is written, and not what is left out."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.uid import ExplicitVRLittleEndian

from dicom_node.patient import NOBODY, PATIENT, Patient, patient_of

KNOWN = {
    "PatientID": "4711",
    "IssuerOfPatientID": "NORTH",
    "PatientName": "Doe^Jane^M",
    "PatientBirthDate": "19500101",
    "PatientSex": "F",
}


def patient(**elements: Any) -> Patient:  # noqa: ANN401 - DICOM values
    """The patient of a header that was written and read again; None: without the element."""
    header = Dataset()
    for keyword, value in (KNOWN | elements).items():
        if value is not None:
            setattr(header, keyword, value)
    encoded = BytesIO()
    header.file_meta = Dataset()  # type: ignore[assignment]
    dcmwrite(encoded, header, implicit_vr=False, little_endian=True)
    return patient_of(dcmread(BytesIO(_file(encoded.getvalue())), force=True))


def _file(data_set: bytes) -> bytes:
    uid = ExplicitVRLittleEndian.encode() + b"\0"
    meta = b"\2\0\x10\0UI" + len(uid).to_bytes(2, "little") + uid
    return b"\0" * 128 + b"DICM" + b"\2\0\0\0UL\4\0" + len(meta).to_bytes(4, "little") + meta + data_set


@pytest.mark.parametrize(
    ("keyword", "other"),
    [
        ("PatientID", "4712"),
        ("PatientID", "4711A"),
        ("IssuerOfPatientID", "SOUTH"),
        ("PatientName", "Roe^Jane^M"),
        ("PatientName", "Doe^Joan^M"),
        ("PatientName", "Doe^Jane^N"),
        ("PatientBirthDate", "19500102"),
        ("PatientSex", "M"),
    ],
)
def test_another_value_of_one_element_is_another_patient(keyword: str, other: str) -> None:
    assert patient().contradictions(patient(**{keyword: other})) == (keyword,)


@pytest.mark.parametrize(
    "elements",
    [
        {"PatientID": " 4711 "},
        {"PatientName": "DOE^JANE^M"},
        {"PatientName": "Doe^Jane^M^^"},
        {"PatientName": "Doe ^ Jane^M. "},
        {"PatientName": "Doe^Jane"},
        {"PatientName": "Doe^Jane^M=ド"},
        {"PatientName": "Dóe^Jane^M", "SpecificCharacterSet": "ISO_IR 192"},
        {"PatientSex": "f"},
        {"PatientSex": "U"},
        {"PatientBirthDate": "unknown"},
        *({keyword: value} for keyword in PATIENT for value in (None, "")),
    ],
)
def test_other_writing_and_what_is_left_out_is_no_other_patient(elements: dict[str, Any]) -> None:
    if "ド" in str(elements.get("PatientName")):
        elements = elements | {"SpecificCharacterSet": "ISO_IR 192"}
    other = patient(**elements)

    assert patient().contradictions(other) == ()
    assert other.contradictions(patient()) == ()


def test_one_name_in_two_character_sets_is_one_patient_and_two_names_are_two() -> None:
    names = [
        patient(PatientName="Müller^Zoë", SpecificCharacterSet="ISO_IR 100"),
        patient(PatientName="Müller^Zoë", SpecificCharacterSet="ISO_IR 192"),
        patient(PatientName="Иванов^Иван", SpecificCharacterSet="ISO_IR 144"),
        patient(PatientName="Петров^Иван", SpecificCharacterSet="ISO_IR 192"),
    ]
    assert names[0].contradictions(names[1]) == ()
    assert names[2].contradictions(names[3]) == ("PatientName",)
    assert names[0].contradictions(names[2]) == ("PatientName",)


def test_letters_without_a_character_set_contradict_nothing() -> None:
    written, misread = (
        patient(PatientName=b"M\xc3\xbcller^Zo\xc3\xab", SpecificCharacterSet=term) for term in ("ISO_IR 192", None)
    )

    assert written.contradictions(misread) == ()
    assert written.name == ("muller", "zoe")


def test_what_later_images_say_completes_the_patient() -> None:
    first, second = patient(PatientName=None, PatientSex=""), patient(PatientID=None, PatientBirthDate=None)

    assert first.completed_by(second) == patient()
    assert NOBODY.completed_by(first) == first
    assert first.completed_by(second).contradictions(patient(PatientName="Roe^Jane")) == ("PatientName",)


def test_nothing_of_a_patient_is_in_its_text() -> None:
    assert repr(patient()) == "Patient()"
