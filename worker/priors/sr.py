"""Lesions in an SR by Tracking UID: all content of our SR, sizes of a reader's SR."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from worker.codes import follow_up as over_time
from worker.codes import lesions as codes
from worker.ct.frame_reference import frame_referred_to
from worker.priors.documents import PriorUnreadable
from worker.priors.grid import Grid
from worker.recist.timepoints import State

IMAGING_MEASUREMENTS = ("126010", "DCM")
MEASUREMENT_GROUP = ("125007", "DCM")
TRACKING_ID, TRACKING_UID = ("112039", "DCM"), ("112040", "DCM")
OBSERVER_TYPE = Code("121005", "DCM", "Observer Type")
FINDING = ("121071", "DCM")
# Codes of PS3.16, and SRT codes of OHIF and older writers; a single length is taken as the longest diameter.
LONG_AXIS = (("103339001", "SCT"), ("G-A185", "SRT"), ("410668003", "SCT"), ("G-D7FE", "SRT"))
SHORT_AXIS = (("103340004", "SCT"), ("G-A186", "SRT"))
VOLUME = (("118565006", "SCT"), ("G-D705", "SRT"))
MILLIMETRES = {"mm": 1.0, "cm": 10.0}
MILLILITRES = {"ml": 1.0, "mL": 1.0, "cm3": 1.0, "mm3": 0.001}

Name = tuple[str, str]
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Content of our SR for one lesion; absent numbers are None."""

    tracking_uid: str
    tracking_id: str
    state: State = State.PRESENT
    merged_into: str | None = None
    split_from: str | None = None
    volume_ml: float | None = None
    long_axis_mm: float | None = None
    short_axis_mm: float | None = None
    slices: int | None = None
    noise: float | None = None
    mass_g: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderSizes:
    """A reader's measurements of one lesion."""

    tracking_uid: str | None
    volume_ml: float | None
    long_axis_mm: float | None
    short_axis_mm: float | None
    centres_mm: tuple[Array, ...]
    """Centres of the drawn graphics, (x, y, z), LPS."""


def read_records(sr: Dataset) -> tuple[Record, ...]:
    """Return the lesions of our SR, including absent ones. Raises PriorUnreadable for a rejection report."""
    groups = list(_groups(sr))
    if any(_value(group, codes.SUMMARY_OF_ANALYSES) == codes.NOT_ATTEMPTED.value for group in groups):
        raise PriorUnreadable(str(sr.SOPInstanceUID), "the scan was not analysed", "its lesions are required")
    by_uid: dict[str, list[Dataset]] = {}
    for group in groups:
        if _first(group, FINDING) or _value(group, over_time.STATE):
            by_uid.setdefault(_uid(group, TRACKING_UID) or "", []).append(group)
    return tuple(_record(uid, of_lesion) for uid, of_lesion in by_uid.items())


def read_reader_sizes(sr: Dataset, grid: Grid | None) -> tuple[ReaderSizes, ...]:
    """Return a reader's measurements of length and volume; without a grid, 2D graphics have no centre.

    Returns nothing if the observer is a device; by PS3.16 TID 1001 the observer is a person if not stated otherwise.
    """
    if _value(sr, OBSERVER_TYPE) == codes.DEVICE.value:
        return ()
    sizes = (
        ReaderSizes(
            tracking_uid=_uid(group, TRACKING_UID),
            volume_ml=_measured(group, VOLUME, MILLILITRES),
            long_axis_mm=_measured(group, LONG_AXIS, MILLIMETRES),
            short_axis_mm=_measured(group, SHORT_AXIS, MILLIMETRES),
            centres_mm=tuple(_centres(group, grid)),
        )
        for group in _groups(sr)
    )
    return tuple(each for each in sizes if each.volume_ml or each.long_axis_mm or each.short_axis_mm)


def _record(uid: str, groups: Sequence[Dataset]) -> Record:
    """Return the record of a lesion from all its groups; the last group has the numbers.

    The group with the lines of the axes has a longer tracking identifier.
    """
    texts = [str(item.TextValue) for group in groups for item in _children(group, TRACKING_ID)]
    main_group = groups[-1]
    slices = _number(main_group, over_time.SLICES_SEEN)
    return Record(
        tracking_uid=uid,
        tracking_id=min(texts, key=len).rsplit(":", 1)[-1],
        state=_state(main_group),
        merged_into=_uid(main_group, _name(over_time.MERGED_INTO)),
        split_from=_uid(main_group, _name(over_time.SPLIT_FROM)),
        volume_ml=_number(main_group, codes.VOLUME),
        long_axis_mm=_number(main_group, codes.LONG_AXIS),
        short_axis_mm=_number(main_group, codes.SHORT_AXIS),
        slices=None if slices is None else round(slices),
        noise=_number(main_group, over_time.RELATIVE_NOISE),
        mass_g=_number(main_group, codes.MASS),
    )


def _state(group: Dataset) -> State:
    """Return the state of a lesion; PRESENT in a report without a comparison, which gives no state."""
    code_value = _value(group, over_time.STATE)
    return next((state for state, code in over_time.STATES.items() if code.value == code_value), State.PRESENT)


def _groups(sr: Dataset) -> Iterator[Dataset]:
    sr.ContentSequence  # noqa: B018  (raises AttributeError if absent: the report is damaged)
    for measurements in _children(sr, IMAGING_MEASUREMENTS):
        yield from _children(measurements, MEASUREMENT_GROUP)


def _name(code: Code) -> Name:
    return code.value, code.scheme_designator


def _children(item: Dataset, *names: Name) -> list[Dataset]:
    return [
        child
        for child in item.get("ContentSequence", ())
        for name in child.get("ConceptNameCodeSequence", ())
        if (str(name.get("CodeValue")), str(name.CodingSchemeDesignator)) in names
    ]


def _first(item: Dataset, *names: Name) -> Dataset | None:
    matches = _children(item, *names)
    return matches[0] if matches else None


def _uid(item: Dataset, name: Name) -> str | None:
    matches = _first(item, name)
    return None if matches is None else str(matches.UID)


def _value(item: Dataset, name: Code) -> str | None:
    matches = _first(item, _name(name))
    return None if matches is None else str(matches.ConceptCodeSequence[0].CodeValue)


def _number(item: Dataset, name: Code) -> float | None:
    matches = _first(item, _name(name))
    return None if matches is None else float(matches.MeasuredValueSequence[0].NumericValue)


def _measured(group: Dataset, names: Sequence[Name], units: dict[str, float]) -> float | None:
    """Return the first number with one of these names and units, converted to the unit with factor 1."""
    for item in _children(group, *names):
        for value in item.get("MeasuredValueSequence", ()):
            factor = units.get(str(value.MeasurementUnitsCodeSequence[0].CodeValue))
            if factor is not None:
                return float(value.NumericValue) * factor
    return None


def _centres(item: Dataset, grid: Grid | None) -> Iterator[Array]:
    for child in item.get("ContentSequence", ()):
        if child.ValueType == "SCOORD3D":  # millimetres already, PS3.3 C.18.9
            yield np.array(child.GraphicData, np.float64).reshape(-1, 3).mean(axis=0)
        elif child.ValueType == "SCOORD" and grid is not None:
            yield from _centre_in_image(child, grid)
        yield from _centres(child, grid)


def _centre_in_image(scoord: Dataset, grid: Grid) -> Iterator[Array]:
    column, row = np.array(scoord.GraphicData, np.float64).reshape(-1, 2).mean(axis=0)
    for image in scoord.get("ContentSequence", ()):
        for reference in image.get("ReferencedSOPSequence", ()):
            point = grid.to_mm(frame_referred_to(reference), column, row)
            if point is not None:
                yield point
