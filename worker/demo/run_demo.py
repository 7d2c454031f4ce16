"""`lungspread demo`: a PACS of its own, a phantom's two scans or series of the user's, the round, what came of it."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from dicom_node.jobs import JobState
from dicom_node.journal.journal import JobRecord
from models.registry import model_card
from worker.ct.reader import load
from worker.demo.examinations import Examination, own_examinations, phantom_examinations
from worker.demo.follow_up_ground_truth import compare_timelines
from worker.demo.ground_truth import compare, truth_table
from worker.demo.outcome import Outcome, read_outcome
from worker.demo.patient import COURSES
from worker.demo.read_back import read_findings
from worker.demo.stack import DemoFailed, Places, Site, open_site
from worker.demo.tables import FALSE_MARK_MEANS, found_table, outcome_lines, outcome_table, true_timeline_table
from worker.findings import Findings
from worker.outputs.page.pictures import draw


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of one scan."""

    examination: Examination
    findings: Findings
    outcome: Outcome | None
    pictures: int


def run_demo(out: Console, folder: Path, ct: Sequence[Path]) -> bool:
    """Go the whole round; False when a lesion of the phantom was missed, mismeasured or mistaken. Raises DemoFailed."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    places = Places(out=folder.resolve())
    if ct:
        examinations = own_examinations(ct)
        if not examinations:
            raise DemoFailed("no CT series in the folders given")
    else:
        out.print("generating a chest at two dates, its lesions known on paper ...")
        examinations = phantom_examinations(places.phantom)
    is_true, pictures, true_uids = True, 0, set[str]()
    with open_site(places) as site:
        for examination in examinations:
            result = _examine(out, places, site, examination)
            if result is None:
                is_true = False
                continue
            is_true &= _tell(out, result, true_uids)
            pictures += result.pictures
    _say_where(out, places, pictures)
    return is_true


def _examine(out: Console, places: Places, site: Site, examination: Examination) -> Result | None:
    """Send a scan, wait for its end, and read the results back from the PACS; None when it was not analysed."""
    record = _send(out, site, examination)
    held = len(site.pacs.stored())
    out.print(f"{examination.name}: job {record.job.job_key[:12]} is {record.state}; the PACS holds {held} instances")
    if record.state is not JobState.COMMITTED:
        out.print(f"it was not analysed: {record.reason}")
        return None
    key, card = record.job.job_key, model_card(site.settings.worker.model)
    findings = read_findings(load(examination.files), site.segmentation(examination.series_uid), card, key)
    folder = places.pictures / examination.name
    pictures = draw(findings, folder)
    pages = [shutil.copy(page, folder) for page in sorted(site.outbox(key).glob("report*"))]
    outcome = read_outcome(site.outbox(key) / "findings.json")
    return Result(examination=examination, findings=findings, outcome=outcome, pictures=len(pictures) + len(pages))


def _send(out: Console, site: Site, examination: Examination) -> JobRecord:
    with Progress(console=out, transient=True) as progress:
        task = progress.add_task(f"sending {examination.name} to PACS and node", total=len(examination.files))
        for _ in site.receive(examination.files):
            progress.advance(task)
        progress.update(task, description=f"{examination.name}: analysing, delivering, committing", total=None)
        return site.wait_for_end(examination.series_uid)


def _tell(out: Console, result: Result, true_uids: set[str]) -> bool:
    """Print what came of a scan, beside the truth where it is known; False where they differ.

    true_uids: tracking UIDs of what was found at lesions of the phantom, on the scans before; this one's are added.
    """
    findings, truth = result.findings, result.examination.truth
    if truth is None:
        out.print(found_table(result.examination.name, findings, ()))
        _tell_outcome(out, result.outcome, ())
        return True
    comparisons = compare(findings, truth)
    true_uids |= {each.found.lesion.tracking_uid for each in comparisons if each.found}
    courses = compare_timelines(result.outcome, findings, COURSES) if result.outcome and result.outcome.lesions else []
    false_positives = {finding.lesion.tracking_uid for finding in findings.findings} - true_uids
    if result.outcome:
        false_positives |= {lesion.tracking_uid for lesion in result.outcome.lesions} - true_uids
    out.print(found_table(result.examination.name, findings, false_positives))
    out.print(truth_table(comparisons, len(findings.findings)))
    _tell_outcome(out, result.outcome, false_positives)
    if courses:
        out.print(true_timeline_table(courses))
    if false_positives:
        out.print(FALSE_MARK_MEANS, highlight=False, soft_wrap=True)
    return all(each.is_within for each in comparisons) and all(each.is_right for each in courses)


def _tell_outcome(out: Console, outcome: Outcome | None, false_positives: Collection[str]) -> None:
    if outcome is None:
        return
    if outcome.lesions:
        out.print(outcome_table(outcome, false_positives))
    for line in outcome_lines(outcome):
        out.print(line, highlight=False, soft_wrap=True)


def _say_where(out: Console, places: Places, pictures: int) -> None:
    lines = {
        "DICOM (CT, SEG, SR)": places.pacs,
        f"{pictures} pictures and pages": places.pictures,
        "configuration to reuse": places.config,
        "log of the service": places.log,
    }
    for what, where in lines.items():
        out.print(f"{what:>24}: {where}", soft_wrap=True, highlight=False)
