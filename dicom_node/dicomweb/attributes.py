"""The attributes of results that QIDO-RS matches and returns, by level (PS3.18 tables 10.6.1-5 and 10.6.3-3 to -5)."""

from __future__ import annotations

from enum import StrEnum


class Level(StrEnum):
    """What a search returns."""

    STUDIES = "studies"
    SERIES = "series"
    INSTANCES = "instances"


OF_STUDY = (
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
    "TimezoneOffsetFromUTC",
    "StudyDescription",
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyInstanceUID",
    "StudyID",
)
OF_SERIES = (
    "SeriesDate",
    "SeriesTime",
    "Modality",
    "Manufacturer",
    "SeriesDescription",
    "SeriesInstanceUID",
    "SeriesNumber",
    "BodyPartExamined",
    "PerformedProcedureStepStartDate",
    "PerformedProcedureStepStartTime",
    "RequestAttributesSequence",
)
OF_INSTANCE = (
    "SOPClassUID",
    "SOPInstanceUID",
    "ContentDate",
    "ContentTime",
    "InstanceNumber",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "CompletionFlag",
    "VerificationFlag",
)
READ = ("SpecificCharacterSet", *OF_STUDY, *OF_SERIES, *OF_INSTANCE)
"""What is read of each result."""
