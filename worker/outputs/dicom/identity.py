"""Patient and study of a source image, ready to be written into the documents of its series.

Texts keep their bytes, also where these contradict the character set that the header declares: decoded and encoded
again, the name would be another one. What cannot be read, or not be written, is left out.
"""

from __future__ import annotations

from highdicom import SOPClass
from pydicom.charset import convert_encodings, python_encoding
from pydicom.config import IGNORE
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element
from pydicom.tag import Tag
from pydicom.valuerep import DSfloat, PersonName

from dicom_node.dicom_file import DAMAGE, element_of, value_of
from dicom_node.identifiers import CT_IMAGE

# Retired from the Patient module but still in archives; all documents of a patient shall have the same values.
_ALSO_COPIED = ("EthnicGroup", "OtherPatientIDs")
# PS3.3 C.7.2.1, C.7.1.1: optional references to retired SOP classes, broken in many archives.
_NOT_COPIED = ("ReferencedStudySequence", "ReferencedPatientSequence")
_TEXT = {"PN", "LO", "LT", "SH", "ST", "UC", "UT"}
"""VRs whose bytes depend on the character set (PS3.5 6.1.2.3)."""
_LONGEST_DECIMAL = 16
_CHARACTER_SET = Tag("SpecificCharacterSet")


class _Copied(SOPClass):
    """The attributes that highdicom copies from an image; none of its own."""

    def __init__(self) -> None:
        Dataset.__init__(self)


def identity_of(image: Dataset) -> Dataset:
    """Return patient, study and their character set; values may name a patient, and so may warnings of pydicom."""
    terms = _character_set(image)
    readable = _readable(image, terms)
    copied = _Copied()
    copied.copy_patient_and_study_information(readable)
    for keyword in _ALSO_COPIED:
        if keyword in readable:
            copied[keyword] = readable[keyword]
    identity = Dataset()
    if terms:
        identity.SpecificCharacterSet = terms
    for element in copied:
        final = _final(element, image)
        if element.keyword not in _NOT_COPIED and _is_writable(final, convert_encodings(terms)):
            identity[element.tag] = final
    return identity


def _character_set(image: Dataset) -> list[str]:
    """Return the terms of Specific Character Set; none if one of them is not an encoding of DICOM."""
    value = value_of(image, "SpecificCharacterSet")
    terms = [term.replace("\0", "").strip() for term in ([value] if isinstance(value, str) else value or [])]
    return terms if set(convert_encodings(terms)) <= set(python_encoding.values()) else []


def _readable(image: Dataset, terms: list[str]) -> Dataset:
    """Return the elements that are valid for their VR, as one CT image; those of `image` stay as they were read."""
    tags = [tag for tag in image.keys() if tag != _CHARACTER_SET and not tag.is_private]  # noqa: SIM118
    read = Dataset({tag: image.get_item(tag, keep_deferred=True) for tag in tags})
    if terms:
        read.SpecificCharacterSet = terms
    elements = (element_of(read, tag) for tag in tags)
    readable = Dataset({element.tag: element for element in elements if element is not None and _is_sound(element)})
    readable.SOPClassUID = CT_IMAGE  # its modules are copied, whatever else the image says of itself
    return readable


def _is_sound(element: DataElement) -> bool:
    """Whether a sequence's elements are known and valid, too: a reader of the document asks for them."""
    if element.VR != "SQ":
        return True
    inner = [(item, tag) for item in element.value or () for tag in list(item.keys())]
    if not all(tag.is_private or dictionary_has_tag(tag) for _, tag in inner):
        return False
    return all((each := element_of(item, tag)) is not None and _is_sound(each) for item, tag in inner)


def _final(element: DataElement, image: Dataset) -> DataElement:
    """Return an element with the VR of its tag, and with the bytes that were read if it is a text."""
    vr = dictionary_VR(element.tag)
    read = image.get_item(element.tag, keep_deferred=True)
    if vr in _TEXT and isinstance(read, RawDataElement):
        return _as_bytes(element, vr, read.value or b"")
    if element.VR == "SQ":
        return element
    value = _shortened(element) if vr == "DS" and not element.is_empty else element.value
    return DataElement(element.tag, vr if element.VR not in vr else element.VR, value, validation_mode=IGNORE)


def _shortened(element: DataElement) -> list[DSfloat]:
    """Return decimal numbers in at most 16 characters (PS3.5 6.2): some writers give all digits of a float."""
    values = element.value if element.VM > 1 else [element.value]
    return [DSfloat(value, auto_format=len(str(value)) > _LONGEST_DECIMAL) for value in values]


def _as_bytes(element: DataElement, vr: str, encoded: bytes) -> DataElement:
    """Return an element that is written as these bytes."""
    if vr == "PN":  # it alone remembers what it was decoded from
        return DataElement(element.tag, vr, PersonName(encoded, original_string=encoded))
    return DataElement(element.tag, vr, encoded, validation_mode=IGNORE)


def _is_writable(element: DataElement, encodings: list[str]) -> bool:
    """Whether an element can be written in explicit VR, the encoding of our documents."""
    file = DicomBytesIO()
    file.is_little_endian, file.is_implicit_VR = True, False
    try:
        write_data_element(file, element, encodings)
    except (*DAMAGE, OSError):  # no file is written here: OSError is a sequence without items
        return False
    return file.getvalue()[4:6] == element.VR.encode()  # pydicom writes what is too long as UN
