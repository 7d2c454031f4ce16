"""The generated sections of dicom_node/CONFORMANCE.md by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from tests.conformance import codes, content, documents, network, settings
from tests.conformance.markdown import replaced_between

STATEMENT = Path(__file__).parents[2] / "dicom_node" / "CONFORMANCE.md"

OF_CONSTANTS: Mapping[str, Callable[[], str]] = {
    "services": network.services,
    "transfer syntaxes": network.transfer_syntaxes,
    "accepted contexts": network.accepted_contexts,
    "proposed contexts": network.proposed_contexts,
    "association parameters": settings.association_parameters,
    "statuses answered": network.statuses_answered,
    "statuses received": network.statuses_received,
    "failure reasons": network.failure_reasons,
    "query keys": network.query_keys,
    "node settings": settings.node_settings,
    "peer settings": settings.peer_settings,
    "audit settings": settings.audit_settings,
    "standard codes": codes.standard_codes,
}
"""Sections that are made of constants."""
OF_DOCUMENTS: Mapping[str, Callable[[], str]] = {
    "elements of the SEG": documents.seg_elements,
    "elements of the SR": documents.sr_elements,
    "templates": content.templates,
    "content items": content.content_items,
}
"""Sections that are made of encoded documents, which takes seconds."""
SECTIONS = {**OF_CONSTANTS, **OF_DOCUMENTS}


def with_section(text: str, name: str) -> str:
    """Return the text of the statement with this section as the code is now."""
    return replaced_between(text, f"<!-- make conformance: {name} -->", "<!-- end -->", SECTIONS[name]())
