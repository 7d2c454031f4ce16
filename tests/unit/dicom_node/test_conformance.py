"""Compares CONFORMANCE.md with the code."""

from __future__ import annotations

from pathlib import Path

from pydicom.datadict import dictionary_description

from dicom_node.identifiers import (
    COMMITMENT,
    CT_IMAGES,
    MULTI_FRAME_CT,
    REPORTS,
    RESULTS,
    SEGMENTATIONS,
    STUDY_ROOT_FIND,
    STUDY_ROOT_GET,
    STUDY_ROOT_MOVE,
    VERIFICATION,
)
from dicom_node.priors import query as prior_query
from dicom_node.priors.patient_identity import PatientIdentity
from dicom_node.settings import NodeSettings
from dicom_node.transfer_syntaxes import ALL, COMPRESSED

CT_SERIES = prior_query.FoundSeries(study_uid="1.2", series_uid="1.2.3", modality="CT", instances=1, is_relevant=True)
STATEMENT = (Path(prior_query.__file__).parents[1] / "CONFORMANCE.md").read_text(encoding="utf-8")


def test_every_sop_class_is_stated_by_its_uid() -> None:
    shortened = STATEMENT.replace("...", "1.2.840.10008.5.1.4.1.1.")
    for uid in (VERIFICATION, COMMITMENT, *CT_IMAGES, *RESULTS, STUDY_ROOT_FIND, STUDY_ROOT_MOVE, STUDY_ROOT_GET):
        assert uid in shortened, uid
    for name in (MULTI_FRAME_CT | REPORTS | SEGMENTATIONS).values():
        assert name in STATEMENT, name


def test_every_key_of_a_query_is_stated_at_its_level() -> None:
    queries = (
        prior_query.study_query(PatientIdentity(patient_id="A")),
        prior_query.series_query("1.2"),
        prior_query.image_query(CT_SERIES),
    )
    for query in queries:
        (row,) = [line for line in STATEMENT.splitlines() if line.startswith(f"| {query.QueryRetrieveLevel} |")]
        _, _, matching, returned, _ = row.split("|")
        for element in query:
            if element.keyword != "QueryRetrieveLevel":
                column = returned if element.is_empty else matching
                assert dictionary_description(element.tag) in column, element.keyword


def test_the_limits_and_the_minimum_number_of_slices_are_stated() -> None:
    for name in ("priors_time_limit_s", "priors_size_limit_mb", "max_priors"):
        assert name in NodeSettings.model_fields
        assert f"`node.{name}`" in STATEMENT
    assert f"fewer than {prior_query.MIN_SLICES} instances" in STATEMENT


def test_the_statement_has_all_accepted_transfer_syntaxes() -> None:
    assert len(ALL) == 4 + len(COMPRESSED) == 21
    for name in (
        "explicit VR little",
        "implicit VR little",
        "deflated",
        "big",
        "JPEG Lossless",
        "JPEG-LS",
        "JPEG 2000",
        "High-Throughput JPEG 2000",
        "JPEG Baseline",
        "and Extended",
        "JPEG XL",
        "encapsulated uncompressed",
        "RLE",
    ):
        assert name in " ".join(STATEMENT.split()), name
