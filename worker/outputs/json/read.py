"""One findings.json as a part of a course: its scan among earlier ones, or alone. Computes nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from dicom_node.errors import NodeError
from worker.follow_up.comparison import Origin, Statement
from worker.outputs.json.model import ComparisonForm, LesionForm, SizesForm, TimePointForm
from worker.outputs.json.values import Json
from worker.outputs.json.write import SCHEMA_VERSION
from worker.recist.timepoints import State

SIZES = ("volume_ml", "long_axis_mm", "short_axis_mm")


class NoTimeline(NodeError):  # noqa: N818 - named for what is the matter
    """There is no course to be told: nobody is known by that key, or nothing of it is finished."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What one job said of its scan; the scan itself is the last of the time points."""

    job_key: str
    series_uid: str
    comparison: ComparisonForm

    @property
    def day(self) -> int:
        """The day of its scan, counted from the first of its own time points."""
        return self.comparison["time_points"][-1]["day"]

    @property
    def is_compared(self) -> bool:
        """Whether it knows of an earlier scan."""
        return len(self.comparison["time_points"]) > 1


def read_report(path: Path) -> Report:
    """Read a findings.json. Raises NoTimeline where there is none, or it is of another form."""
    try:
        found: Json = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NoTimeline("there is no findings.json") from None
    if found.get("schema_version") != SCHEMA_VERSION:
        raise NoTimeline(f"findings.json has schema_version {found.get('schema_version')}, {SCHEMA_VERSION} is needed")
    comparison = cast("ComparisonForm | None", found["comparison"])
    if comparison is None or not comparison["time_points"]:
        comparison = _alone(found, comparison)
    return Report(job_key=str(found["job_key"]), series_uid=str(found["series_uid"]), comparison=comparison)


def _alone(found: Json, comparison: ComparisonForm | None) -> ComparisonForm:
    """A scan that was compared with none is the first and last of its course."""
    lesions = cast("list[Json]", found["lesions"])
    sizes = [_sizes(lesion) for lesion in lesions]
    point = TimePointForm(
        day=0,
        study_uid=str(found["study_uid"]),
        series_uid=str(found["series_uid"]),
        slice_mm=cast("list[float]", found["spacing_mm"])[0],
        outlined_by=Origin.OURS.value,
        report_uid=None,
        burden_ml=round(sum(each["volume_ml"] for each in sizes), 4),
        is_burden_complete=True,
    )
    return ComparisonForm(
        statement=comparison["statement"] if comparison else Statement.NOT_QUERIED.value,
        reason=comparison["reason"] if comparison else None,
        registration=None,
        time_points=[point],
        lesions=[_lesion(lesion, size) for lesion, size in zip(lesions, sizes, strict=True)],
        recist=None,
    )


def _lesion(lesion: Json, sizes: SizesForm) -> LesionForm:
    return LesionForm(
        tracking_uid=str(lesion["tracking_uid"]),
        name=str(lesion["tracking_id"]),
        event=None,
        confidence=None,
        possible_match=None,
        merged_into=None,
        split_from=None,
        observations=[{"day": 0, "state": State.PRESENT.value, "sizes": sizes}],
        change=None,
    )


def _sizes(lesion: Json) -> SizesForm:
    keys = [key for size in SIZES for key in (size, f"{size}_95") if key in lesion]
    return cast("SizesForm", {key: lesion[key] for key in keys})
