"""Keeps the patient of each series that is received, so that no other patient's instances get into it.

A digest of all elements would not do: what one instance leaves out contradicts nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from pydicom import Dataset
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.tag import BaseTag, Tag

from dicom_node.dicom_file import read_file
from dicom_node.errors import OtherPatient, UnreadableInstance
from dicom_node.patient import NAMED_BY, NOBODY, Patient, patient_of
from dicom_node.storage.dataset_header import Header
from dicom_node.storage.spool import Spool

_MOST_SERIES = 1024
"""Of others the patient is read from a file when the next instance comes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """The patient of a series, and the encoded elements of the last instance that was compared."""

    elements: Sequence[bytes] = field(repr=False)
    patient: Patient


class SeriesPatients:
    """The patients of the series that were received last; thread-safe. They are in memory alone."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._seen: dict[str, _Seen] = {}
        self._lock = threading.Lock()

    def require_same(self, header: Header, *, replaces: bool) -> None:
        """Raise OtherPatient if an instance contradicts what was received of its series.

        replaces: whether its SOP Instance UID is stored: it then corrects, and says whose series it is from now on.
        """
        seen = self._seen.get(header.series_uid)
        if seen is not None and seen.elements == header.patient:
            return
        with self._lock:
            self._compare(header, replaces=replaces)

    def forget(self, series_uid: str) -> None:
        """Forget what an instance said that was not stored."""
        with self._lock:
            self._seen.pop(series_uid, None)

    def _compare(self, header: Header, *, replaces: bool) -> None:
        patient, seen = _decoded(header.patient), self._seen.pop(header.series_uid, None)
        known = seen.patient if seen is not None else self._stored(header.series_uid)
        contradicted = known.contradictions(patient)
        if contradicted and not replaces and self._spool.newest_instance(header.series_uid) is not None:
            if seen is not None:
                self._seen[header.series_uid] = seen
            raise OtherPatient(header.sop_instance_uid, header.series_uid, contradicted)
        while len(self._seen) >= _MOST_SERIES:
            self._seen.pop(next(iter(self._seen)))
        patient = patient if contradicted else known.completed_by(patient)
        self._seen[header.series_uid] = _Seen(elements=header.patient, patient=patient)

    def _stored(self, series_uid: str) -> Patient:
        """Return the patient in the newest file of a series; NOBODY if it has none that can be read."""
        path = self._spool.newest_instance(series_uid)
        try:
            return NOBODY if path is None else patient_of(read_file(path, header_only=True, keywords=NAMED_BY))
        except (UnreadableInstance, FileNotFoundError):
            return NOBODY


def _decoded(elements: Sequence[bytes]) -> Patient:
    raw: dict[BaseTag, DataElement | RawDataElement] = {}
    for keyword, value in zip(NAMED_BY, elements, strict=True):
        tag = Tag(keyword)
        raw[tag] = RawDataElement(tag, dictionary_VR(tag), len(value), value, 0, False, True)
    return patient_of(Dataset(raw))
