"""Tests of the complete node with priors: threads, SCP, a PACS, and a simulated worker that writes SEG and SR."""

from __future__ import annotations

import json
import random
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from dicom_node.identifiers import PRODUCT
from dicom_node.jobs import JobState
from dicom_node.journal.jobs import JobRecord
from dicom_node.journal.journal import Journal
from dicom_node.network.scu import PacsClient
from dicom_node.node import Node
from dicom_node.parts import NodeConfiguration
from dicom_node.prior import PriorSearch
from dicom_node.selection.rules import SelectionSettings
from dicom_node.series import Document
from dicom_node.settings import JournalSettings, NodeSettings, Peer, QueueSettings
from dicom_node.storage.spool import Spool
from tests.fixtures.dicom_node.small_network import SEG, SR, Scan, expected_keys
from tests.fixtures.waiting import wait_until
from worker.demo.pacs import SmallPacs

FIVE = [Scan(date=date) for date in ("20250110", "20250412", "20250901", "20260115", "20260703")]
FINISHED = (JobState.COMMITTED, JobState.ANALYSED, JobState.SUPERSEDED, JobState.DELIVERED)


class PriorsSite:
    """The configuration of a node, its journal, and a simulated worker."""

    def __init__(self, folder: Path, node_port: int, peer: Peer, **settings: object) -> None:
        self.folder, self.peer = folder, peer
        base = NodeSettings(
            ae_title="LUNGNODE",
            port=node_port,
            data_dir=folder,
            min_free_mb=0,
            quiet_period_s=1.0,
            retry_backoff_s=0.5,
            retry_backoff_max_s=1.0,
            commitment_wait_s=3.0,
            connect_timeout_s=5.0,
            priors_time_limit_s=60.0,
        )
        self.node = base.model_copy(update=settings)
        queue = QueueSettings(url=f"redis+socket://{folder}/redis/redis.sock")
        self.configuration = NodeConfiguration(
            node=self.node,
            peers=[peer],
            queue=queue,
            journal=JournalSettings(),
            selection=SelectionSettings(),
            config_hash="config",
        )
        self.spool = Spool(folder)
        self._stop = threading.Event()

    @contextmanager
    def open(self) -> Iterator[Node]:
        """Run the node and a worker."""
        worker = threading.Thread(target=self._work, daemon=True)
        url = JournalSettings().url_in(self.folder)
        with Journal(url) as self.journal, Node(self.configuration, self.journal) as node:
            worker.start()
            yield node
            self._stop.set()
            worker.join()

    def _work(self) -> None:
        while not self._stop.wait(0.1):
            for record in self.journal.jobs.find([JobState.QUEUED])[:1]:
                self._analyse(record)

    def _analyse(self, record: JobRecord) -> None:
        key, now = record.job.job_key, time.time()
        if not self.journal.leases.claim(key, "worker", now + 60, now):
            return
        date, birth_date, study, number = record.job.series_uid.split(".")[2:]
        scan = Scan(date=date, birth_date=birth_date, study=int(study), number=int(number))
        seg, sr = (f"2.25.{int(key[:20], 16)}{role}" for role in (1, 2))
        files = {
            "seg.dcm": scan.result(SEG, seg, PRODUCT),
            "sr.dcm": scan.result(SR, sr, PRODUCT, [(SEG, seg)]),
        }
        with self.spool.new_outbox(key) as folder:
            for name, result in files.items():
                result.save_as(folder / name, enforce_file_format=True)
            self.spool.publish(folder, key)
        documents = [
            Document(sop_class_uid=str(r.SOPClassUID), sop_instance_uid=str(r.SOPInstanceUID), file_name=name)
            for name, r in files.items()
        ]
        self.journal.leases.mark_analysed(key, "worker", documents, time.time())

    def job(self, scan: Scan) -> JobRecord | None:
        records = [record for record in self.journal.jobs.find() if record.job.series_uid == scan.series_uid]
        return next((record for record in records if record.state is not JobState.SUPERSEDED), None)

    def keys(self, scans: Sequence[Scan]) -> dict[str, str]:
        jobs = {scan.series_uid: self.job(scan) for scan in scans}
        return {series_uid: job.job.job_key for series_uid, job in jobs.items() if job is not None}

    def is_idle(self) -> bool:
        return not self.journal.series.quiet(time.time() + 99) and all(
            r.state in FINISHED for r in self.journal.jobs.find()
        )


def files_of(scan: Scan, folder: Path) -> list[Path]:
    folder = folder / scan.series_uid
    folder.mkdir(parents=True)
    for number, image in enumerate(scan.images()):
        image.save_as(folder / f"{number:03d}.dcm", enforce_file_format=True)
    return sorted(folder.iterdir())


def send(files: list[Path], to: Peer, by: str) -> None:
    outcomes = PacsClient(to, NodeSettings(ae_title=by)).store(files)
    assert [outcome.error for outcome in outcomes] == [None] * len(files)


@pytest.fixture
def pacs(tmp_path: Path, free_port: int) -> Iterator[SmallPacs]:
    pacs = SmallPacs(folder=tmp_path / "pacs", peers={"LUNGNODE": ("127.0.0.1", free_port)})
    with pacs:
        yield pacs


@pytest.fixture
def site(tmp_path: Path, pacs: SmallPacs, free_port: int) -> PriorsSite:
    rights = {"may_send": True, "send_results": True, "query_priors": True, "storage_commitment": True}
    peer = Peer(name="pacs", ae_title=pacs.ae_title, host=pacs.host, port=pacs.port, **rights)  # type: ignore[arg-type]
    return PriorsSite(tmp_path / "node", free_port, peer)


def test_prior_scans_in_the_pacs_are_fetched_analysed_and_not_delivered(
    site: PriorsSite, pacs: SmallPacs, tmp_path: Path
) -> None:
    for scan in FIVE[:2]:
        send(files_of(scan, tmp_path / "ct"), site.peer, by="SCANNER")
    with site.open() as node:
        node_peer = Peer(name="node", ae_title="LUNGNODE", host="127.0.0.1", port=node.port)
        send(files_of(FIVE[2], tmp_path / "ct"), node_peer, by=pacs.ae_title)
        wait_until(lambda: len(site.journal.jobs.find([JobState.COMMITTED])) == 1, 60)

        assert site.keys(FIVE[:3]) == expected_keys(FIVE[:3])
        assert [record.state for record in site.journal.jobs.find()].count(JobState.ANALYSED) == 2
    assert len(pacs.stored(SEG)) == 1


def test_a_pacs_that_fails_delays_the_report_by_the_limit_at_most(
    site: PriorsSite, pacs: SmallPacs, tmp_path: Path
) -> None:
    with site.open() as node:
        node_peer = Peer(name="node", ae_title="LUNGNODE", host="127.0.0.1", port=node.port)
        pacs.stop()
        send(files_of(FIVE[0], tmp_path / "ct"), node_peer, by=pacs.ae_title)
        wait_until(lambda: site.job(FIVE[0]) is not None, 20)
        given = site.journal.priors.of_job(site.keys(FIVE[:1])[FIVE[0].series_uid])
        pacs.start()

    assert given.search is PriorSearch.NOT_FETCHED


# -- Orthanc --


def orthanc_peer(dicom: int, http: int, retrieve: str = "move") -> Peer:
    return Peer.model_validate(
        {
            "name": "orthanc",
            "ae_title": "ORTHANC",
            "host": "127.0.0.1",
            "port": dicom,
            "may_send": True,
            "send_results": True,
            "query_priors": True,
            "storage_commitment": True,
            "retrieve": retrieve,
            "dicomweb_url": f"http://127.0.0.1:{http}/dicom-web",
        }
    )


def test_five_scans_in_orthanc_in_any_order_have_the_jobs_of_the_date_order(
    orthanc: tuple[int, int, int], tmp_path: Path
) -> None:
    dicom, http, node_port = orthanc
    site = PriorsSite(tmp_path / "node", node_port, orthanc_peer(dicom, http), quiet_period_s=5.0)
    order = random.Random(7).sample(FIVE, 5)
    with site.open():
        for scan in order:
            send(files_of(scan, tmp_path / "ct"), site.peer, by="TESTSCU")
        wait_until(lambda: site.keys(FIVE) == expected_keys(FIVE) and site.is_idle(), 240)
        wait_until(lambda: len(site.journal.jobs.find([JobState.COMMITTED])) == 5, 60)

        assert stored_at(http, "SEG") >= 5
        last = site.journal.priors.of_job(expected_keys(FIVE)[FIVE[4].series_uid])
        assert (last.search, [prior.job_key for prior in last.scans]) == (
            PriorSearch.FOUND,
            [expected_keys(FIVE)[scan.series_uid] for scan in FIVE[:4]],
        )


@pytest.mark.parametrize("retrieve", ["move", "get", "wado"])
def test_priors_in_orthanc_are_fetched_by_each_retrieval_method(
    orthanc: tuple[int, int, int], tmp_path: Path, retrieve: str
) -> None:
    dicom, http, node_port = orthanc
    peer = orthanc_peer(dicom, http, retrieve)
    send(files_of(FIVE[0], tmp_path / "ct"), peer, by="TESTSCU")
    time.sleep(5)  # Orthanc forwards it meanwhile, to a node that does not run yet
    other_patient = Scan(date="20250115", birth_date="19770707")
    send(files_of(other_patient, tmp_path / "ct"), peer, by="TESTSCU")
    time.sleep(5)
    site = PriorsSite(tmp_path / "node", node_port, peer)
    with site.open() as node:
        node_peer = Peer(name="node", ae_title="LUNGNODE", host="127.0.0.1", port=node.port)
        send(files_of(FIVE[1], tmp_path / "ct"), node_peer, by="ORTHANC")
        wait_until(lambda: len(site.keys(FIVE[:2])) == 2 and site.is_idle(), 60)

        assert site.keys(FIVE[:2]) == expected_keys(FIVE[:2])
        assert site.job(other_patient) is None
        statement = site.journal.priors.of_job(expected_keys(FIVE[:2])[FIVE[1].series_uid])
        assert statement.reason == "1 studies or series of the same patient ID belong to other patients"


def stored_at(http: int, modality: str) -> int:
    query = json.dumps({"Level": "Instance", "Query": {"Modality": modality}}).encode()
    with urllib.request.urlopen(f"http://127.0.0.1:{http}/tools/find", query) as answer:
        return len(json.load(answer))
