from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pynetdicom import AE, build_role, evt
from pynetdicom.pdu import P_DATA_TF
from pynetdicom.presentation import build_context

from dicom_node.identifiers import COMMITMENT, COMMITMENT_INSTANCE, STUDY_ROOT_FIND
from tests.conftest import CLOSES_ITS_SOCKET
from tests.fixtures.waiting import wait_until
from worker.demo.pacs import SmallPacs

WriteCt = Callable[..., list[Path]]
CT = "1.2.840.10008.5.1.4.1.1.2"


def dcmtk(name: str) -> str:
    """Return the path of a dcmtk program; pynetdicom installs other programs of the same names."""
    if not Path(f"/usr/bin/{name}").exists():
        pytest.skip(f"no /usr/bin/{name}: dcmtk is not installed")
    return f"/usr/bin/{name}"


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[SmallPacs]:
    with SmallPacs(folder=tmp_path / "pacs") as running:
        yield running


def store(pacs: SmallPacs, files: list[Path]) -> int:
    return run(dcmtk("storescu"), "-aec", pacs.ae_title, "127.0.0.1", str(pacs.port), *files).returncode


def find(pacs: SmallPacs, *keys: str) -> list[str]:
    query = [part for key in keys for part in ("-k", key)]
    command = [dcmtk("findscu"), "-S", "-aec", pacs.ae_title, "127.0.0.1", str(pacs.port)]
    text = run(*command, *query)
    responses = (text.stdout + text.stderr).split("Find Response:")[1:]
    return sorted(
        line.split("[")[1].split("]")[0].strip("\0")
        for response in responses
        for line in response.splitlines()
        if "InstanceUID" in line
    )


def test_an_echo_is_answered_and_a_wrong_called_ae_title_rejected(pacs: SmallPacs) -> None:
    assert run(dcmtk("echoscu"), "-aec", pacs.ae_title, "127.0.0.1", str(pacs.port)).returncode == 0
    assert run(dcmtk("echoscu"), "-aec", "ANOTHER", "127.0.0.1", str(pacs.port)).returncode != 0


def test_instances_stored_by_dcmtk_are_unchanged_in_the_folder(pacs: SmallPacs, write_ct: WriteCt) -> None:
    files = write_ct(3)

    assert store(pacs, files) == 0

    assert [dcmread(file) for file in pacs.stored(CT)] == [dcmread(file) for file in files]
    assert pacs.stored("1.2.840.10008.5.1.4.1.1.66.4") == []


def test_a_query_finds_studies_series_and_images(pacs: SmallPacs, write_ct: WriteCt) -> None:
    store(pacs, write_ct(2, "1.2.3") + write_ct(1, "1.2.4"))

    assert find(pacs, "QueryRetrieveLevel=STUDY", "StudyInstanceUID", "PatientID=SECRET*") == ["1.2"]
    assert find(pacs, "QueryRetrieveLevel=STUDY", "StudyInstanceUID", "ModalitiesInStudy=MR") == []
    assert find(pacs, "QueryRetrieveLevel=STUDY", "StudyInstanceUID", "StudyDate=20261001-20261130") == ["1.2"]
    assert find(pacs, "QueryRetrieveLevel=SERIES", "StudyInstanceUID=1.2", "SeriesInstanceUID") == sorted(
        ["1.2", "1.2.3", "1.2", "1.2.4"]
    )
    assert find(pacs, "QueryRetrieveLevel=IMAGE", "SeriesInstanceUID=1.2.4", "SOPInstanceUID") == ["1.2.4", "1.2.4.1"]


def test_an_unknown_query_level_is_rejected(pacs: SmallPacs) -> None:
    association = AE().associate(
        "127.0.0.1", pacs.port, [build_context(STUDY_ROOT_FIND)], pacs.ae_title, evt_handlers=[CLOSES_ITS_SOCKET]
    )
    query = Dataset()
    query.QueryRetrieveLevel = "ROOM"

    statuses = [status.Status for status, _ in association.send_c_find(query, STUDY_ROOT_FIND)]
    association.release()

    assert statuses == [0xA900]


def test_a_move_sends_a_series_to_a_known_peer(pacs: SmallPacs, write_ct: WriteCt, tmp_path: Path) -> None:
    store(pacs, write_ct(3))
    with SmallPacs(folder=tmp_path / "other", ae_title="OTHER") as other:
        pacs.peers = {"OTHER": (other.host, other.port)}
        command = [dcmtk("movescu"), "-S", "-aec", pacs.ae_title, "127.0.0.1", str(pacs.port)]
        keys = ["-k", "QueryRetrieveLevel=SERIES", "-k", "SeriesInstanceUID=1.2.3"]

        assert run(*command, "-aem", "OTHER", *keys).returncode == 0
        assert len(other.stored()) == 3
        assert run(*command, "-aem", "NOBODY", *keys).returncode != 0


def test_a_get_retrieves_a_series(pacs: SmallPacs, write_ct: WriteCt, tmp_path: Path) -> None:
    store(pacs, write_ct(3))
    (tmp_path / "got").mkdir()
    keys = ["-k", "QueryRetrieveLevel=SERIES", "-k", "SeriesInstanceUID=1.2.3"]

    got = run(dcmtk("getscu"), "-S", "-aec", pacs.ae_title, "-od", tmp_path / "got", "127.0.0.1", str(pacs.port), *keys)

    assert got.returncode == 0
    assert len(list((tmp_path / "got").iterdir())) == 3


def test_nothing_is_stored_with_a_failure_status(pacs: SmallPacs, write_ct: WriteCt) -> None:
    pacs.behaviour.store_status = 0xA700

    assert store(pacs, write_ct(1)) != 0
    assert pacs.stored() == []


def test_stored_instances_are_found_after_a_restart(pacs: SmallPacs, write_ct: WriteCt) -> None:
    store(pacs, write_ct(2))

    assert len(SmallPacs(folder=pacs.folder).archive.headers()) == 2


def commitment_request(*uids: str) -> Dataset:
    request = Dataset()
    request.TransactionUID = "2.25.9"
    request.ReferencedSOPSequence = [Dataset() for _ in uids]
    for item, uid in zip(request.ReferencedSOPSequence, uids, strict=True):
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = CT, uid
    return request


class Reports(list[Dataset]):
    """The event information of the received N-EVENT-REPORTs."""

    def __init__(self) -> None:
        super().__init__()
        self.answered = threading.Event()
        self.handlers: list[evt.EventHandlerType] = [
            CLOSES_ITS_SOCKET,
            (evt.EVT_N_EVENT_REPORT, self._on_report),
            (evt.EVT_PDU_SENT, self._on_sent),
        ]

    def _on_report(self, event: evt.Event) -> tuple[int, None]:
        self.append(event.event_information)
        return 0x0000, None

    def _on_sent(self, event: evt.Event) -> None:
        """Note the response: an association that is released before it is sent ends with an exception."""
        if self and isinstance(event.pdu, P_DATA_TF):
            self.answered.set()


@pytest.mark.parametrize("same_association", [True, False])
def test_commitment_is_reported_on_the_configured_association(
    pacs: SmallPacs, write_ct: WriteCt, same_association: bool
) -> None:
    store(pacs, write_ct(2))
    pacs.behaviour.report_on_same_association = same_association
    on_same_association, on_other_association = Reports(), Reports()
    requestor = AE("REQUESTOR")
    requestor.add_supported_context(COMMITMENT, scu_role=True, scp_role=True)
    server = requestor.start_server(
        ("127.0.0.1", 0),
        block=False,
        evt_handlers=on_other_association.handlers,
    )
    assert server is not None
    pacs.peers = {"REQUESTOR": ("127.0.0.1", server.server_address[1])}

    association = requestor.associate(
        "127.0.0.1",
        pacs.port,
        [build_context(COMMITMENT)],
        pacs.ae_title,
        ext_neg=[build_role(COMMITMENT, scu_role=True)],
        evt_handlers=on_same_association.handlers,
    )
    request = commitment_request("1.2.3.1", "1.2.3.2", "1.2.3.99")
    status, _ = association.send_n_action(request, 1, COMMITMENT, COMMITMENT_INSTANCE)
    reports = on_same_association if same_association else on_other_association
    assert reports.answered.wait(10)
    association.release()
    server.shutdown()

    assert status.Status == 0x0000
    assert len(on_same_association) + len(on_other_association) == 1
    assert [item.ReferencedSOPInstanceUID for item in reports[0].ReferencedSOPSequence] == ["1.2.3.1", "1.2.3.2"]
    (failed,) = reports[0].FailedSOPSequence
    assert (failed.ReferencedSOPInstanceUID, failed.FailureReason) == ("1.2.3.99", 0x0112)


def open_socket_count() -> int:
    """Return the number of open sockets of this process."""
    return sum(os.path.realpath(fd).rpartition("/")[2].startswith("socket:") for fd in Path("/proc/self/fd").iterdir())


def test_a_report_to_an_absent_peer_leaves_no_socket_open(pacs: SmallPacs, write_ct: WriteCt, free_port: int) -> None:
    pacs.peers = {"REQUESTOR": ("127.0.0.1", free_port)}
    before = open_socket_count()
    store(pacs, write_ct(1))
    requestor = AE("REQUESTOR")
    association = requestor.associate("127.0.0.1", pacs.port, [build_context(COMMITMENT)], pacs.ae_title)
    request = commitment_request("1.2.3.1")
    association.send_n_action(request, 1, COMMITMENT, COMMITMENT_INSTANCE)
    association.release()

    time.sleep(1.0)  # the report is attempted after 0.05 s

    wait_until(lambda: open_socket_count() == before, 10)
