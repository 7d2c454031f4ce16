"""The name of the product, and what every output says of its use."""

from __future__ import annotations

from dicom_node import identifiers

PRODUCT = identifiers.PRODUCT

RESEARCH = "Research, not for diagnosis"

RESEARCH_SENTENCE = "Made by research software without review by a radiologist: not for diagnosis."
