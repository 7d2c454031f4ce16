"""What must hold after a history, read from the journal's file and from the PACS, without the product's code."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pydicom import Dataset

from tests.faults.plan import DAMAGE, REFUSALS, Plan
from tests.faults.sender import Sender
from tests.faults.site import Site
from tests.fixtures.small_site import TUMOUR_ML, VOXEL_MM

FINAL = frozenset({"COMMITTED", "REJECTED", "FAILED", "SET_ASIDE"})
_TUMOUR_VOXELS = round(TUMOUR_ML * 1000 / float(np.prod(VOXEL_MM)))
_SEG = "1.2.840.10008.5.1.4.1.1.66.4"
_TIMES = frozenset({"DA", "TM", "DT"})


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRow:
    """A job, as its row says."""

    state: str
    reason: str | None
    instances: frozenset[str]
    documents: frozenset[str]


@dataclass(slots=True, kw_only=True)
class Verdict:
    """Numbers of what went wrong, and one line for each."""

    lost: int = 0
    """Instances acknowledged and no longer on the disk as they were sent; results COMMITTED and not in the PACS."""
    doubled: int = 0
    """Documents that the PACS has beside the job's own, or with two contents."""
    wrong: int = 0
    """Jobs that ended in another state than the faults allow, or with another result than the true one."""
    stuck: int = 0
    """Series with an acknowledged instance that no job has that ended, or that could not be sent."""
    notes: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        return not (self.lost or self.doubled or self.wrong or self.stuck)


def jobs_of(journal: Path, series_uid: str) -> list[JobRow]:
    """Return the jobs of a series that no other has replaced; none while the database cannot be read."""
    try:
        with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True, timeout=5)) as database:
            rows = database.execute(
                "SELECT job_key, state, reason, sop_instance_uids FROM jobs WHERE series_uid = ?", [series_uid]
            ).fetchall()
            documents = "SELECT sop_instance_uid FROM documents WHERE job_key = ?"
            jobs = [
                JobRow(
                    state=state,
                    reason=reason,
                    instances=_uids(uids),
                    documents=frozenset(uid for (uid,) in database.execute(documents, [key])),
                )
                for key, state, reason, uids in rows
            ]
            return jobs or _set_aside(database, series_uid)
    except sqlite3.Error:
        return []


def _uids(text: str) -> frozenset[str]:
    try:
        return frozenset(json.loads(text))
    except ValueError:
        return frozenset()


def _set_aside(database: sqlite3.Connection, series_uid: str) -> list[JobRow]:
    """Return a series that the selection has left without a job, with its reasons, as one job."""
    select = (
        "SELECT reasons FROM selections JOIN series USING (series_uid) "
        "WHERE series_uid = ? AND NOT is_chosen AND NOT dirty"
    )
    row = database.execute(select, [series_uid]).fetchone()
    stored = database.execute("SELECT sop_instance_uid FROM instances WHERE series_uid = ?", [series_uid])
    if row is None:
        return []
    uids = frozenset(uid for (uid,) in stored)
    return [JobRow(state="SET_ASIDE", reason=row[0], instances=uids, documents=frozenset())]


def is_settled(journal: Path, sender: Sender) -> bool:
    """Whether a job with all acknowledged instances has ended, and no other one of the series is open."""
    current = _current(journal, sender)
    return len(current) == 1 and current[0].state in FINAL and sender.acknowledged <= current[0].instances


def _current(journal: Path, sender: Sender) -> list[JobRow]:
    return [job for job in jobs_of(journal, sender.plan.series_uid) if job.state != "SUPERSEDED"]


def judge(site: Site, plan: Plan, sender: Sender, damaged: frozenset[str], verdict: Verdict) -> None:
    """Add what went wrong with one series. damaged: series of which a file is damaged, since before the job."""
    uid = sender.plan.series_uid
    current = _current(site.journal, sender)
    if not is_settled(site.journal, sender):
        verdict.stuck += 1
        states = [f"{job.state} with {len(job.instances)} ({job.reason})" for job in current]
        verdict.notes.append(f"series {uid}: {len(sender.acknowledged)} acknowledged, jobs {states or 'none'}")
    _judge_files(site, plan, sender, verdict)
    for job in current:
        if job.state in FINAL and not _is_allowed(job, plan, uid in damaged):
            verdict.wrong += 1
            verdict.notes.append(f"series {uid}: {job.state} ({job.reason})")
    _judge_documents(site, sender, current, verdict)


def _judge_files(site: Site, plan: Plan, sender: Sender, verdict: Verdict) -> None:
    for image in sender.images:
        uid = str(image.SOPInstanceUID)
        if uid not in sender.acknowledged:
            continue
        file = site.inbox / sender.plan.series_uid / f"{uid}.dcm"
        is_there = file.is_file() and (plan.kinds & DAMAGE or file.read_bytes().endswith(image.PixelData))
        if not is_there:
            verdict.lost += 1
            verdict.notes.append(f"instance {uid}: acknowledged, not on the disk as it was sent")


def _is_allowed(job: JobRow, plan: Plan, is_damaged: bool) -> bool:
    reason = job.reason or ""
    if job.state == "COMMITTED":
        return not is_damaged
    if plan.kinds & REFUSALS and reason.startswith("pacs: "):
        return True
    return bool(plan.kinds & DAMAGE) and bool(reason)


def _judge_documents(site: Site, sender: Sender, current: list[JobRow], verdict: Verdict) -> None:
    stored = site.pacs.documents_of(sender.plan.series_uid)
    known = frozenset().union(*(job.documents for job in jobs_of(site.journal, sender.plan.series_uid)))
    for uid, documents in stored.items():
        contents = {_content(document) for document in documents}
        if uid not in known or len(contents) > 1:
            verdict.doubled += 1
            why = f"{len(contents)} contents" if uid in known else "no job's"
            verdict.notes.append(f"document {uid}: stored {len(documents)} times, {why}")
    for job in (job for job in current if job.state == "COMMITTED"):
        if missing := job.documents - stored.keys():
            verdict.lost += len(missing)
            verdict.notes.append(
                f"series {sender.plan.series_uid}: COMMITTED, {len(missing)} documents not in the PACS"
            )
        classes = [stored[uid][0].SOPClassUID for uid in job.documents & stored.keys()]
        verdict.doubled += len(classes) - len(set(classes))
        voxels = [
            _voxels(stored[uid][0]) for uid in job.documents & stored.keys() if stored[uid][0].SOPClassUID == _SEG
        ]
        if voxels != [_TUMOUR_VOXELS] and sender.is_done:
            verdict.wrong += 1
            verdict.notes.append(
                f"series {sender.plan.series_uid}: voxels of the tumour {voxels}, not {_TUMOUR_VOXELS}"
            )


def _voxels(segmentation: Dataset) -> int:
    """Return the number of voxels that are set, of one bit each (PS3.5 8.1.1); the padding has none."""
    return int(np.unpackbits(np.frombuffer(segmentation.PixelData, np.uint8)).sum())


def _content(document: Dataset) -> str:
    """Return what a document says, without when it was written."""

    def remove_times(dataset: Dataset, element: object) -> None:
        if element.VR in _TIMES:  # type: ignore[attr-defined]
            del dataset[element.tag]  # type: ignore[attr-defined]

    document.walk(remove_times)
    return str(document)
