"""Tables of the elements that the created documents really have, read from encoded examples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydicom.datadict import dictionary_description
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.uid import UID

from tests.conformance.examples import examples
from tests.conformance.markdown import table

_MOST_VALUES = 6
"""More values of one attribute or concept are not listed."""
_CODE = {"CodeValue", "CodingSchemeDesignator", "CodeMeaning"}


def seg_elements() -> str:
    """Return the elements of the SEG."""
    return _elements("seg")


def sr_elements() -> str:
    """Return the elements of the SR of a report and of a rejection, without their content trees."""
    return _elements("sr", "rejection")


def _elements(*names: str) -> str:
    pairs = [(each.documents[name], each.image) for each in examples() for name in names if name in each.documents]
    rows = _rows([document for document, _ in pairs], [image for _, image in pairs])
    return table(["attribute", "tag", "VR", "presence", "source", "value"], rows)


def _rows(datasets: Sequence[Dataset], images: Sequence[Dataset], depth: int = 0) -> Iterator[list[str]]:
    """Yield a row for each element of these data sets, which are of one kind, and of the items below it."""
    for tag in sorted({element.tag for dataset in datasets for element in dataset}):
        found = [dataset[tag] for dataset in datasets if tag in dataset]
        yield [
            f"{'>' * depth} {dictionary_description(tag)}".strip(),
            str(tag),
            found[0].VR,
            _presence(found, len(datasets)),
            source := "" if depth else _source(datasets, images, tag),
            "" if source == "copied" else _value(found),
        ]
        if found[0].VR == "SQ" and found[0].keyword != "ContentSequence" and not _is_coded(found):
            yield from _rows([item for element in found for item in element.value], (), depth + 1)


def _presence(found: Sequence[DataElement], data_sets: int) -> str:
    """Return PS3.2's word: whether the attribute is always there, and whether it has a value."""
    if len(found) < data_sets:
        return "ANAP"
    empty = sum(element.is_empty for element in found)
    return "EMPTY" if empty == len(found) else "VNAP" if empty else "ALWAYS"


def _source(datasets: Sequence[Dataset], images: Sequence[Dataset], tag: int) -> str:
    """Return "copied" for what follows the image from example to example, else "generated"."""
    values = [str(dataset.get(tag)) for dataset in datasets]
    of_images = [str(image.get(tag)) for image in images]
    is_equal = all(_plain(value) == _plain(of) for value, of in zip(values, of_images, strict=True))
    return "copied" if is_equal and len(set(values)) > 1 else "generated"


def _plain(element: str) -> str:
    """Return the text of an element; absent and empty are the same."""
    return "" if element == "None" else element.split(": ", 1)[-1].strip("'")


def _value(found: Sequence[DataElement]) -> str:
    """Return the values of a code string, the names of SOP classes, or the codes of a sequence of codes."""
    values: set[str] = set()
    for element in found:
        if _is_coded([element]):
            values |= {
                f"({code.CodeValue}, {code.CodingSchemeDesignator}, {code.CodeMeaning})" for code in element.value
            }
        elif element.VR == "CS" and not element.is_empty:
            values.add(element.value if isinstance(element.value, str) else " \\ ".join(element.value))
        elif element.VR == "UI" and UID(str(element.value)).type == "SOP Class":
            values.add(UID(str(element.value)).name)
    return ", ".join(sorted(values)) if len(values) <= _MOST_VALUES else ""


def _is_coded(found: Sequence[DataElement]) -> bool:
    """Return whether the elements are sequences of codes alone."""
    is_sequence = found[0].VR == "SQ" and any(element.value for element in found)
    return is_sequence and all({each.keyword for each in item} == _CODE for element in found for item in element.value)
