"""Lesions of a prior scan from its documents: our outlines and sizes, replaced by a reader's where present."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from models.segmenter import ModelCard
from models.volume import Mask, spacing_of
from worker.follow_up.comparison import Origin
from worker.lesions.uncertainty import TYPICAL_NOISE, Sizes
from worker.priors.ct import PriorCt, measured
from worker.priors.documents import Documents, PriorUnreadable, readable
from worker.priors.grid import Grid
from worker.priors.image_library import library_frame_of_reference, library_grid
from worker.priors.reader_corrections import identified, measured_by_reader, with_reader_sizes
from worker.priors.seg import Outline, algorithms_of, grid_of, read_outlines
from worker.priors.sr import ReaderSizes, Record, read_reader_sizes, read_records
from worker.recist.timepoints import State

OUTLINED = (State.PRESENT, State.DOUBTFUL)


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentedLesion:
    """One lesion as described by the documents."""

    record: Record
    outline: Mask | None
    sizes: Sizes | None
    mass_g: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorContent:
    """Content of the documents of a prior scan."""

    documents: Documents
    lesions: tuple[DocumentedLesion, ...]
    origin: Origin
    grid: Grid | None
    """Of the CT, else of a SEG, else of our report's image library; None if all are absent."""

    @property
    def slice_mm(self) -> float:
        """The slice spacing. Raises PriorUnreadable if the grid is unknown."""
        if self.grid is not None:
            return spacing_of(self.grid.affine)[0]
        uid = str(self.documents.all[0].SOPInstanceUID)
        raise PriorUnreadable(uid, "no document gives slice positions", "the slice spacing is required")

    @property
    def frame_of_reference_uid(self) -> str:
        """Frame of Reference UID of a SEG, else of our report; empty if both are absent."""
        for seg in self.documents.segs:
            return str(seg.FrameOfReferenceUID)
        return (library_frame_of_reference(self.documents.our_sr) if self.documents.our_sr else None) or ""


def read_content(documents: Documents, ct: PriorCt | None, card: ModelCard) -> PriorContent:
    """Return the lesions of the documents and their origin. Raises PriorUnreadable if a document is damaged."""
    grid = _grid(documents, ct)
    lesions = _our_lesions(documents, ct, grid)
    origin = Origin.OURS
    outlines = _readers_outlines(documents, ct, lesions, card)
    if outlines:
        lesions, origin = _with_reader_outlines(lesions, outlines, ct), Origin.READER
    reader_sizes = _readers_sizes(documents, grid, lesions)
    if reader_sizes:
        lesions, origin = _resized(lesions, reader_sizes), Origin.READER
    return PriorContent(documents=documents, lesions=tuple(lesions.values()), origin=origin, grid=grid)


def _our_lesions(documents: Documents, ct: PriorCt | None, grid: Grid | None) -> dict[str, DocumentedLesion]:
    outlines: dict[str, Outline] = {}
    if documents.our_seg is not None:
        with readable(str(documents.our_seg.SOPInstanceUID)):
            found = read_outlines(documents.our_seg, ct.grid if ct else None)
            outlines = {each.tracking_uid or "": each for each in found}
    records: dict[str, Record] = {}
    if documents.our_sr is not None:
        with readable(str(documents.our_sr.SOPInstanceUID)):
            records = {each.tracking_uid: each for each in read_records(documents.our_sr)}
    for uid, outline in outlines.items():
        records.setdefault(uid, Record(tracking_uid=uid, tracking_id=outline.tracking_id or ""))
    return {uid: _documented(record, outlines.get(uid), ct, grid) for uid, record in records.items()}


def _documented(record: Record, outline: Outline | None, ct: PriorCt | None, grid: Grid | None) -> DocumentedLesion:
    """Return the lesion with the report's sizes; it is measured again only if they are missing."""
    if record.state not in OUTLINED:
        return DocumentedLesion(record=record, outline=None, sizes=None, mass_g=None)
    mask = outline.mask if outline else None
    sizes = _sizes(record, mask, grid)
    if sizes is not None or mask is None:
        return DocumentedLesion(record=record, outline=mask, sizes=sizes, mass_g=record.mass_g)
    remeasured = measured(mask, ct)
    return DocumentedLesion(record=record, outline=mask, sizes=remeasured.sizes, mass_g=remeasured.mass_g)


def _sizes(record: Record, mask: Mask | None, grid: Grid | None) -> Sizes | None:
    slices = record.slices or (int(mask.voxels.any(axis=(1, 2)).sum()) if mask else None)
    if not (record.volume_ml and record.long_axis_mm and record.short_axis_mm) or grid is None or slices is None:
        return None
    return Sizes(
        volume_ml=record.volume_ml,
        long_axis_mm=record.long_axis_mm,
        short_axis_mm=record.short_axis_mm,
        slices=slices,
        spacing_mm=spacing_of(grid.affine),
        noise=record.noise or TYPICAL_NOISE,
    )


def _readers_outlines(
    documents: Documents, ct: PriorCt | None, lesions: Mapping[str, DocumentedLesion], card: ModelCard
) -> tuple[Outline, ...]:
    """Return the outlines of the newest SEG that contains a reader's outline."""
    ours = {
        uid: Outline(number=0, tracking_uid=uid, tracking_id=None, mask=lesion.outline)
        for uid, lesion in lesions.items()
        if lesion.outline is not None
    }
    names = {uid: lesion.record.tracking_id for uid, lesion in lesions.items()}
    for seg in documents.other_segs:
        uid = str(seg.SOPInstanceUID)
        with readable(uid):
            corrected = algorithms_of(documents.our_seg) or {card.name}
            outlines = read_outlines(seg, ct.grid if ct else None, corrected)
        if outlines:
            return identified(outlines, ours, names, uid, card)
    return ()


def _with_reader_outlines(
    lesions: Mapping[str, DocumentedLesion], outlines: tuple[Outline, ...], ct: PriorCt | None
) -> dict[str, DocumentedLesion]:
    """Return the lesions that a reader outlined and our absent lesions; other lesions of ours are removed."""
    found: dict[str, DocumentedLesion] = {}
    for outline in outlines:
        uid = outline.tracking_uid or ""
        before = lesions[uid].record if uid in lesions else Record(tracking_uid=uid, tracking_id="")
        record = replace(before, tracking_id=outline.tracking_id or "", state=State.PRESENT, merged_into=None)
        remeasured = measured(outline.mask, ct)
        found[uid] = DocumentedLesion(
            record=record, outline=outline.mask, sizes=remeasured.sizes, mass_g=remeasured.mass_g
        )
    absent = {
        uid: lesion for uid, lesion in lesions.items() if uid not in found and lesion.record.state not in OUTLINED
    }
    return found | absent


def _readers_sizes(
    documents: Documents, grid: Grid | None, lesions: Mapping[str, DocumentedLesion]
) -> dict[str, ReaderSizes]:
    """Return the sizes of the newest SR in which a reader measured one of these lesions, by tracking UID.

    Measurements of a lesion without sizes are ignored: an axis alone gives no volume.
    """
    sized = {uid: lesion for uid, lesion in lesions.items() if lesion.sizes is not None}
    outlines = {uid: lesion.outline for uid, lesion in sized.items() if lesion.outline is not None}
    for sr in documents.other_srs:
        with readable(str(sr.SOPInstanceUID)):
            reader_sizes = measured_by_reader(read_reader_sizes(sr, grid), outlines, sized)
        if reader_sizes:
            return reader_sizes
    return {}


def _resized(
    lesions: Mapping[str, DocumentedLesion], reader_sizes: Mapping[str, ReaderSizes]
) -> dict[str, DocumentedLesion]:
    return {
        uid: replace(lesion, sizes=with_reader_sizes(lesion.sizes, reader_sizes[uid]))
        if lesion.sizes and uid in reader_sizes
        else lesion
        for uid, lesion in lesions.items()
    }


def _grid(documents: Documents, ct: PriorCt | None) -> Grid | None:
    if ct is not None:
        return ct.grid
    for seg in documents.segs:
        with readable(str(seg.SOPInstanceUID)):
            return grid_of(seg)
    if documents.our_sr is None:
        return None
    with readable(str(documents.our_sr.SOPInstanceUID)):
        return library_grid(documents.our_sr)
