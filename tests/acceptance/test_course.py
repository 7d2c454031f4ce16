"""One patient's scans through a real PACS, in any order of arrival: the reports end as if they had come by date.

`pytest tests/acceptance/test_course.py --time-points 5` is the acceptance run; CI sends three.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pydicom
import pytest

from dicom_node.jobs import JobState
from dicom_node.journal.journal import JobRecord, Journal
from dicom_node.prior import PriorSearch
from dicom_node.queue.redis_server import redis_url, server_command, wait_until_ready
from dicom_node.storage.spool import Spool
from tests.fixtures.orthanc_stack import ROOT, STORESCU, Site, listens, needs_shared, wait_for
from tests.fixtures.worker.phantom_course import phantom_course
from worker.phantom.visit import write_visit
from worker.settings import load_settings

WORKER = Path(__file__).with_name("course_worker.py")
ORDER = (2, 0, 4, 1, 3)
"""In which the scans arrive: an older one after a later one, more than once."""
PATIENCE_S = 900

pytestmark = [needs_shared, pytest.mark.skipif(not STORESCU.is_file(), reason="dcmtk is not installed")]


class CourseSite(Site):
    """The service's parts, each a process of its own, with the stand-in for the network in the worker."""

    processes: list[subprocess.Popen[bytes]]

    def start_service(self) -> None:
        text = self.config.read_text().replace("commitment = true", "commitment = true\nask_for_priors = true")
        self.config.write_text(text.replace('device = "cpu"', 'device = "cpu"\noutputs = ["seg", "sr"]'))
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
        wait_for(lambda: listens(self.node_port), 60, "the node listens")

    def stop_service(self) -> None:
        for process in reversed(self.processes):
            process.send_signal(signal.SIGTERM)
            process.wait(60)

    def latest(self) -> dict[str, JobRecord]:
        """Return the job of each series that no other has replaced."""
        with self.journal() as journal:
            records = [record for record in journal.jobs() if record.state is not JobState.SUPERSEDED]
        return {record.job.series_uid: record for record in records}

    @contextmanager
    def journal(self) -> Iterator[Journal]:
        settings = load_settings(self.config)
        journal = Journal(settings.journal.url_in(settings.node.data_dir))
        yield journal
        journal.close()

    def priors(self) -> dict[str, tuple[PriorSearch, list[str]]]:
        """Return with which series each series is compared."""
        with self.journal() as journal:
            found = {uid: journal.priors_of(record.job.job_key) for uid, record in self.latest().items()}
        return {uid: (priors.search, [scan.series_uid for scan in priors.scans]) for uid, priors in found.items()}

    def reports(self) -> dict[str, bytes]:
        """Return what is finally said of each series: findings.json, which holds all numbers of the SR."""
        spool = Spool(load_settings(self.config).node.data_dir)
        latest = self.latest().items()
        return {uid: spool.document_path(record.job.job_key, "findings.json").read_bytes() for uid, record in latest}


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> list[tuple[str, Path]]:
    """The series UID and the folder of each scan, by date."""
    root = tmp_path_factory.mktemp("scans")
    count = int(request.config.getoption("--time-points"))
    found = []
    for number, point in enumerate(phantom_course()[:count]):
        paths = write_visit(root / str(number), point.visit)
        found.append((str(pydicom.dcmread(paths[0], stop_before_pixels=True).SeriesInstanceUID), root / str(number)))
    return found


def send_in_order(site: CourseSite, scans: list[tuple[str, Path]], order: list[int]) -> None:
    """Send scan after scan; after each, wait until all that are there are compared with just those before them."""
    for count in range(1, len(order) + 1):
        site.send(scans[order[count - 1]][1])
        here = sorted(order[:count])
        expected = {scans[n][0]: [scans[m][0] for m in here if m < n] for n in here}
        wait_for(lambda expected=expected: is_compared(site, expected), PATIENCE_S, f"{count} scans are compared")


def is_compared(site: CourseSite, expected: dict[str, list[str]]) -> bool:
    states = {record.state for record in site.latest().values()}
    priors = {uid: series for uid, (_, series) in site.priors().items()}
    return priors == expected and states == {JobState.COMMITTED}


def test_in_whatever_order_the_scans_come_the_reports_are_those_of_the_order_of_dates(
    tmp_path: Path, scans: list[tuple[str, Path]]
) -> None:
    order = [number for number in ORDER if number < len(scans)]
    with CourseSite(folder=tmp_path / "by-date") as site:
        send_in_order(site, scans, sorted(order))
        by_date = site.reports()
    with CourseSite(folder=tmp_path / "otherwise") as site:
        send_in_order(site, scans, order)
        otherwise, searches = site.reports(), {uid: search for uid, (search, _) in site.priors().items()}

    assert otherwise == by_date
    first, *others = (uid for uid, _ in scans)
    assert searches[first] is PriorSearch.NONE_EXISTS
    assert {searches[uid] for uid in others} == {PriorSearch.FOUND}
