"""Compares CONFORMANCE.md with the code."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import get_args

import pytest
from pydicom.datadict import dictionary_description

from dicom_node.dicomweb.attributes import OF_INSTANCE, OF_SERIES, OF_STUDY
from dicom_node.network import scu, status
from dicom_node.network.contexts import Permission
from dicom_node.priors import query as prior_query
from dicom_node.settings import NodeSettings, Peer
from tests.conformance.markdown import replaced_between
from tests.conformance.sections import OF_CONSTANTS, SECTIONS, STATEMENT, with_section

NODE = STATEMENT.parent
TEXT = STATEMENT.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", OF_CONSTANTS)
def test_a_table_of_the_statement_is_what_the_code_says(name: str) -> None:
    assert with_section(TEXT, name) == TEXT, "run `make conformance`"


def test_every_attribute_of_a_dicomweb_search_is_stated_at_its_level() -> None:
    for level, keywords in (("study", OF_STUDY), ("series", OF_SERIES), ("instance", OF_INSTANCE)):
        (row,) = [line for line in TEXT.splitlines() if line.startswith(f"| {level} | ")]
        assert row.split("|")[2].strip().split(", ") == [dictionary_description(keyword) for keyword in keywords]


def test_every_generated_section_is_in_the_statement_once() -> None:
    marks = [line for line in TEXT.splitlines() if line.startswith("<!-- make conformance: ")]

    assert sorted(marks) == sorted(f"<!-- make conformance: {name} -->" for name in SECTIONS)
    assert TEXT.count("<!-- end -->") == len(marks)


def test_the_chapters_are_those_of_the_standard() -> None:
    chapters = [line.removeprefix("## ") for line in TEXT.splitlines() if line.startswith("## ")]

    # PS3.2 Annex N, 2024d.
    assert chapters[:8] == [
        "1 Overview",
        "2 Table of contents",
        "3 Introduction",
        "4 Implementation model",
        "5 Service and interoperability description",
        "6 Configuration",
        "7 Network communication details",
        "8 Security",
    ]
    assert [chapter.split()[1] for chapter in chapters[8:]] == list("ABCDEF")


def test_a_mark_that_is_missing_is_an_error() -> None:
    assert replaced_between("a <b> old <c> d", "<b>", "<c>", "new") == "a <b>\n\nnew\n\n<c> d"
    with pytest.raises(ValueError, match="no <b>"):
        replaced_between("a <c>", "<b>", "<c>", "new")


def test_the_statuses_that_the_node_answers_are_those_of_the_table() -> None:
    answering = [path for path in NODE.rglob("*.py") if path != Path(scu.__file__)]
    imported = {
        alias.name
        for path in answering
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module == status.__name__
        for alias in node.names
    }
    statuses = {value for name in imported if isinstance(value := getattr(status, name), int)}

    assert statuses - {status.MAXIMUM_PDU_LENGTH} == {value for each in status.ANSWERS.values() for value in each}


def test_every_permission_is_a_setting_of_a_peer() -> None:
    for permission in get_args(Permission):
        assert Peer.model_fields[permission].annotation is bool


def test_the_limits_and_the_minimum_number_of_slices_are_stated() -> None:
    for name in ("priors_time_limit_s", "priors_size_limit_mb", "max_priors"):
        assert name in NodeSettings.model_fields
        assert f"`node.{name}`" in TEXT
    assert f"fewer than {prior_query.MIN_SLICES} instances" in TEXT
