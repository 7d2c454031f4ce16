from __future__ import annotations

import pytest
from pydicom import Dataset
from pydicom import Sequence as Items

from dicom_node.dicomweb.matching import matches
from dicom_node.dicomweb.query import InvalidQuery, read_query


def answer() -> Dataset:
    answer = Dataset()
    answer.StudyDate, answer.StudyTime = "20260703", "101530.25"
    answer.PatientName, answer.PatientID, answer.AccessionNumber = "Müller^Eva^^Dr", "ID-1", ""
    answer.StudyInstanceUID, answer.ModalitiesInStudy = "1.2.3", ["SEG", "SR"]
    answer.SeriesNumber = 12
    item = Dataset()
    item.RequestedProcedureID = "P1"
    answer.RequestAttributesSequence = Items([item])
    return answer


# PS3.4 C.2.2.2: what each kind of matching means.
@pytest.mark.parametrize(
    ("key", "wanted", "expected"),
    [
        ("PatientID", "ID-1", True),
        ("PatientID", "id-1", False),
        ("PatientID", "ID-", False),
        ("PatientID", "ID-?", True),
        ("PatientID", "*-*", True),
        ("PatientID", "ID.1", False),
        ("PatientID", "", True),
        ("AccessionNumber", "", True),
        ("AccessionNumber", "A", False),
        ("StudyID", "S", False),
        ("PatientName", "müller*", True),
        ("PatientName", "Müller^Eva^^Dr", True),
        ("PatientName", "*Eva", False),
        ("StudyInstanceUID", "1.2.3", True),
        ("StudyInstanceUID", "1.2", False),
        ("StudyInstanceUID", "1.9,1.2.3", True),
        ("StudyInstanceUID", "1.9\\1.2.3", True),
        ("StudyInstanceUID", "1.2*", False),
        ("ModalitiesInStudy", "SR", True),
        ("ModalitiesInStudy", "S?", True),
        ("ModalitiesInStudy", "CT", False),
        ("StudyDate", "20260703", True),
        ("StudyDate", "20260704", False),
        ("StudyDate", "20260703-20260703", True),
        ("StudyDate", "20260601-20260702", False),
        ("StudyDate", "-20260703", True),
        ("StudyDate", "20260704-", False),
        ("StudyTime", "10-11", True),
        ("StudyTime", "1015", True),
        ("StudyTime", "1016-", False),
        ("StudyTime", "-1015", True),
        ("SeriesNumber", "12", True),
        ("SeriesNumber", "1", False),
        ("SeriesNumber", "1*", False),
        ("RequestAttributesSequence.RequestedProcedureID", "P1", True),
        ("RequestAttributesSequence.RequestedProcedureID", "P2", False),
        ("00400275.00401001", "P?", True),
        ("RequestAttributesSequence", "P1", False),
    ],
)
def test_an_attribute_matches(key: str, wanted: str, expected: bool) -> None:
    ((path, value),) = read_query([(key, wanted)]).keys

    assert matches(answer(), path, value) is expected


@pytest.mark.parametrize("name", ["Nonsense", "RequestAttributesSequence.", "0010002", "FFFFFFFF", "limits", ""])
def test_a_parameter_that_does_not_exist_is_refused(name: str) -> None:
    with pytest.raises(InvalidQuery, match="neither an attribute nor limit"):
        read_query([(name, "1")])


def test_a_path_leads_through_sequences_alone() -> None:
    with pytest.raises(InvalidQuery, match="after an attribute that is no sequence"):
        read_query([("PatientID.StudyID", "1")])


def test_a_page_has_a_thousand_answers_at_most() -> None:
    assert read_query([]).limit == read_query([("limit", "5000")]).limit == 1000
    page = read_query([("limit", "20"), ("offset", "40"), ("includefield", "all")])
    assert (page.limit, page.offset, page.keys) == (20, 40, ())
