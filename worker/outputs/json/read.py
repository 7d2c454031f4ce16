"""Reads a findings.json as the report of one scan and its priors."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from dicom_node.errors import NodeError
from worker.follow_up.comparison import ComparisonStatus, Origin
from worker.outputs.json.model import ComparisonForm, LesionForm, SizesForm, TimePointForm
from worker.outputs.json.values import Json
from worker.outputs.json.write import SCHEMA_VERSION
from worker.recist.timepoints import State

SIZES = ("volume_ml", "long_axis_mm", "short_axis_mm")


class NoTimeline(NodeError):  # noqa: N818 - named for the fact
    """There is no timeline: no such patient or file, no finished job, or an unusable label."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Report of one job; its own scan is the last of the time points."""

    job_key: str
    series_uid: str
    comparison: ComparisonForm

    @property
    def day(self) -> int:
        """Day of its scan, counted from its first time point."""
        return self.comparison["time_points"][-1]["day"]

    @property
    def is_compared(self) -> bool:
        """Whether the scan was compared with a prior."""
        return len(self.comparison["time_points"]) > 1


def read_report(path: Path) -> Report:
    """Return the report in a findings.json. Raises NoTimeline if it is missing or has another schema version."""
    try:
        content: Json = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NoTimeline("there is no findings.json") from None
    if content.get("schema_version") != SCHEMA_VERSION:
        raise NoTimeline(
            f"findings.json has schema_version {content.get('schema_version')}, {SCHEMA_VERSION} is needed"
        )
    comparison = cast("ComparisonForm | None", content["comparison"])
    if comparison is None or not comparison["time_points"]:
        comparison = _without_comparison(content, comparison)
    return Report(job_key=str(content["job_key"]), series_uid=str(content["series_uid"]), comparison=comparison)


def _without_comparison(content: Json, comparison: ComparisonForm | None) -> ComparisonForm:
    """A scan without a comparison is the only time point of its timeline."""
    lesions = cast("list[Json]", content["lesions"])
    sizes = [_sizes(lesion) for lesion in lesions]
    point = TimePointForm(
        day=0,
        study_uid=str(content["study_uid"]),
        series_uid=str(content["series_uid"]),
        slice_mm=cast("list[float]", content["spacing_mm"])[0],
        outlined_by=Origin.OURS.value,
        report_uid=None,
        burden_ml=round(sum(each["volume_ml"] for each in sizes), 4),
        is_burden_complete=True,
    )
    return ComparisonForm(
        statement=comparison["statement"] if comparison else ComparisonStatus.NOT_QUERIED.value,
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
