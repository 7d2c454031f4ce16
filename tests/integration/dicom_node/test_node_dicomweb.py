"""The complete node with its DICOMweb server: Orthanc sends a series by STOW-RS and receives the results by STOW-RS."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from dicomweb_client.web import DICOMwebClient

from dicom_node.errors import SettingsError
from dicom_node.jobs import JobState
from dicom_node.journal.journal import Journal
from dicom_node.node import Node
from dicom_node.parts import NodeConfiguration
from dicom_node.selection.rules import SelectionSettings
from dicom_node.settings import DicomwebSettings, JournalSettings, NodeSettings, Peer, QueueSettings
from dicom_node.storage.receiver import InstanceReceiver
from dicom_node.storage.spool import Spool
from tests.fixtures.dicom_node.dicomweb_site import READER_TOKEN, DicomwebSite
from tests.fixtures.dicom_node.finished_job import finish
from tests.fixtures.dicom_node.results import ALL, FIRST, LATER, OTHER, results_of
from tests.fixtures.ports import free_ports, is_listening
from tests.fixtures.waiting import wait_until

WriteCt = Callable[..., list[Path]]
ROOT = Path(__file__).parents[3]
TOKEN = "token-of-the-archive"
UIDS = tuple(f"1.2.3.{number}" for number in range(1, 7))


def configuration(folder: Path, dicom_port: int, web_port: int, **peer: object) -> NodeConfiguration:
    known = {"name": "archive", "ae_title": "ORTHANC", "may_send": True, "may_retrieve": True, "dicomweb_token": TOKEN}
    node = NodeSettings(
        ae_title="LUNGNODE", port=dicom_port, data_dir=folder, min_free_mb=0, quiet_period_s=2.0, commitment_wait_s=3.0
    )
    return NodeConfiguration(
        node=node,
        peers=[Peer.model_validate(known | peer)],
        queue=QueueSettings(url=f"redis+socket://{folder}/redis/redis.sock"),
        journal=JournalSettings(),
        selection=SelectionSettings(),
        config_hash="config",
        dicomweb=DicomwebSettings(enabled=True, port=web_port),
    )


def call(http: int, path: str, body: object, method: str = "POST") -> Any:  # noqa: ANN401 - JSON
    """Call Orthanc's own interface."""
    answer = requests.request(method, f"http://127.0.0.1:{http}{path}", data=json.dumps(body), timeout=30)
    answer.raise_for_status()
    return answer.json() if answer.content else None


def test_orthanc_sends_by_stow_and_by_c_store_and_gets_the_results_by_stow_with_commitment(
    orthanc_of_module: tuple[int, int, int], tmp_path: Path, write_ct: WriteCt
) -> None:
    dicom, http, node_port = orthanc_of_module
    web_port = free_ports(1)[0]
    rights = {"send_results": True, "deliver": "stow", "storage_commitment": True}
    address = {"host": "127.0.0.1", "port": dicom, "dicomweb_url": f"http://127.0.0.1:{http}/dicom-web"}
    known = configuration(tmp_path / "node", node_port, web_port, **rights, **address)
    server = {"Url": f"http://127.0.0.1:{web_port}/dicom-web", "HttpHeaders": {"Authorization": f"Bearer {TOKEN}"}}
    results = results_of(FIRST)
    for result in results:
        result.StudyInstanceUID = "1.2"
    with Journal(JournalSettings().url_in(tmp_path / "node")) as journal, Node(known, journal):
        call(http, "/dicom-web/servers/node", server, "PUT")
        for file in write_ct(6):
            requests.post(f"http://127.0.0.1:{http}/instances", data=file.read_bytes(), timeout=30).raise_for_status()
        ids = call(http, "/tools/find", {"Level": "Series", "Query": {"SeriesInstanceUID": "1.2.3"}})
        call(http, "/dicom-web/servers/node/stow", {"Resources": ids, "Synchronous": True})
        wait_until(lambda: journal.series.stored_uids("1.2.3") == UIDS)
        by_stow = {row.sop_instance_uid: row.data_set_sha256 for row in journal.series.instances(UIDS)}

        # Orthanc's script forwards the stable series by C-STORE, too: it stays one series and one job.
        call(http, "/modalities/node/store", {"Resources": ids, "Synchronous": True})
        wait_until(lambda: len(journal.jobs.find([JobState.QUEUED])) == 1, 40)
        assert {row.sop_instance_uid: row.data_set_sha256 for row in journal.series.instances(UIDS)} == by_stow

        finish(journal, Spool(tmp_path / "node"), journal.jobs.find()[0].job.job_key, results)
        wait_until(lambda: [job.state for job in journal.jobs.find()] == [JobState.COMMITTED], 40)
        session = requests.Session()
        session.headers["Authorization"] = f"Bearer {TOKEN}"
        ours = DICOMwebClient(server["Url"], session=session).retrieve_study("1.2")  # type: ignore[arg-type]

    theirs = DICOMwebClient(f"http://127.0.0.1:{http}/dicom-web")
    assert ours == results
    for result in results:
        assert theirs.retrieve_instance("1.2", result.SeriesInstanceUID, result.SOPInstanceUID) == result


# -- the same search by both --

UID_TAGS = {"studies": "0020000D", "series": "0020000E", "instances": "00080018"}


def searches() -> dict[str, tuple[str, dict[str, str], str]]:
    """Level, matching keys, and where the search begins (a study, or nowhere)."""
    return {
        "all studies": ("studies", {}, ""),
        "patient ID": ("studies", {"PatientID": "ID-1"}, ""),
        "patient ID that no patient has": ("studies", {"PatientID": "ID-3"}, ""),
        "by tag": ("studies", {"00100020": "ID-1"}, ""),
        "wildcard": ("studies", {"PatientName": "Do*^J?ne"}, ""),
        "name without regard to case": ("studies", {"PatientName": "doe^jane"}, ""),
        "date": ("studies", {"StudyDate": "20260703"}, ""),
        "range of dates": ("studies", {"StudyDate": "20260201-20260703"}, ""),
        "until a date": ("studies", {"StudyDate": "-20260404"}, ""),
        "from a date": ("studies", {"StudyDate": "20260404-"}, ""),
        "range of times": ("studies", {"StudyTime": "1000-1014"}, ""),
        "two UIDs": ("studies", {"StudyInstanceUID": f"{FIRST.study_uid},{OTHER.study_uid}"}, ""),
        "modality of a study": ("studies", {"ModalitiesInStudy": "SEG"}, ""),
        "modality that no study has": ("studies", {"ModalitiesInStudy": "CT"}, ""),
        "accession number and study ID": ("studies", {"AccessionNumber": "A20260404", "StudyID": "S1"}, ""),
        "series of all studies": ("series", {"Modality": "SR"}, ""),
        "series of a study": ("series", {}, LATER.study_uid),
        "number of a series": ("series", {"SeriesNumber": "9"}, LATER.study_uid),
        "series of a patient": ("series", {"PatientID": "ID-2"}, ""),
        "instances of all": ("instances", {"PatientID": "ID-1"}, ""),
        "instances of a study": (
            "instances",
            {"SOPClassUID": str(ALL[LATER.study_uid][0].SOPClassUID)},
            LATER.study_uid,
        ),
        "an instance": ("instances", {"SOPInstanceUID": str(ALL[LATER.study_uid][1].SOPInstanceUID)}, ""),
    }


def found_by(client: DICOMwebClient, level: str, keys: dict[str, str], study_uid: str) -> set[str]:
    """Return the UIDs that a search returns."""
    if level == "studies":
        answers = client.search_for_studies(search_filters=keys)
    elif level == "series":
        answers = client.search_for_series(study_uid or None, search_filters=keys)
    else:
        answers = client.search_for_instances(study_uid or None, search_filters=keys)
    return {answer[UID_TAGS[level]]["Value"][0] for answer in answers}


def found_by_orthanc(url: str, level: str, keys: dict[str, str], study_uid: str) -> set[str]:
    """Return the same of Orthanc 1.10, which does not decode the %5E and %2A of dicomweb-client."""
    path = f"studies/{study_uid}/{level}" if study_uid else level
    query = "&".join(f"{name}={value}" for name, value in keys.items())
    with urllib.request.urlopen(f"{url}/{path}?{query}", timeout=10) as answer:
        uids = {found[UID_TAGS[level]]["Value"][0] for found in json.load(answer)}
    return {uid for uid in uids if uid.startswith("1.2.2026")}  # without what other tests have sent


def test_a_search_finds_what_orthanc_finds(reading_site: DicomwebSite, orthanc_of_module: tuple[int, int, int]) -> None:
    theirs = DICOMwebClient(f"http://127.0.0.1:{orthanc_of_module[1]}/dicom-web")
    for documents in ALL.values():
        theirs.store_instances(documents)

    ours = reading_site.client(READER_TOKEN)
    found = {name: found_by(ours, *search) for name, search in searches().items()}
    assert found == {name: found_by_orthanc(theirs.base_url, *search) for name, search in searches().items()}
    assert sum(map(len, found.values())) > 30


# -- the process --


def test_a_node_that_cannot_listen_for_dicomweb_does_not_start(tmp_path: Path) -> None:
    dicom_port, web_port = free_ports(2)
    known = configuration(tmp_path / "node", dicom_port, web_port)
    with Journal(JournalSettings().url_in(tmp_path / "node")) as journal, Node(known, journal):
        other = configuration(tmp_path / "other", 0, web_port)
        with pytest.raises(SettingsError, match=f"dicomweb.port: cannot listen on 127.0.0.1:{web_port}"):
            Node(other, journal).__enter__()
    assert not is_listening(dicom_port)
    assert not is_listening(web_port)


CONFIGURATION = """
[node]
port = {dicom_port}
data_dir = "{folder}/node"
min_free_mb = 0

[queue]
url = "redis+socket://{folder}/redis.sock"

[dicomweb]
enabled = true
port = {web_port}

[[peers]]
name = "archive"
ae_title = "ARCHIVE"
may_send = true
dicomweb_token = "token-of-the-archive"
"""


def test_what_was_answered_with_success_is_in_the_journal_after_a_kill(tmp_path: Path, write_ct: WriteCt) -> None:
    dicom_port, web_port = free_ports(2)
    config = tmp_path / "lungspread.toml"
    config.write_text(CONFIGURATION.format(folder=tmp_path, dicom_port=dicom_port, web_port=web_port))
    command = [sys.executable, "-m", "worker.cli", "node", "--config", str(config)]
    files = [file.read_bytes() for file in write_ct(6)]
    part = b"--b\r\nContent-Type: application/dicom\r\n\r\n"
    body = b"".join(part + file + b"\r\n" for file in files) + b"--b--\r\n"
    headers = {
        "Content-Type": "multipart/related; type=application/dicom; boundary=b",
        "Authorization": f"Bearer {TOKEN}",
    }

    with subprocess.Popen(command, cwd=ROOT) as node:
        wait_until(lambda: is_listening(web_port))
        answer = requests.post(f"http://127.0.0.1:{web_port}/dicom-web/studies", body, headers=headers, timeout=10)
        node.send_signal(signal.SIGKILL)
    assert answer.status_code == 200

    with Journal(JournalSettings().url_in(tmp_path / "node")) as journal:
        restarted = InstanceReceiver(journal.series, Spool(tmp_path / "node"))
        restarted.record_missing()  # what a node does at start
        restarted.close()
        assert journal.series.stored_uids("1.2.3") == UIDS
