"""Tests of prior selection, patient identity, queries and result headers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset

from dicom_node.errors import UnreadableInstance
from dicom_node.identifiers import PRODUCT, is_ours
from dicom_node.jobs import JobState, job_key
from dicom_node.prior import (
    NOT_QUERIED,
    KnownJob,
    KnownScan,
    Priors,
    PriorSearch,
    PriorSelection,
    close_search,
    key_parts,
    select_priors,
)
from dicom_node.priors.patient_identity import UNKNOWN, PatientIdentity, identity_of, read_identity
from dicom_node.priors.query import best_ct, prior_studies, series_of, series_query, study_query, with_frames
from dicom_node.priors.result_header import read_results
from dicom_node.storage.spool import patient_salt
from tests.fixtures.dicom_node.small_network import SEG, SR, Scan

ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"

MakeCt = Callable[..., Dataset]
PATIENT_IDENTITY = PatientIdentity(
    patient_id="SECRET-ID", issuer="HOSPITAL", birth_date="19500101", sex="F", acquired_on="20260703101500"
)
NONE_FOUND = Priors(search=PriorSearch.NONE_EXISTS, reason=None, scans=())


def scan(day: str, state: JobState | None = JobState.COMMITTED, **values: object) -> KnownScan:
    job = (
        KnownJob(
            job_key=f"job of {day}",
            state=state,
            config_hash="r",
            sop_instance_uids=("1", "2"),
            images_sha256="i",
            has_documents=False,
        )
        if state
        else None
    )
    plain = {"study_uid": f"1.{day}", "series_uid": f"1.{day}.1", "is_dirty": False, "ct_uids": (), "results": ()}
    return KnownScan(day=day, job=job, **(plain | values))  # type: ignore[arg-type]


def days(selection: PriorSelection) -> list[str]:
    return [prior.study_uid.removeprefix("1.") for prior in selection.scans]


# -- selection --


def test_the_newest_prior_scans_are_selected_by_date() -> None:
    known = [scan(day) for day in ("20240101", "20250101", "20250601", "20260703", "20270101")]

    assert days(select_priors(known, "20260703", max_priors=2)) == ["20250101", "20250601"]


def test_the_series_with_the_most_slices_of_a_study_is_selected() -> None:
    thick, thin = scan("20250101"), scan("20250101", series_uid="1.20250101.0")
    assert thin.job is not None
    thin = replace(thin, job=replace(thin.job, job_key="thin", sop_instance_uids=("1", "2", "3")))

    assert [prior.job_key for prior in select_priors([thick, thin], "20260703", max_priors=5).scans] == ["thin"]


@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.RUNNING])
def test_a_queued_or_running_prior_is_open_and_not_selected(state: JobState) -> None:
    selection = select_priors([scan("20240101"), scan("20250101", state)], "20260703", max_priors=5)

    assert (days(selection), selection.open) == (["20240101"], 1)


def test_a_job_whose_results_a_peer_refused_is_a_usable_prior() -> None:
    failed = scan("20250101", JobState.FAILED)
    assert failed.job is not None
    refused_delivery = replace(failed, job=replace(failed.job, has_documents=True))

    assert select_priors([failed], "20260703", max_priors=5).scans[0].job_key is None
    assert select_priors([refused_delivery], "20260703", max_priors=5).scans[0].job_key == "job of 20250101"


def test_a_prior_that_was_not_analysed_does_not_replace_a_usable_one() -> None:
    selection = select_priors([scan("20240101"), scan("20250101", JobState.REJECTED)], "20260703", max_priors=1)

    assert days(selection) == ["20240101"]
    assert selection.not_analysed == ("series 1.20250101.1 was not analysed: REJECTED",)


# -- outcome of the search --


def test_none_exists_requires_a_finished_search_and_no_open_prior() -> None:
    nothing = PriorSelection(scans=(), not_analysed=(), open=0)

    assert close_search(nothing, NONE_FOUND, 300.0).search is PriorSearch.NONE_EXISTS
    assert close_search(nothing, None, 300.0).search is PriorSearch.NOT_FETCHED
    assert close_search(replace(nothing, open=1), NONE_FOUND, 300.0).search is PriorSearch.NOT_FETCHED
    failed = replace(NONE_FOUND, search=PriorSearch.NOT_FETCHED, reason="pacs: unavailable")
    assert close_search(nothing, failed, 300.0) == failed


def test_a_stored_prior_is_used_although_the_pacs_is_unavailable() -> None:
    selection = select_priors([scan("20250101")], "20260703", max_priors=5)
    unavailable = Priors(search=PriorSearch.NOT_FETCHED, reason="pacs: unavailable", scans=())

    given = close_search(selection, unavailable, 300.0)

    assert (given.search, given.reason, len(given.scans)) == (PriorSearch.FOUND, "pacs: unavailable", 1)


# -- job key --


def test_the_job_key_depends_on_the_priors_and_is_unchanged_without_priors() -> None:
    def key(priors: Priors) -> str:
        return job_key("images", "config", key_parts(priors))

    one = close_search(select_priors([scan("20250101")], "20260703", 5), NONE_FOUND, 300.0)
    two = close_search(select_priors([scan("20240101"), scan("20250101")], "20260703", 5), NONE_FOUND, 300.0)
    unavailable = close_search(PriorSelection(scans=(), not_analysed=(), open=0), None, 300.0)

    assert key(NOT_QUERIED) == key(NONE_FOUND) == job_key("images", "config")
    assert len({key(NONE_FOUND), key(one), key(two), key(unavailable)}) == 4
    assert key_parts(two) == ("job of 20240101", "job of 20250101")


# -- patient identity --


def test_a_patient_key_depends_on_patient_and_salt(tmp_path: Path) -> None:
    salt = patient_salt(tmp_path)
    key = PATIENT_IDENTITY.patient_key(salt)

    assert len(salt) == 32
    assert patient_salt(tmp_path) == salt
    assert (tmp_path / ".salt").stat().st_mode & 0o077 == 0
    assert patient_salt(tmp_path / "other") != salt
    assert key == replace(PATIENT_IDENTITY, acquired_on="20200101000000").patient_key(salt)
    for other in ({"birth_date": "19770707"}, {"sex": "M"}, {"issuer": ""}, {"patient_id": "SECRET"}):
        assert replace(PATIENT_IDENTITY, **other).patient_key(salt) != key
    assert PATIENT_IDENTITY.patient_key(patient_salt(tmp_path / "other")) != key


@pytest.mark.parametrize("missing", ["patient_id", "birth_date", "sex", "acquired_on"])
def test_an_incomplete_identity_has_no_patient_key(missing: str) -> None:
    assert replace(PATIENT_IDENTITY, **{missing: ""}).patient_key(b"salt") is None


def test_the_repr_of_an_identity_has_no_patient_data() -> None:
    assert repr(PATIENT_IDENTITY) == "PatientIdentity()"


def test_identities_contradict_by_different_values_and_not_by_missing_ones() -> None:
    assert not PATIENT_IDENTITY.contradicts(replace(PATIENT_IDENTITY, birth_date="", sex="", issuer=""))
    for other in ({"birth_date": "19770707"}, {"sex": "M"}, {"issuer": "OTHER"}, {"patient_id": "B"}):
        assert PATIENT_IDENTITY.contradicts(replace(PATIENT_IDENTITY, **other))


@pytest.mark.parametrize(
    ("written", "known"),
    [
        ({"StudyTime": "101559.25"}, "20260703101559"),
        ({"StudyTime": ""}, "20260703000000"),
        ({"StudyTime": "10"}, "20260703100000"),
        ({"StudyDate": ""}, ""),
    ],
)
def test_the_acquisition_time_is_read_from_study_date_and_time(written: dict[str, str], known: str) -> None:
    header = Dataset()
    header.PatientID, header.StudyDate, header.StudyTime = "SECRET-ID", "20260703", "101500"
    for keyword, value in written.items():
        setattr(header, keyword, value)

    assert identity_of(header).acquired_on == known


def test_a_file_that_is_not_dicom_has_an_unknown_identity(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"reject")

    assert read_identity(tmp_path / "a") == read_identity(tmp_path / "absent") == UNKNOWN


# -- queries --


OWN_STUDY = "1.9"
"""Of the scan whose priors are searched for."""


def answer(**values: object) -> Dataset:
    found = Dataset()
    plain = {
        "PatientID": "SECRET-ID",
        "PatientBirthDate": "19500101",
        "PatientSex": "F",
        "StudyInstanceUID": "1.2",
        "StudyDate": "20250110",
        "ModalitiesInStudy": ["CT", "SR"],
    }
    for keyword, value in (plain | values).items():
        setattr(found, keyword, value)
    return found


def studies(*answers: Dataset) -> list[str]:
    return [study.study_uid for study in prior_studies(answers, PATIENT_IDENTITY, OWN_STUDY).studies]


def test_birth_date_sex_and_issuer_are_return_keys() -> None:
    query = study_query(PATIENT_IDENTITY)

    assert (query.QueryRetrieveLevel, query.PatientID) == ("STUDY", "SECRET-ID")
    for keyword in ("PatientBirthDate", "PatientSex", "IssuerOfPatientID", "StudyDate", "ModalitiesInStudy"):
        assert query[keyword].is_empty
    assert series_query("1.2").StudyInstanceUID == "1.2"


@pytest.mark.parametrize("text", ["", "CT Thorax", "CHEST^LUNG LOW DOSE", "CT chest abdomen pelvis"])
def test_a_study_of_the_chest_or_without_a_body_region_is_relevant(text: str) -> None:
    assert studies(answer(StudyDescription=text)) == ["1.2"]


@pytest.mark.parametrize("text", ["CT HEAD W/O", "Abdomen/Pelvis", "knee left", "CCT Schädel", "lumbar spine"])
def test_a_study_of_another_body_region_is_not_relevant(text: str) -> None:
    assert studies(answer(StudyDescription=text)) == []


@pytest.mark.parametrize(
    "other",
    [
        {"StudyDate": "20260703"},
        {"StudyDate": "20261224"},
        {"StudyDate": "", "StudyInstanceUID": "1.9"},
        {"ModalitiesInStudy": "MR"},
        {"PatientID": "SECRET-ID2"},
        {"PatientBirthDate": "19500102"},
        {"PatientSex": "M"},
        {"IssuerOfPatientID": "OTHER"},
    ],
    ids=str,
)
def test_a_study_that_is_not_a_prior_of_this_patient_is_left_out(other: dict[str, str]) -> None:
    assert studies(answer(**other)) == []


@pytest.mark.parametrize(
    "unknown", [{"StudyDate": ""}, {"StudyDate": "10.01.2025"}, {"PatientID": ""}, {"PatientSex": ""}], ids=str
)
def test_what_a_pacs_does_not_return_decides_nothing(unknown: dict[str, str]) -> None:
    """The header of the fetched study tells."""
    assert studies(answer(**unknown), answer(StudyInstanceUID="1.3")) == ["1.3", "1.2"]


def test_prior_studies_are_sorted_newest_first_and_other_patients_are_counted() -> None:
    found = prior_studies(
        [answer(), answer(StudyInstanceUID="1.3", StudyDate="20260101"), answer(PatientSex="M")],
        PATIENT_IDENTITY,
        OWN_STUDY,
    )

    assert [study.study_uid for study in found.studies] == ["1.3", "1.2"]
    assert found.identity_mismatches == 1


def series(uid: str, **values: object) -> Dataset:
    return answer(SeriesInstanceUID=uid, **({"Modality": "CT", "NumberOfSeriesRelatedInstances": 100} | values))


def test_the_ct_with_results_is_preferred_to_the_one_with_the_most_slices() -> None:
    found = series_of(
        [
            series("1.1", NumberOfSeriesRelatedInstances=2, SeriesDescription="Topogram"),
            series("1.2"),
            series("1.3", NumberOfSeriesRelatedInstances=400),
            series("1.4", NumberOfSeriesRelatedInstances=900, BodyPartExamined="HEAD"),
            series("1.5", Modality="SEG", NumberOfSeriesRelatedInstances=1),
        ],
        "1",
    )

    assert [one.series_uid for one in found if not one.is_relevant] == ["1.1", "1.4"]
    assert best_ct(found, ()) == found[2]
    assert best_ct(found, {"1.2"}) == found[1]
    assert best_ct(found[:1], ()) is None


@pytest.mark.parametrize(
    ("responses", "slices"),
    [
        ([{"SOPClassUID": ENHANCED_CT, "NumberOfFrames": 240}], 240),
        (
            [{"SOPClassUID": ENHANCED_CT, "NumberOfFrames": 100}, {"SOPClassUID": ENHANCED_CT, "NumberOfFrames": 140}],
            240,
        ),
        ([{"SOPClassUID": ENHANCED_CT, "NumberOfFrames": ""}], 0),
        ([{"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}], 1),
        ([], 1),
    ],
    ids=["one image", "two images", "frames not returned", "a single-frame image", "nothing returned"],
)
def test_the_frames_of_multi_frame_images_count_as_slices(responses: list[dict[str, Any]], slices: int) -> None:
    (found,) = series_of([series("1.2", NumberOfSeriesRelatedInstances=1)], "1")

    counted = with_frames(found, [answer(**response) for response in responses])

    assert counted.slices == slices
    assert best_ct([counted], ()) == (None if slices == 1 else counted)


def test_only_ct_series_of_few_instances_may_be_multi_frame() -> None:
    found = series_of(
        [
            series("1.1", NumberOfSeriesRelatedInstances=1),
            series("1.2", NumberOfSeriesRelatedInstances=19),
            series("1.3", NumberOfSeriesRelatedInstances=20),
            series("1.4", NumberOfSeriesRelatedInstances=2, SeriesDescription="Topogram"),
            series("1.5", NumberOfSeriesRelatedInstances=""),
            series("1.6", NumberOfSeriesRelatedInstances=1, Modality="SR"),
        ],
        "1",
    )

    assert [one.series_uid for one in found if one.may_be_multi_frame] == ["1.1", "1.2"]


# -- result headers --


def written(result: Dataset, folder: Path) -> Path:
    result.save_as(folder / "result.dcm", enforce_file_format=True)
    return folder / "result.dcm"


@pytest.mark.parametrize(
    ("manufacturer", "model", "expected"),
    [
        ("LungSpread", "LungSpread", True),
        ("LungSpread ", "LungSpread ", True),
        ("LungSpread", "Phantom", False),
        ("3D Slicer", "LungSpread", False),
        ("LungSpread", None, False),
    ],
)
def test_a_document_is_ours_by_manufacturer_and_model(manufacturer: str, model: str | None, expected: bool) -> None:
    document = Dataset()
    document.Manufacturer, document.ManufacturerModelName = manufacturer, model

    assert is_ours(document) is expected


def test_a_report_refers_to_the_ct_of_its_own_study_and_not_of_prior_studies(tmp_path: Path) -> None:
    now, before = Scan(date="20260703"), Scan(date="20250110")
    report = now.result(SR, "1.9.2", PRODUCT, [(SEG, "1.9.1"), (SR, "1.8.1")])
    report.CurrentRequestedProcedureEvidenceSequence.extend(
        before.result(SR, "1.8.1", PRODUCT).CurrentRequestedProcedureEvidenceSequence
    )

    (result,) = read_results(written(report, tmp_path))

    assert (result.ct_series_uid, result.is_ours) == (now.series_uid, True)
    assert result.refers_to == ((SEG, "1.9.1"), (SR, "1.8.1"))


def test_a_segmentation_of_a_reader_belongs_to_the_series_that_it_refers_to(tmp_path: Path) -> None:
    scan = Scan(date="20260703")

    (result,) = read_results(written(scan.result(SEG, "1.9.1", "Reader"), tmp_path))

    assert (result.ct_series_uid, result.is_ours, result.refers_to) == (scan.series_uid, False, ())


def test_the_error_for_an_unreadable_result_has_none_of_its_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"SECRET")

    with pytest.raises(UnreadableInstance, match=r"cannot be read: not a DICOM object$"):
        read_results(tmp_path / "a")
