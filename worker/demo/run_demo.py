"""Runs the demo: sends phantom scans or the user's own through PACS, node and worker, and prints the results."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from dicom_node.jobs import JobState
from dicom_node.journal.jobs import JobRecord
from models.registry import model_card
from worker.ct.reader import load
from worker.demo.examinations import Examination, own_examinations, phantom_examinations
from worker.demo.follow_up_ground_truth import compare_timelines
from worker.demo.ground_truth import compare, truth_table
from worker.demo.outcome import Outcome, outcome_of
from worker.demo.patient import TRUE_TIMELINES
from worker.demo.read_back import findings_in_seg
from worker.demo.stack import DemoFailed, DemoFolders, DemoStack, start_stack
from worker.demo.tables import FALSE_POSITIVE_NOTE, found_table, outcome_lines, outcome_table, true_timeline_table
from worker.findings import Findings
from worker.outputs.json.read import read_findings
from worker.outputs.page.pictures import draw


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoResult:
    """The results of one scan. pictures: number of pictures and report pages."""

    examination: Examination
    findings: Findings
    outcome: Outcome
    pictures: int


def run_demo(out: Console, folder: Path, ct: Sequence[Path]) -> bool:
    """Run the demo and return whether every lesion of the phantom was found, measured and followed up correctly.

    folder: replaced by the output. ct: folders of the user's CT series, in place of the phantom. Raises DemoFailed.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    folders = DemoFolders(out=folder.resolve())
    if ct:
        examinations = own_examinations(ct)
        if not examinations:
            raise DemoFailed("no CT series in the folders given")
    else:
        out.print("generating two scans of a phantom patient with known lesions ...")
        examinations = phantom_examinations(folders.phantom)
    all_right, pictures, true_uids = True, 0, set[str]()
    with start_stack(folders) as stack:
        for examination in examinations:
            result = _process(out, folders, stack, examination)
            if result is None:
                all_right = False
                continue
            all_right &= _print_result(out, result, true_uids)
            pictures += result.pictures
    _print_folders(out, folders, pictures)
    return all_right


def _process(out: Console, folders: DemoFolders, stack: DemoStack, examination: Examination) -> DemoResult | None:
    """Send a scan, wait for its job, and read the results back from the PACS; None if it was not analysed."""
    record = _send(out, stack, examination)
    stored = len(stack.pacs.stored())
    out.print(f"{examination.name}: job {record.job.job_key[:12]} is {record.state}; the PACS holds {stored} instances")
    if record.state is not JobState.COMMITTED:
        out.print(f"not analysed: {record.reason}")
        return None
    key, card = record.job.job_key, model_card(stack.settings.worker.model)
    findings = findings_in_seg(load(examination.files), stack.segmentation(examination.series_uid), card, key)
    folder = folders.pictures / examination.name
    pictures = draw(findings, folder)
    pages = [shutil.copy(page, folder) for page in sorted(stack.outbox(key).glob("report*"))]
    outcome = outcome_of(read_findings(stack.outbox(key) / "findings.json").comparison)
    return DemoResult(examination=examination, findings=findings, outcome=outcome, pictures=len(pictures) + len(pages))


def _send(out: Console, stack: DemoStack, examination: Examination) -> JobRecord:
    with Progress(console=out, transient=True) as progress:
        task = progress.add_task(f"sending {examination.name} to PACS and node", total=len(examination.files))
        for _ in stack.send(examination.files):
            progress.advance(task)
        progress.update(task, description=f"{examination.name}: analysing, delivering, committing", total=None)
        return stack.wait_for_job(examination.series_uid)


def _print_result(out: Console, result: DemoResult, true_uids: set[str]) -> bool:
    """Print the results of a scan, with the ground truth if it is known; return whether they agree.

    true_uids: tracking UIDs of the true positives on the previous scans; those of this scan are added.
    """
    findings, truth = result.findings, result.examination.truth
    if truth is None:
        out.print(found_table(result.examination.name, findings, ()))
        _print_outcome(out, result.outcome, ())
        return True
    comparisons = compare(findings, truth)
    true_uids |= {each.found.lesion.tracking_uid for each in comparisons if each.found}
    timelines = []
    if result.outcome.lesions:
        timelines = compare_timelines(result.outcome, findings, TRUE_TIMELINES)
    false_positives = {finding.lesion.tracking_uid for finding in findings.findings} - true_uids
    false_positives |= {lesion.tracking_uid for lesion in result.outcome.lesions} - true_uids
    out.print(found_table(result.examination.name, findings, false_positives))
    out.print(truth_table(comparisons, len(findings.findings)))
    _print_outcome(out, result.outcome, false_positives)
    if timelines:
        out.print(true_timeline_table(timelines))
    if false_positives:
        out.print(FALSE_POSITIVE_NOTE, highlight=False, soft_wrap=True)
    return all(each.is_within for each in comparisons) and all(each.is_right for each in timelines)


def _print_outcome(out: Console, outcome: Outcome, false_positives: Collection[str]) -> None:
    if outcome.lesions:
        out.print(outcome_table(outcome, false_positives))
    for line in outcome_lines(outcome):
        out.print(line, highlight=False, soft_wrap=True)


def _print_folders(out: Console, folders: DemoFolders, pictures: int) -> None:
    paths = {
        "DICOM (CT, SEG, SR)": folders.pacs,
        f"{pictures} pictures and pages": folders.pictures,
        "configuration to reuse": folders.config,
        "log of the service": folders.log,
    }
    for description, path in paths.items():
        out.print(f"{description:>24}: {path}", soft_wrap=True, highlight=False)
