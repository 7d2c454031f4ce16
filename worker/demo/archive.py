"""The archive of the demo's PACS: DICOM files in a folder, and the matching of queries against their headers."""

from __future__ import annotations

import fnmatch
import threading
from collections.abc import Iterable
from pathlib import Path

from pydicom import DataElement, Dataset, dcmread

UNIQUE_KEYS = {"STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID", "IMAGE": "SOPInstanceUID"}
"""PS3.4 C.6.2.1: the unique key of each level of the study root model."""
NEVER_MATCHED = {"QueryRetrieveLevel", "SpecificCharacterSet", "TimezoneOffsetFromUTC", "RetrieveAETitle"}


class Archive:
    """The stored instances by SOP Instance UID; an instance received again replaces the first."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._headers = {file.stem: _header(file) for file in sorted(folder.glob("*.dcm"))}

    def add(self, sop_instance_uid: str, encoded_file: bytes) -> None:
        """Store one instance, byte for byte as received."""
        path = self.path(sop_instance_uid)
        partial = path.with_suffix(".partial")
        partial.write_bytes(encoded_file)
        partial.replace(path)
        header = _header(path)
        with self._lock:
            self._headers[sop_instance_uid] = header

    def path(self, sop_instance_uid: str) -> Path:
        """Return the path of an instance, stored or not."""
        return self._folder / f"{sop_instance_uid}.dcm"

    def headers(self) -> list[Dataset]:
        """Return the header of every instance, sorted by SOP Instance UID."""
        with self._lock:
            return [header for _, header in sorted(self._headers.items())]

    def find(self, query: Dataset) -> list[Dataset]:
        """Return the response to a C-FIND identifier: a data set per matching study, series or image (PS3.4 C.4.1)."""
        unique_key = UNIQUE_KEYS[query.QueryRetrieveLevel]
        found: dict[str, list[Dataset]] = {}
        for header in self._matching(query):
            found.setdefault(header[unique_key].value, []).append(header)
        return [_response(query, headers) for headers in found.values()]

    def select(self, query: Dataset) -> list[Path]:
        """Return the files that match a C-MOVE or C-GET identifier."""
        return [self.path(header.SOPInstanceUID) for header in self._matching(query)]

    def _matching(self, query: Dataset) -> list[Dataset]:
        headers = self.headers()
        modalities = _modalities_by_study(headers)
        for header in headers:
            header.ModalitiesInStudy = modalities[header.StudyInstanceUID]
        keys = [element for element in query if element.keyword not in NEVER_MATCHED]
        return [header for header in headers if all(_matches(key, header) for key in keys)]


def _header(file: Path) -> Dataset:
    return dcmread(file, stop_before_pixels=True)


def _modalities_by_study(headers: Iterable[Dataset]) -> dict[str, list[str]]:
    modalities: dict[str, set[str]] = {}
    for header in headers:
        modalities.setdefault(header.StudyInstanceUID, set()).add(header.get("Modality", "OT"))
    return {study: sorted(names) for study, names in modalities.items()}


def _matches(key: DataElement, header: Dataset) -> bool:
    """PS3.4 C.2.2.2: universal, list of UID, range of dates, wild card and single value matching."""
    if key.is_empty or key.VR == "SQ":
        return True
    if key.tag not in header:
        return False
    patterns = _texts(key)
    return any(_text_matches(pattern, value, key.VR) for pattern in patterns for value in _texts(header[key.tag]))


def _texts(element: DataElement) -> list[str]:
    values = element.value if element.VM > 1 else [element.value]
    return [str(value) for value in values]


def _text_matches(pattern: str, value: str, vr: str) -> bool:
    if vr in {"DA", "TM"} and "-" in pattern:
        first, last = pattern.split("-", 1)
        return first <= value and (not last or value <= last)
    if vr == "UI":
        return pattern == value
    return fnmatch.fnmatchcase(value.upper(), pattern.upper())


def _response(query: Dataset, headers: list[Dataset]) -> Dataset:
    response = Dataset()
    for key in query:
        response[key.tag] = headers[0].get(key.tag) or DataElement(key.tag, key.VR, None)
    response.QueryRetrieveLevel = query.QueryRetrieveLevel
    if "SpecificCharacterSet" in headers[0]:
        response.SpecificCharacterSet = headers[0].SpecificCharacterSet
    for keyword, counted in (
        ("NumberOfStudyRelatedSeries", "SeriesInstanceUID"),
        ("NumberOfStudyRelatedInstances", "SOPInstanceUID"),
        ("NumberOfSeriesRelatedInstances", "SOPInstanceUID"),
    ):
        if keyword in query:
            setattr(response, keyword, len({header[counted].value for header in headers}))
    return response
