"""QIDO-RS (PS3.18 10.6): studies, series and instances of our results."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydicom import Dataset
from pydicom.datadict import keyword_for_tag

from dicom_node.dicomweb.attributes import OF_INSTANCE, OF_SERIES, OF_STUDY, Level
from dicom_node.dicomweb.matching import matches
from dicom_node.dicomweb.query import InvalidQuery, Query
from dicom_node.dicomweb.results import Result
from dicom_node.dicomweb.urls import retrieve_url

_RETURNED = {
    Level.STUDIES: OF_STUDY,
    Level.SERIES: OF_STUDY + OF_SERIES,
    Level.INSTANCES: OF_STUDY + OF_SERIES + OF_INSTANCE,
}
_UIDS = {Level.STUDIES: "StudyInstanceUID", Level.SERIES: "SeriesInstanceUID", Level.INSTANCES: "SOPInstanceUID"}
_COUNTED = ("ModalitiesInStudy", "NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances")


def search(results: Iterable[Result], level: Level, query: Query, service: str) -> list[Dataset]:
    """Return the answers of a level that match, in the order of the results.

    service: its URL. Raises InvalidQuery if a key is not an attribute of this level.
    """
    _require_known(query, level)
    groups: dict[str, list[Dataset]] = {}
    for result in results:
        groups.setdefault(str(result.header.get(_UIDS[level], "")), []).append(result.header)
    answers = (_answer(headers, level, service) for headers in groups.values())
    return [answer for answer in answers if all(matches(answer, path, wanted) for path, wanted in query.keys)]


def _require_known(query: Query, level: Level) -> None:
    known = {*_RETURNED[level], *(_COUNTED if level is Level.STUDIES else ())}
    for path, _ in query.keys:
        if keyword_for_tag(path[0]) not in known:
            raise InvalidQuery(f"{path[0]} is no key at this level")


def _answer(headers: Sequence[Dataset], level: Level, service: str) -> Dataset:
    answer = Dataset()
    for keyword in _RETURNED[level]:
        if keyword in headers[0]:
            answer.add(headers[0][keyword])
    answer.SpecificCharacterSet = "ISO_IR 192"  # PS3.18 F.2: JSON is UTF-8
    answer.InstanceAvailability = "ONLINE"
    answer.RetrieveURL = retrieve_url(headers[0], service, level)
    if level is Level.STUDIES:
        answer.ModalitiesInStudy = sorted({str(header.get("Modality", "")) for header in headers})
        answer.NumberOfStudyRelatedSeries = len({header.get("SeriesInstanceUID") for header in headers})
        answer.NumberOfStudyRelatedInstances = len(headers)
    elif level is Level.SERIES:
        answer.NumberOfSeriesRelatedInstances = len(headers)
    return answer
