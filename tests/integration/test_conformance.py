"""Compares the annexes of CONFORMANCE.md with documents as they are written."""

from __future__ import annotations

import pytest
from pydicom.uid import ExplicitVRLittleEndian

from dicom_node.network.contexts import STORE
from tests.conformance.examples import examples
from tests.conformance.sections import OF_DOCUMENTS, STATEMENT, with_section

TEXT = STATEMENT.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", OF_DOCUMENTS)
def test_a_table_of_the_statement_is_what_the_documents_have(name: str) -> None:
    assert with_section(TEXT, name) == TEXT, "run `make conformance`"


def test_documents_are_of_the_classes_and_the_syntax_that_are_proposed() -> None:
    documents = [document for example in examples() for document in example.documents.values()]

    assert {document.SOPClassUID for document in documents} == set(STORE.sop_classes)
    assert {document.file_meta.TransferSyntaxUID for document in documents} == {ExplicitVRLittleEndian}


def test_documents_have_no_private_element() -> None:
    for example in examples():
        for document in example.documents.values():
            assert not [element for element in document.iterall() if element.tag.is_private]
