"""What a PACS is asked about a patient's earlier studies, and which of its answers are relevant. Speaks with nobody."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pydicom import Dataset

from dicom_node.priors.patient_identity import Identity, identity_of

FEWEST_SLICES = 20
"""A CT series of fewer is a localizer, a planning slice or a follow-up of a needle, not a chest."""
_STUDY_KEYS = ("StudyInstanceUID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime",
               "StudyDescription", "ModalitiesInStudy")  # fmt: skip
_SERIES_KEYS = ("SeriesInstanceUID", "Modality", "SeriesDescription", "BodyPartExamined",
                "NumberOfSeriesRelatedInstances")  # fmt: skip
_CHEST = re.compile(r"chest|thora|lung|pulmo|poumon|t[oó]rax|pecho|trunk|whole.?body|\bCAP\b|\bTAP\b", re.IGNORECASE)
_ELSEWHERE = re.compile(
    r"head|brain|skull|neck|sinus|temporal|abdom|pelvi|liver|kidney|renal|spine|lumb|cervic|sacr|knee|foot|ankle|hip\b"
    r"|hand|wrist|elbow|shoulder|leg\b|extremit|femur|sch[aä]del|kopf|hals|bauch|becken|knie|t[eê]te|crane|rachis|cabeza",
    re.IGNORECASE,
)
_LOCALIZER = re.compile(
    r"localizer|localiser|scout|topogram|surview|scanogram|dose report|patient protocol", re.IGNORECASE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundStudy:
    """An earlier study of the patient, as the PACS tells of it."""

    study_uid: str
    identity: Identity
    """As far as the PACS tells it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundSeries:
    """A series of such a study."""

    study_uid: str
    series_uid: str
    modality: str
    instances: int
    """How many the PACS has; 0 when it does not say."""
    is_relevant: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundStudies:
    """The relevant answers, the newest first, and how many belong to somebody else of the same ID."""

    studies: tuple[FoundStudy, ...]
    identity_mismatches: int


def study_query(identity: Identity) -> Dataset:
    """Return the C-FIND keys for all studies of a patient (PS3.4 C.6.2.1, study level).

    Birth date, sex and issuer are return keys: not every PACS matches them, and what they say is compared here.
    """
    query = _query("STUDY", _STUDY_KEYS)
    query.PatientID = identity.patient_id
    return query


def series_query(study_uid: str) -> Dataset:
    """Return the C-FIND keys for all series of a study."""
    query = _query("SERIES", _SERIES_KEYS)
    query.StudyInstanceUID = study_uid
    return query


def earlier_studies(answers: Sequence[Dataset], identity: Identity) -> FoundStudies:
    """Choose the earlier studies with CT or results of the same person that may show the chest, the newest first."""
    found = [
        FoundStudy(study_uid=str(answer.get("StudyInstanceUID") or ""), identity=identity_of(answer))
        for answer in answers
        if _may_show_chest(answer) and _may_be_compared(answer)
    ]
    # A study of the same day is no earlier time point; one without a date is none that can be placed.
    earlier = [study for study in found if study.study_uid and "" < study.identity.day < identity.day]
    ours = [study for study in earlier if not study.identity.contradicts(identity)]
    ours.sort(key=lambda study: (study.identity.acquired_on, study.study_uid), reverse=True)
    return FoundStudies(studies=tuple(ours), identity_mismatches=len(earlier) - len(ours))


def series_of(answers: Sequence[Dataset], study_uid: str) -> list[FoundSeries]:
    """Return the series of a study, sorted by UID."""
    found = [
        FoundSeries(
            study_uid=study_uid,
            series_uid=str(answer.SeriesInstanceUID),
            modality=str(answer.get("Modality") or "").strip().upper(),
            instances=_count(answer.get("NumberOfSeriesRelatedInstances")),
            is_relevant=_may_show_chest(answer) and not _LOCALIZER.search(_described(answer)),
        )
        for answer in answers
        if answer.get("SeriesInstanceUID")
    ]
    return sorted(found, key=lambda series: series.series_uid)


def best_ct(found: Sequence[FoundSeries], with_results: Collection[str]) -> FoundSeries | None:
    """Choose the CT series of a study: one that has results already, else the one with the most slices."""
    candidates = [
        series
        for series in found
        if series.modality == "CT"
        and series.is_relevant
        and (series.instances == 0 or series.instances >= FEWEST_SLICES)
    ]
    analysed = [series for series in found if series.series_uid in with_results]
    return max(analysed or candidates, key=lambda series: (series.instances, series.series_uid), default=None)


def _query(level: str, return_keys: Sequence[str]) -> Dataset:
    query = Dataset()
    query.QueryRetrieveLevel = level
    for keyword in return_keys:
        setattr(query, keyword, "")
    return query


def _may_be_compared(answer: Dataset) -> bool:
    """Whether there is CT, or results of a CT that is gone."""
    modalities = answer.get("ModalitiesInStudy")
    if not modalities:
        return True  # an optional key: the series will tell
    return not {"CT", "SEG", "SR"}.isdisjoint([modalities] if isinstance(modalities, str) else modalities)


def _may_show_chest(answer: Dataset) -> bool:
    """Whether what is written names the chest, or no other part of the body; silence excludes nothing."""
    text = _described(answer)
    return bool(_CHEST.search(text)) or not _ELSEWHERE.search(text)


def _described(answer: Dataset) -> str:
    texts = (answer.get(key) for key in ("StudyDescription", "SeriesDescription", "BodyPartExamined"))
    return " ".join(str(text) for text in texts if text)


def _count(value: object) -> int:
    text = str(value or "").strip()
    return int(text) if text.isdigit() else 0
