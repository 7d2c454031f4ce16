"""Finds the reports of a timeline: a patient's finished jobs in the outbox, or an output folder.

Patients are identified by patient key only; times are days since the first scan.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

from dicom_node.journal.journal import Journal
from dicom_node.prior import KnownScan
from dicom_node.storage.spool import Spool
from worker.outputs.json.read import UnreadableFindings, read_findings
from worker.settings import Settings
from worker.timeline.model import NoTimeline, OtherScanJson, TimelineJson
from worker.timeline.patient_timeline import build_timeline
from worker.timeline.scan_report import ScanReport, scan_report

RECEIVED = "RECEIVED"


def list_patients(settings: Settings) -> list[tuple[str, int, int]]:
    """Return the key, the number of scans and the number of analysed scans of each patient."""
    with _journal(settings) as journal:
        scans = {key: journal.priors.scans_of(key) for key in journal.priors.patients()}
    return [(key, len(found), sum(map(_is_finished, found))) for key, found in scans.items()]


def find_timeline(settings: Settings, patient: str) -> TimelineJson:
    """Return the timeline of a patient by key, or of an output folder by path. Raises NoTimeline if there is none."""
    folder = Path(patient)
    return timeline_in(folder) if folder.is_dir() else timeline_of_patient(settings, patient)


def timeline_of_patient(settings: Settings, key_prefix: str) -> TimelineJson:
    """Return the timeline of the patient whose key has this prefix. Raises NoTimeline unless exactly one matches."""
    with _journal(settings) as journal:
        keys = [key for key in journal.priors.patients() if key.startswith(key_prefix)]
        if len(keys) != 1:
            raise NoTimeline(f"{len(keys)} patient keys begin with {key_prefix}, one is needed")
        scans = journal.priors.scans_of(keys[0])
    reports = {scan.series_uid: report for scan in scans if (report := _report(settings, scan))}
    timeline = build_timeline(list(reports.values()), keys[0])
    return timeline.model_copy(update={"other_scans": _other_scans(timeline, scans, reports)})


def timeline_in(folder: Path) -> TimelineJson:
    """Return the timeline in an output folder of `lungspread run --prior`. Raises UnreadableFindings without one."""
    return build_timeline([scan_report(read_findings(folder / "findings.json"))])


def _journal(settings: Settings) -> Journal:
    return Journal(settings.journal.url_in(settings.node.data_dir))


def _is_finished(scan: KnownScan) -> bool:
    return scan.job is not None and scan.job.is_finished


def _report(settings: Settings, scan: KnownScan) -> ScanReport | None:
    """Return the report of the scan's job, or None if it has none in the current schema version."""
    if scan.job is None or not scan.job.is_finished:
        return None
    try:
        return scan_report(
            read_findings(Spool(settings.node.data_dir).document_path(scan.job.job_key, "findings.json"))
        )
    except UnreadableFindings:
        return None


def _other_scans(
    timeline: TimelineJson, scans: Sequence[KnownScan], reports: Mapping[str, ScanReport]
) -> tuple[OtherScanJson, ...]:
    days = {point.series_uid: point.day for point in timeline.time_points}
    start = next((_date(scan).toordinal() - days[scan.series_uid] for scan in scans if scan.series_uid in days), None)
    return tuple(
        _other_scan(scan, start, reports.get(scan.series_uid)) for scan in scans if scan.series_uid not in days
    )


def _other_scan(scan: KnownScan, start: int | None, report: ScanReport | None) -> OtherScanJson:
    """start: ordinal of the date of day 0."""
    return OtherScanJson(
        series_uid=scan.series_uid,
        day=None if start is None else _date(scan).toordinal() - start,
        state=scan.job.state.value if scan.job else RECEIVED,
        statement=report.comparison.statement if report else None,
        reason=report.comparison.reason if report else None,
    )


def _date(scan: KnownScan) -> date:
    return date(int(scan.day[:4]), int(scan.day[4:6]), int(scan.day[6:8]))
