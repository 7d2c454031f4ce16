"""QIDO-RS of our results, asked by dicomweb-client."""

from __future__ import annotations

from dataclasses import replace

import pytest
import requests
from pydicom import Dataset
from sqlalchemy import text

from tests.fixtures.dicom_node.dicomweb_site import READER_TOKEN, TOKEN, DicomwebSite, StartDicomweb
from tests.fixtures.dicom_node.results import ALL, FIRST, OTHER


def get(site: DicomwebSite, path: str, token: str = READER_TOKEN) -> requests.Response:
    return requests.get(f"{site.url}{path}", headers={"Authorization": f"Bearer {token}"}, timeout=10)


def test_studies_are_returned_with_the_attributes_that_the_standard_requires(reading_site: DicomwebSite) -> None:
    (found,) = reading_site.client(READER_TOKEN).search_for_studies(search_filters={"PatientID": "ID-2"})
    study = Dataset.from_json(found)

    # PS3.18 table 10.6.3-3
    assert (study.StudyDate, study.StudyTime, study.AccessionNumber) == ("20260404", "101500", "A20260404")
    assert (study.PatientName, study.PatientBirthDate, study.PatientSex) == ("Müller^Eva", "19610101", "M")
    assert (study.ReferringPhysicianName, study.StudyID) == ("House^Greg", "S1")
    assert study.SpecificCharacterSet == "ISO_IR 192"
    assert (study.StudyInstanceUID, study.InstanceAvailability) == (OTHER.study_uid, "ONLINE")
    assert study.RetrieveURL == f"{reading_site.url}/studies/{OTHER.study_uid}"
    assert study.ModalitiesInStudy == ["SEG", "SR"]
    assert (study.NumberOfStudyRelatedSeries, study.NumberOfStudyRelatedInstances) == (2, 2)


def test_series_and_instances_are_returned_with_the_attributes_that_the_standard_requires(
    reading_site: DicomwebSite,
) -> None:
    client, seg = reading_site.client(READER_TOKEN), ALL[FIRST.study_uid][0]
    (found,) = client.search_for_series(FIRST.study_uid, search_filters={"Modality": "SEG"})
    series = Dataset.from_json(found)
    # PS3.18 table 10.6.3-4
    assert (series.Modality, series.SeriesInstanceUID, series.SeriesNumber) == ("SEG", seg.SeriesInstanceUID, 8)
    assert series.NumberOfSeriesRelatedInstances == 1
    (request,) = series.RequestAttributesSequence
    assert (request.ScheduledProcedureStepID, request.RequestedProcedureID) == ("STEP", "P1")
    assert series.RetrieveURL == f"{reading_site.url}/studies/{FIRST.study_uid}/series/{seg.SeriesInstanceUID}"

    (found,) = client.search_for_instances(FIRST.study_uid, seg.SeriesInstanceUID)
    instance = Dataset.from_json(found)
    # PS3.18 table 10.6.3-5
    assert (instance.SOPClassUID, instance.SOPInstanceUID) == (seg.SOPClassUID, seg.SOPInstanceUID)
    assert (instance.InstanceNumber, instance.Rows, instance.Columns, instance.BitsAllocated) == (1, 4, 4, 16)
    assert instance.InstanceAvailability == "ONLINE"
    assert instance.RetrieveURL == f"{series.RetrieveURL}/instances/{seg.SOPInstanceUID}"


def test_a_url_has_the_host_of_the_request_unless_the_configuration_has_one(
    start_dicomweb: StartDicomweb,
) -> None:
    by_host = start_dicomweb(public_url="")
    by_host.finish_job(ALL[FIRST.study_uid])
    behind_proxy = start_dicomweb(public_url="https://pacs.example/lungspread/")

    for site, root in ((by_host, by_host.url), (behind_proxy, "https://pacs.example/lungspread")):
        (study,) = get(site, "/studies").json()
        assert study["00081190"]["Value"] == [f"{root}/studies/{FIRST.study_uid}"]


def test_an_item_of_a_sequence_is_matched(reading_site: DicomwebSite) -> None:
    for key in ("RequestAttributesSequence.RequestedProcedureID", "00400275.00401001"):
        (series,) = get(reading_site, f"/studies/{FIRST.study_uid}/series?{key}=P2").json()
        assert series["00080060"]["Value"] == ["SR"]


def test_answers_come_in_pages_and_say_how_many_are_left(reading_site: DicomwebSite) -> None:
    first, second = (get(reading_site, f"/instances?limit=4&offset={offset}") for offset in (0, 4))

    assert first.headers["Warning"] == '299 LungSpread "There are 2 additional results that can be requested"'
    assert "Warning" not in second.headers
    uids = [instance["00080018"]["Value"][0] for answer in (first, second) for instance in answer.json()]
    assert sorted(uids) == sorted(str(document.SOPInstanceUID) for documents in ALL.values() for document in documents)


def test_a_search_without_a_match_has_no_content(reading_site: DicomwebSite) -> None:
    answer = get(reading_site, "/studies?PatientID=NOBODY")

    assert (answer.status_code, answer.content) == (204, b"")


@pytest.mark.parametrize(
    "query", ["Nonsense=1", "limit=-1", "offset=SECRET", "Modality=SR", "PixelSpacing=1", "StudyDate.Modality=1"]
)
def test_a_key_or_value_that_is_not_allowed_is_answered_400_without_the_value(
    reading_site: DicomwebSite, query: str
) -> None:
    answer = get(reading_site, f"/studies?{query}")

    assert answer.status_code == 400
    assert "SECRET" not in answer.text


def test_fuzzy_matching_is_declined_by_a_warning(reading_site: DicomwebSite) -> None:
    answer = get(reading_site, "/studies?PatientID=ID-2&fuzzymatching=true&includefield=all")

    assert "fuzzymatching parameter is not supported" in answer.headers["Warning"]
    assert len(answer.json()) == 1


def test_a_result_that_another_job_has_replaced_is_not_found(dicomweb: DicomwebSite) -> None:
    documents = ALL[FIRST.study_uid]
    dicomweb.finish_job(documents[:1])
    more = dicomweb.opened.series.instances(["1.9.1.1"])[0]
    dicomweb.opened.series.record_instances([replace(more, sop_instance_uid="1.9.1.2")], 1e9)
    (series,) = dicomweb.opened.series.quiet(4e9)
    dicomweb.opened.jobs.create(series, "config", 1e9)

    assert get(dicomweb, "/instances").status_code == 204


def test_a_journal_that_does_not_respond_is_answered_503(dicomweb: DicomwebSite) -> None:
    with dicomweb.opened.database.write() as connection:
        connection.execute(text("ALTER TABLE documents RENAME TO away"))

    assert get(dicomweb, "/studies").status_code == 503


def test_only_a_peer_that_may_retrieve_may_search(reading_site: DicomwebSite) -> None:
    assert get(reading_site, "/studies", token=TOKEN).status_code == 403
    assert get(reading_site, "/studies", token="token-of-nobody-at-all").status_code == 401
