"""Selection of the SEG and SR documents of a prior scan: ours and those of others.

A reader's correction of our SEG or SR is a document of another manufacturer that refers to the same CT. Whether a
person made it is determined from its content (`content.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from dicom_node.dicom_file import DAMAGE, read_file
from dicom_node.errors import NodeError, UnreadableInstance
from dicom_node.identifiers import CT_IMAGES, REPORTS, RESULTS, SEGMENTATIONS, is_ours

REJECTION_NUMBER = 3
"""Last digit of the series number of a rejection report (worker/outputs/dicom/header.py)."""
UNDEFINED_LENGTH = 0xFFFFFFFF
_EVIDENCE = ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence")


class PriorUnreadable(NodeError):  # noqa: N818  (named for the condition, as SeriesRejected)
    """The files of a prior scan cannot be read: the current scan is reported without it."""

    def __init__(self, uid: str, fact: str, limit: str) -> None:
        super().__init__(f"{uid}: {fact}; {limit}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Documents:
    """The documents of one scan."""

    our_seg: Dataset | None
    our_sr: Dataset | None
    other_segs: tuple[Dataset, ...]
    """SEGs of readers or other programs, newest first."""
    other_srs: tuple[Dataset, ...]
    """SRs of readers or other programs, newest first."""

    @property
    def segs(self) -> tuple[Dataset, ...]:
        """All SEGs, ours first."""
        return (*((self.our_seg,) if self.our_seg is not None else ()), *self.other_segs)

    @property
    def all(self) -> tuple[Dataset, ...]:
        """All documents, our report first."""
        return (*((self.our_sr,) if self.our_sr is not None else ()), *self.segs, *self.other_srs)


def read_documents(paths: Sequence[Path]) -> list[Dataset]:
    """Return the SEG and SR among these files, each once. Raises PriorUnreadable if a file is damaged."""
    found: dict[str, Dataset] = {}
    for number, path in enumerate(paths, start=1):
        with readable(f"document {number} of {len(paths)}"):
            dataset = read_file(path)
            _check_complete(dataset)
            if dataset.SOPClassUID in RESULTS:
                found[str(dataset.SOPInstanceUID)] = dataset
    return list(found.values())


def _check_complete(dataset: Dataset) -> None:
    """Raise EOFError if an element is truncated: pydicom accepts it, and lesions would be missing."""
    for tag in dataset.keys():  # noqa: SIM118  (iterating a data set yields elements and parses them)
        raw = dataset.get_item(tag)
        if isinstance(raw, RawDataElement) and raw.length != UNDEFINED_LENGTH and raw.length > len(raw.value or b""):
            raise EOFError(f"{tag} is truncated")


@contextmanager
def readable(uid: str) -> Iterator[None]:
    """Convert errors of a damaged document to PriorUnreadable with its UID; the original text may contain patient data.

    Only the name of the error's class is kept.
    """
    try:
        yield
    except (UnreadableInstance, *DAMAGE, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # of the machine, not of a sequence without items
            raise
        raise PriorUnreadable(uid, type(error).__name__, "a complete DICOM document is required") from None


def choose_documents(documents: Sequence[Dataset], series_uid: str) -> Documents:
    """Return the documents that refer to this CT series: our newest report with its SEG, and those of others."""
    of_scan = sorted((each for each in documents if series_uid in ct_series_of(each)), key=_age)
    our_sr = next(iter(_newest_first(of_scan, REPORTS, ours=True)), None)
    of_analysis = of_scan if our_sr is None else _referred_to(our_sr, of_scan)
    return Documents(
        our_seg=next(iter(_newest_first(of_analysis, SEGMENTATIONS, ours=True)), None),
        our_sr=our_sr,
        other_segs=_newest_first(of_scan, SEGMENTATIONS, ours=False),
        other_srs=_newest_first(of_scan, REPORTS, ours=False),
    )


def is_rejection(document: Dataset) -> bool:
    """Return whether the document is our report that a scan was not analysed."""
    return is_ours(document) and int(document.get("SeriesNumber") or 0) % 10 == REJECTION_NUMBER


def ct_series_of(document: Dataset) -> list[str]:
    """Return the Series Instance UIDs of the CT series that a document refers to."""
    return [str(series.SeriesInstanceUID) for series in _referred_series(document) if _is_of_ct(series)]


def _is_of_ct(series: Dataset) -> bool:
    return any(instance.ReferencedSOPClassUID in CT_IMAGES for instance in _instances_of(series))


def _newest_first(oldest_first: Sequence[Dataset], kinds: Collection[str], *, ours: bool) -> tuple[Dataset, ...]:
    return tuple(each for each in reversed(oldest_first) if each.SOPClassUID in kinds and is_ours(each) is ours)


def _age(document: Dataset) -> tuple[str, str, bool, int, str]:
    """Return the sort key, oldest first.

    Our documents have the content time of their CT. With equal times, a rejection is older than a result, and a
    document with fewer instances is older than one made after late slices.
    """
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
    """Return the referenced instances; SR and SEG use different sequences (PS3.3 C.17.2.1, C.12.1.3)."""
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
    """Return the documents in the evidence of our SR: a SEG of another analysis has other lesions."""
    uids = {str(instance.ReferencedSOPInstanceUID) for instance in _instances(sr)}
    return [each for each in documents if each.SOPInstanceUID in uids]
