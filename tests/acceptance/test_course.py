"""One patient's scans through a real PACS in any order of arrival: the final reports are those of the order by date.

`pytest tests/acceptance/test_course.py --time-points 5` is the acceptance run; CI sends three.
"""

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pydicom
import pytest

from dicom_node.jobs import JobState
from dicom_node.journal.jobs import JobRecord
from dicom_node.journal.journal import Journal
from dicom_node.prior import PriorSearch
from dicom_node.queue.redis_server import redis_url, server_command, wait_until_ready
from dicom_node.storage.spool import Spool
from tests.fixtures.orthanc_stack import ROOT, STORESCU, OrthancStack, needs_shared
from tests.fixtures.ports import is_listening
from tests.fixtures.waiting import wait_until
from worker.settings import load_settings

WORKER = Path(__file__).with_name("course_worker.py")
ORDER = (2, 0, 4, 1, 3)
"""Order of arrival: an older scan arrives after a later one more than once."""
TIMEOUT_S = 900

pytestmark = [needs_shared, pytest.mark.skipif(not STORESCU.is_file(), reason="dcmtk is not installed")]


class TimelineStack(OrthancStack):
    """The parts of the service in separate processes, with a fake network in the worker."""

    processes: list[subprocess.Popen[bytes]]

    def start_service(self) -> None:
        text = self.config.read_text().replace("commitment = true", "commitment = true\nquery_priors = true")
        self.config.write_text(text.replace("quiet_period_s = 6", "quiet_period_s = 2"))
        settings = load_settings(self.config)
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        lungspread = [sys.executable, "-m", "worker.cli"]
        settings.node.data_dir.mkdir(parents=True)
        with (self.folder / "service.log").open("ab") as log:
            self.processes = [subprocess.Popen(server_command(settings.node.data_dir), stdout=log, stderr=log)]
            assert wait_until_ready(redis_url(settings.queue, settings.node.data_dir), 10)
            for command in ([*lungspread, "node", "--config"], [sys.executable, str(WORKER)]):
                arguments = [*command, str(self.config)]
                self.processes.append(subprocess.Popen(arguments, cwd=ROOT, env=environment, stdout=log, stderr=log))
        wait_until(lambda: is_listening(self.node_port), 60, "the node listens")

    def stop_service(self) -> None:
        for process in reversed(self.processes):
            process.send_signal(signal.SIGTERM)
            process.wait(60)

    def latest(self) -> dict[str, JobRecord]:
        """Return the job of each series that is not superseded."""
        with self.journal() as journal:
            records = [record for record in journal.jobs.find() if record.state is not JobState.SUPERSEDED]
        return {record.job.series_uid: record for record in records}

    def journal(self) -> Journal:
        settings = load_settings(self.config)
        return Journal(settings.journal.url_in(settings.node.data_dir))

    def priors(self) -> dict[str, tuple[PriorSearch, list[str]]]:
        """Return, for each series, the outcome of its prior search and the series it is compared with."""
        with self.journal() as journal:
            found = {uid: journal.priors.of_job(record.job.job_key) for uid, record in self.latest().items()}
        return {uid: (priors.search, [scan.series_uid for scan in priors.scans]) for uid, priors in found.items()}

    def reports(self) -> dict[str, bytes]:
        """Return the final findings.json of each series, which holds all numbers of the SR."""
        spool = Spool(load_settings(self.config).node.data_dir)
        latest = self.latest().items()
        return {uid: spool.document_path(record.job.job_key, "findings.json").read_bytes() for uid, record in latest}


@pytest.fixture(scope="module")
def scans(course_files: list[list[Path]], request: pytest.FixtureRequest) -> list[tuple[str, Path]]:
    """Series UID and folder of each scan, by date."""
    count = int(request.config.getoption("--time-points"))
    return [
        (str(pydicom.dcmread(files[0], stop_before_pixels=True).SeriesInstanceUID), files[0].parent)
        for files in course_files[:count]
    ]


def send_in_order(stack: TimelineStack, scans: list[tuple[str, Path]], order: list[int]) -> None:
    """Send the scans one by one; after each, wait until every sent scan is compared with exactly those before it."""
    for count in range(1, len(order) + 1):
        stack.send(scans[order[count - 1]][1])
        sent = sorted(order[:count])
        expected = {scans[n][0]: [scans[m][0] for m in sent if m < n] for n in sent}
        wait_until(partial(is_compared, stack, expected), TIMEOUT_S, f"{count} scans are compared", 0.3)


def is_compared(stack: TimelineStack, expected: dict[str, list[str]]) -> bool:
    states = {record.state for record in stack.latest().values()}
    priors = {uid: series for uid, (_, series) in stack.priors().items()}
    return priors == expected and states == {JobState.COMMITTED}


def test_the_final_reports_do_not_depend_on_the_order_of_arrival(tmp_path: Path, scans: list[tuple[str, Path]]) -> None:
    order = [number for number in ORDER if number < len(scans)]
    with TimelineStack(folder=tmp_path / "by-date") as stack:
        send_in_order(stack, scans, sorted(order))
        by_date = stack.reports()
    with TimelineStack(folder=tmp_path / "other-order") as stack:
        send_in_order(stack, scans, order)
        other_order, searches = stack.reports(), {uid: search for uid, (search, _) in stack.priors().items()}

    assert other_order == by_date
    first, *others = (uid for uid, _ in scans)
    assert searches[first] is PriorSearch.NONE_EXISTS
    assert {searches[uid] for uid in others} == {PriorSearch.FOUND}
