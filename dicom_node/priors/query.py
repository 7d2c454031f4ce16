"""Queries for prior studies of a patient, and the selection of relevant responses."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from pydicom import Dataset

from dicom_node.dicom_file import value_of
from dicom_node.identifiers import MULTI_FRAME_CT, is_uid
from dicom_node.priors.patient_identity import PatientIdentity, identity_of
from dicom_node.selection.body_region import shows_other_region

MIN_SLICES = 20
"""A CT series with fewer slices is a localizer, a planning scan or a needle check, not a chest CT."""
_STUDY_KEYS = ("StudyInstanceUID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime",
               "StudyDescription", "ModalitiesInStudy")  # fmt: skip
_SERIES_KEYS = ("SeriesInstanceUID", "Modality", "SeriesDescription", "BodyPartExamined",
                "NumberOfSeriesRelatedInstances")  # fmt: skip
_IMAGE_KEYS = ("SOPInstanceUID", "SOPClassUID", "NumberOfFrames")
_LOCALIZER = re.compile(
    r"localizer|localiser|scout|topogram|surview|scanogram|dose report|patient protocol", re.IGNORECASE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundStudy:
    """A prior study of the patient, from a query response."""

    study_uid: str
    identity: PatientIdentity
    """As far as the PACS returns it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundSeries:
    """A series of a prior study, from a query response."""

    study_uid: str
    series_uid: str
    modality: str
    instances: int
    """Number of instances at the PACS; 0 if it does not return it."""
    is_relevant: bool
    frames: int | None = None
    """Number of frames of its multi-frame CT images; None for single-frame images."""

    @property
    def slices(self) -> int:
        """Number of slices; 0 if it is not known."""
        return self.instances if self.frames is None else self.frames

    @property
    def may_be_multi_frame(self) -> bool:
        """Whether it is a CT of so few instances that these may be multi-frame images."""
        return self.modality == "CT" and self.is_relevant and 0 < self.instances < MIN_SLICES


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundStudies:
    """The relevant studies, the newest first, and the number that belong to other patients with the same ID."""

    studies: tuple[FoundStudy, ...]
    identity_mismatches: int


def study_query(identity: PatientIdentity) -> Dataset:
    """Return the C-FIND keys for all studies of a patient (PS3.4 C.6.2.1, study level).

    Birth date, sex and issuer are return keys: not every PACS matches them, so they are compared here.
    """
    query = _query("STUDY", _STUDY_KEYS)
    query.PatientID = identity.patient_id
    return query


def series_query(study_uid: str) -> Dataset:
    """Return the C-FIND keys for all series of a study."""
    query = _query("SERIES", _SERIES_KEYS)
    query.StudyInstanceUID = study_uid
    return query


def image_query(series: FoundSeries) -> Dataset:
    """Return the C-FIND keys for all images of a series."""
    query = _query("IMAGE", _IMAGE_KEYS)
    query.StudyInstanceUID, query.SeriesInstanceUID = series.study_uid, series.series_uid
    return query


def with_frames(series: FoundSeries, answers: Sequence[Dataset]) -> FoundSeries:
    """Return the series with the number of its frames, if the responses to `image_query` are multi-frame CT images.

    Number of Frames is an optional key (PS3.4 C.6.1.1.5): if it is not returned, the number is unknown.
    """
    images = [answer for answer in answers if answer.get("SOPClassUID") in MULTI_FRAME_CT]
    counts = [_count(image.get("NumberOfFrames")) for image in images]
    return replace(series, frames=sum(counts) if all(counts) else 0) if images else series


def prior_studies(answers: Sequence[Dataset], identity: PatientIdentity, own_study_uid: str) -> FoundStudies:
    """Select prior studies of the same patient with CT or results that may show the chest, the newest first.

    What a PACS does not return decides nothing: the headers tell, once the study is fetched. Studies whose date it does
    not return, or not in DICOM's form, come last.
    """
    found = [
        FoundStudy(study_uid=str(value_of(answer, "StudyInstanceUID")), identity=identity_of(answer))
        for answer in answers
        if is_uid(value_of(answer, "StudyInstanceUID"))
        and not shows_other_region(_description(answer))
        and _may_hold_priors(answer)
    ]
    # A study of the same day is not a prior time point.
    prior = [study for study in found if study.study_uid != own_study_uid and study.identity.day < identity.day]
    same_patient = [study for study in prior if not study.identity.contradicts(identity)]
    same_patient.sort(key=lambda study: (study.identity.acquired_on, study.study_uid), reverse=True)
    return FoundStudies(studies=tuple(same_patient), identity_mismatches=len(prior) - len(same_patient))


def series_of(answers: Sequence[Dataset], study_uid: str) -> list[FoundSeries]:
    """Return the series in query responses of a study, sorted by UID."""
    found = [
        FoundSeries(
            study_uid=study_uid,
            series_uid=str(answer.SeriesInstanceUID),
            modality=str(value_of(answer, "Modality") or "").strip().upper(),
            instances=_count(value_of(answer, "NumberOfSeriesRelatedInstances")),
            is_relevant=not shows_other_region(_description(answer)) and not _LOCALIZER.search(_description(answer)),
        )
        for answer in answers
        if is_uid(value_of(answer, "SeriesInstanceUID"))
    ]
    return sorted(found, key=lambda series: series.series_uid)


def best_ct(found: Sequence[FoundSeries], with_results: Collection[str]) -> FoundSeries | None:
    """Return the CT series of a study: one with results, else the one with the most slices; None if there is none."""
    candidates = [
        series
        for series in found
        if series.modality == "CT" and series.is_relevant and (series.slices == 0 or series.slices >= MIN_SLICES)
    ]
    analysed = [series for series in found if series.series_uid in with_results]
    return max(analysed or candidates, key=lambda series: (series.slices, series.series_uid), default=None)


def _query(level: str, return_keys: Sequence[str]) -> Dataset:
    query = Dataset()
    query.QueryRetrieveLevel = level
    for keyword in return_keys:
        setattr(query, keyword, "")
    return query


def _may_hold_priors(answer: Dataset) -> bool:
    """Whether the study has CT, or results (the CT itself may be deleted)."""
    modalities = value_of(answer, "ModalitiesInStudy")
    if not modalities:
        return True  # an optional key: decided at series level
    return not {"CT", "SEG", "SR"}.isdisjoint([modalities] if isinstance(modalities, str) else modalities)


def _description(answer: Dataset) -> str:
    texts = (value_of(answer, key) for key in ("StudyDescription", "SeriesDescription", "BodyPartExamined"))
    return " ".join(str(text) for text in texts if text)


def _count(value: object) -> int:
    text = str(value or "").strip()
    return int(text) if text.isdigit() else 0
