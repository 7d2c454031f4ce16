"""Tables of the content trees of the created reports, read from encoded examples."""

from __future__ import annotations

from collections.abc import Iterator

from pydicom.dataset import Dataset

from tests.conformance.examples import examples
from tests.conformance.markdown import table

Row = tuple[str, str, str, str]
"""Parent, relationship, value type and concept name of a content item."""


def templates() -> str:
    """Return the templates that the content trees name, with the containers that follow them."""
    found = {
        (f"TID {item.ContentTemplateSequence[0].TemplateIdentifier}", item.ConceptNameCodeSequence[0].CodeMeaning)
        for root in _reports()
        for _, item in [("", root), *_items(root)]
        if "ContentTemplateSequence" in item
    }
    return table(["template", "container"], sorted(found))


def content_items() -> str:
    """Return each kind of content item once, with the units of numbers."""
    found: dict[Row, set[str]] = {}
    for root in _reports():
        for parent, item in _items(root):
            concept = _text(item.ConceptNameCodeSequence[0])
            row = (parent, str(item.RelationshipType), str(item.ValueType), concept)
            found.setdefault(row, set()).update(_units(item))
    rows = [[*row, ", ".join(sorted(units))] for row, units in sorted(found.items())]
    return table(["in", "relationship", "value type", "concept name", "unit"], rows)


def _reports() -> Iterator[Dataset]:
    for example in examples():
        yield example.documents["sr"]
        yield example.documents["rejection"]


def _items(item: Dataset) -> Iterator[tuple[str, Dataset]]:
    """Yield every item below this one, with the kind of its parent: a container's name, else the value type."""
    is_container = item.ValueType == "CONTAINER"
    parent = str(item.ConceptNameCodeSequence[0].CodeMeaning if is_container else item.ValueType)
    for child in item.get("ContentSequence", ()):
        if "ConceptNameCodeSequence" in child:
            yield parent, child
        yield from _items(child)


def _units(item: Dataset) -> list[str]:
    measured = item.get("MeasuredValueSequence") or ()
    return [str(value.MeasurementUnitsCodeSequence[0].CodeValue) for value in measured]


def _text(code: Dataset) -> str:
    return f"({code.CodeValue}, {code.CodingSchemeDesignator}, {code.CodeMeaning})"
