"""The documents of an earlier scan: which are ours, which a reader's, and which scan they are of. Reads no content.

A reader's correction of our SEG or SR is a document of another maker that refers to the same CT; whether a person made
it, its content says (`content.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.uid import (
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    CTImageStorage,
    EnhancedSRStorage,
    SegmentationStorage,
)

from dicom_node.errors import NodeError
from worker.ct.pixels import DAMAGE
from worker.outputs.dicom.header import PRODUCT

LABEL_MAP_SEGMENTATION_STORAGE = "1.2.840.10008.5.1.4.1.1.66.7"
REJECTION_NUMBER = 3
"""The last digit of its series number (worker/outputs/dicom/header.py)."""
UNDEFINED_LENGTH = 0xFFFFFFFF
SEGMENTATIONS = (SegmentationStorage, LABEL_MAP_SEGMENTATION_STORAGE)
REPORTS = (EnhancedSRStorage, ComprehensiveSRStorage, Comprehensive3DSRStorage)
_EVIDENCE = ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence")


class PriorUnreadable(NodeError):  # noqa: N818  (named for what is the matter, as SeriesRejected is)
    """What is at hand of an earlier scan cannot be read: the current one is reported without it."""

    def __init__(self, uid: str, fact: str, limit: str) -> None:
        super().__init__(f"{uid}: {fact}; {limit}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Documents:
    """The documents that tell of one scan."""

    our_seg: Dataset | None
    our_sr: Dataset | None
    other_segs: tuple[Dataset, ...]
    """Of others, the newest first: readers, or programs."""
    other_srs: tuple[Dataset, ...]

    @property
    def segs(self) -> tuple[Dataset, ...]:
        """All SEGs, ours first."""
        return (*((self.our_seg,) if self.our_seg is not None else ()), *self.other_segs)

    @property
    def all(self) -> tuple[Dataset, ...]:
        """All that are there, our report first."""
        return (*((self.our_sr,) if self.our_sr is not None else ()), *self.segs, *self.other_srs)


def read_documents(paths: Sequence[Path]) -> list[Dataset]:
    """Return the SEG and SR among these files, each once; raises PriorUnreadable where one is damaged."""
    found: dict[str, Dataset] = {}
    for number, path in enumerate(paths, start=1):
        with readable(f"document {number} of {len(paths)}"):
            dataset = dcmread(path)
            _check_whole(dataset)
            if dataset.SOPClassUID in (*SEGMENTATIONS, *REPORTS):
                found[str(dataset.SOPInstanceUID)] = dataset
    return list(found.values())


def _check_whole(dataset: Dataset) -> None:
    """Raise EOFError where an element ends early: pydicom takes what there is, and lesions would be missing."""
    for tag in dataset.keys():  # noqa: SIM118  (a data set iterates over elements, and reads them)
        raw = dataset.get_item(tag)
        if isinstance(raw, RawDataElement) and raw.length != UNDEFINED_LENGTH and raw.length > len(raw.value or b""):
            raise EOFError(f"{tag} ends early")


@contextmanager
def readable(uid: str) -> Iterator[None]:
    """Turn damage of a document, known by its UID, into PriorUnreadable; the damage itself may quote a patient."""
    try:
        yield
    except DAMAGE as error:
        raise PriorUnreadable(uid, type(error).__name__, "it has to be a whole DICOM document") from None


def choose_documents(documents: Sequence[Dataset], series_uid: str) -> Documents:
    """Return the documents that refer to this CT: of ours the newest report, and the SEG that it refers to."""
    of_scan = sorted((each for each in documents if series_uid in ct_series_of(each)), key=_age)
    our_sr = next(iter(_newest_first(of_scan, REPORTS, ours=True)), None)
    of_job = of_scan if our_sr is None else _referred_to(our_sr, of_scan)
    return Documents(
        our_seg=next(iter(_newest_first(of_job, SEGMENTATIONS, ours=True)), None),
        our_sr=our_sr,
        other_segs=_newest_first(of_scan, SEGMENTATIONS, ours=False),
        other_srs=_newest_first(of_scan, REPORTS, ours=False),
    )


def is_ours(document: Dataset) -> bool:
    """Say whether we made it."""
    return bool(document.get("Manufacturer") == PRODUCT and document.get("ManufacturerModelName") == PRODUCT)


def is_rejection(document: Dataset) -> bool:
    """Say whether a report of ours says that the scan was not analysed."""
    return is_ours(document) and int(document.get("SeriesNumber") or 0) % 10 == REJECTION_NUMBER


def ct_series_of(document: Dataset) -> list[str]:
    """Return the UIDs of the CT series that a document refers to."""
    return [str(series.SeriesInstanceUID) for series in _referred_series(document) if _is_of_ct(series)]


def _is_of_ct(series: Dataset) -> bool:
    return any(instance.ReferencedSOPClassUID == CTImageStorage for instance in _instances_of(series))


def _newest_first(by_age: Sequence[Dataset], kinds: Sequence[str], *, ours: bool) -> tuple[Dataset, ...]:
    return tuple(each for each in reversed(by_age) if each.SOPClassUID in kinds and is_ours(each) is ours)


def _age(document: Dataset) -> tuple[str, str, bool, int, str]:
    """Ours bear the time of their CT: of those, a refusal was before a result, and the larger came of late slices."""
    return (
        str(document.get("ContentDate", "")),
        str(document.get("ContentTime", "")),
        not is_rejection(document),
        len(_instances(document)),
        str(document.SOPInstanceUID),
    )


def _instances(document: Dataset) -> list[Dataset]:
    return [instance for series in _referred_series(document) for instance in _instances_of(series)]


def _instances_of(series: Dataset) -> Sequence[Dataset]:
    """An SR calls the instances of a series otherwise than a SEG does (PS3.3 C.17.2.1, C.12.1.3)."""
    return series.get("ReferencedInstanceSequence") or series.get("ReferencedSOPSequence") or ()


def _referred_series(document: Dataset) -> list[Dataset]:
    return [
        *document.get("ReferencedSeriesSequence", ()),
        *(
            series
            for keyword in _EVIDENCE
            for study in document.get(keyword, ())
            for series in study.ReferencedSeriesSequence
        ),
    ]


def _referred_to(sr: Dataset, documents: Sequence[Dataset]) -> list[Dataset]:
    """Return the documents that stand in the evidence of our SR: a SEG of another analysis has other lesions."""
    uids = {str(instance.ReferencedSOPInstanceUID) for instance in _instances(sr)}
    return [each for each in documents if each.SOPInstanceUID in uids]
