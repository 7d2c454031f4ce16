"""What the documents of an earlier scan tell of each lesion: our outlines and numbers, then a reader's instead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from models.segmenter import ModelCard
from models.volume import Mask, spacing_of
from worker.follow_up.comparison import Origin
from worker.lesions.uncertainty import TYPICAL_NOISE, Sizes
from worker.priors.ct import PriorCt, measured
from worker.priors.documents import Documents, PriorUnreadable, readable
from worker.priors.image_library import library_frame_of_reference, library_grid
from worker.priors.reader_corrections import identified, measured_by_reader, with_reader_sizes
from worker.priors.seg import Grid, Outline, algorithms_of, grid_of, read_outlines
from worker.priors.sr import ReaderSizes, Record, read_reader_sizes, read_records
from worker.recist.timepoints import State

OUTLINED = (State.PRESENT, State.DOUBTFUL)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldLesion:
    """One lesion as the documents tell of it."""

    record: Record
    outline: Mask | None
    sizes: Sizes | None
    mass_g: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorContent:
    """What the documents tell."""

    documents: Documents
    lesions: tuple[ToldLesion, ...]
    origin: Origin
    grid: Grid | None
    """Of the CT, else of a SEG, else of our report's image library; None where there is none of them."""

    @property
    def slice_mm(self) -> float:
        """The distance of the slices; raises PriorUnreadable where nothing tells it."""
        if self.grid is not None:
            return spacing_of(self.grid.affine)[0]
        uid = str(self.documents.all[0].SOPInstanceUID)
        raise PriorUnreadable(uid, "nothing says where its slices lie", "their distance has to be known")

    @property
    def frame_of_reference_uid(self) -> str:
        """That of a SEG, else of our report; empty where neither says it."""
        for seg in self.documents.segs:
            return str(seg.FrameOfReferenceUID)
        return (library_frame_of_reference(self.documents.our_sr) if self.documents.our_sr else None) or ""


def read_content(documents: Documents, ct: PriorCt | None, card: ModelCard) -> PriorContent:
    """Read what counts of the documents; raises PriorUnreadable where one is damaged."""
    grid = _grid(documents, ct)
    lesions = _ours(documents, ct, grid)
    origin = Origin.OURS
    outlines = _readers_outlines(documents, lesions, card)
    if outlines:
        lesions, origin = _corrected(lesions, outlines, ct), Origin.READER
    theirs = _readers_sizes(documents, grid, lesions)
    if theirs:
        lesions, origin = _resized(lesions, theirs), Origin.READER
    return PriorContent(documents=documents, lesions=tuple(lesions.values()), origin=origin, grid=grid)


def _ours(documents: Documents, ct: PriorCt | None, grid: Grid | None) -> dict[str, ToldLesion]:
    outlines: dict[str, Outline] = {}
    if documents.our_seg is not None:
        with readable(str(documents.our_seg.SOPInstanceUID)):
            outlines = {each.tracking_uid or "": each for each in read_outlines(documents.our_seg)}
    records: dict[str, Record] = {}
    if documents.our_sr is not None:
        with readable(str(documents.our_sr.SOPInstanceUID)):
            records = {each.tracking_uid: each for each in read_records(documents.our_sr)}
    for uid, outline in outlines.items():
        records.setdefault(uid, Record(tracking_uid=uid, tracking_id=outline.tracking_id or ""))
    return {uid: _told(record, outlines.get(uid), ct, grid) for uid, record in records.items()}


def _told(record: Record, outline: Outline | None, ct: PriorCt | None, grid: Grid | None) -> ToldLesion:
    """The report's numbers where it has them; nothing is measured again."""
    if record.state not in OUTLINED:
        return ToldLesion(record=record, outline=None, sizes=None, mass_g=None)
    mask = outline.mask if outline else None
    sizes = _sizes(record, mask, grid)
    if sizes is not None or mask is None:
        return ToldLesion(record=record, outline=mask, sizes=sizes, mass_g=record.mass_g)
    anew = measured(mask, ct)
    return ToldLesion(record=record, outline=mask, sizes=anew.sizes, mass_g=anew.mass_g)


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


def _readers_outlines(documents: Documents, lesions: Mapping[str, ToldLesion], card: ModelCard) -> tuple[Outline, ...]:
    """Return the outlines of the newest SEG in which a reader outlined anything."""
    ours = {
        uid: Outline(number=0, tracking_uid=uid, tracking_id=None, mask=told.outline)
        for uid, told in lesions.items()
        if told.outline is not None
    }
    names = {uid: told.record.tracking_id for uid, told in lesions.items()}
    for seg in documents.other_segs:
        uid = str(seg.SOPInstanceUID)
        with readable(uid):
            theirs = read_outlines(seg, corrected=algorithms_of(documents.our_seg) or {card.name})
        if theirs:
            return identified(theirs, ours, names, uid, card)
    return ()


def _corrected(
    lesions: Mapping[str, ToldLesion], outlines: tuple[Outline, ...], ct: PriorCt | None
) -> dict[str, ToldLesion]:
    """What a reader outlined is there; what a reader left out of ours is not; what was gone before still is."""
    found: dict[str, ToldLesion] = {}
    for outline in outlines:
        uid = outline.tracking_uid or ""
        before = lesions[uid].record if uid in lesions else Record(tracking_uid=uid, tracking_id="")
        record = replace(before, tracking_id=outline.tracking_id or "", state=State.PRESENT, merged_into=None)
        anew = measured(outline.mask, ct)
        found[uid] = ToldLesion(record=record, outline=outline.mask, sizes=anew.sizes, mass_g=anew.mass_g)
    gone = {uid: told for uid, told in lesions.items() if uid not in found and told.record.state not in OUTLINED}
    return found | gone


def _readers_sizes(
    documents: Documents, grid: Grid | None, lesions: Mapping[str, ToldLesion]
) -> dict[str, ReaderSizes]:
    """Return the sizes of the newest SR in which a reader measured one of these lesions.

    A measurement of a lesion without sizes changes nothing: an axis alone has no volume.
    """
    sized = {uid: told for uid, told in lesions.items() if told.sizes is not None}
    outlines = {uid: told.outline for uid, told in sized.items() if told.outline is not None}
    for sr in documents.other_srs:
        with readable(str(sr.SOPInstanceUID)):
            theirs = measured_by_reader(read_reader_sizes(sr, grid), outlines, sized)
        if theirs:
            return theirs
    return {}


def _resized(lesions: Mapping[str, ToldLesion], theirs: Mapping[str, ReaderSizes]) -> dict[str, ToldLesion]:
    return {
        uid: replace(told, sizes=with_reader_sizes(told.sizes, theirs[uid])) if told.sizes and uid in theirs else told
        for uid, told in lesions.items()
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
