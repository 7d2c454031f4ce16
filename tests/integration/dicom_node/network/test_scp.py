from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import (
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.presentation import build_context

from dicom_node.journal.journal import Journal
from dicom_node.network.scu import PacsClient
from dicom_node.settings import NodeSettings, Peer
from dicom_node.storage.content import data_set_sha256
from dicom_node.storage.spool import Spool
from tests.conftest import CLOSES_ITS_SOCKET
from tests.fixtures.dicom_node.pdus import association_request, rejection
from tests.fixtures.worker.analysed_series import Scan as TwelveSlices
from tests.fixtures.worker.multi_frame import converted, enhanced
from worker.ct.reader import load

ENHANCED_CT, CONVERTED_CT = "1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2"
CT, MR, VERIFICATION = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.1.1"
WriteCt = Callable[..., list[Path]]
MakeCt = Callable[..., Dataset]


class RunningScp(Protocol):
    node: NodeSettings
    port: int
    journal: Journal
    spool: Spool

    def files(self) -> list[Path]: ...


StartScp = Callable[..., RunningScp]


def run(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a program of dcmtk; pynetdicom installs others with the same names."""
    if not Path(f"/usr/bin/{name}").exists():
        pytest.skip(f"no /usr/bin/{name}: dcmtk is not installed")
    command = [f"/usr/bin/{name}", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def run_storescu(scp: RunningScp, files: list[Path], *options: str) -> int:
    called = ["-aet", "SENDER", "-aec", "LUNGNODE", *options, "127.0.0.1", scp.port]
    return run("storescu", *called, *files).returncode


@pytest.fixture
def scp(start_scp: StartScp, sender: Peer) -> RunningScp:
    return start_scp(sender)


def client_of(scp: RunningScp, ae_title: str = "SENDER") -> PacsClient:
    peer = Peer(name="node", ae_title="LUNGNODE", host="127.0.0.1", port=scp.port)
    return PacsClient(peer, NodeSettings(ae_title=ae_title, network_timeout_s=10))


def association(scp: RunningScp, *sop_classes: str, calling: str = "SENDER", called: str = "LUNGNODE") -> Association:
    contexts = [build_context(sop_class) for sop_class in sop_classes or (CT,)]
    return AE(calling).associate("127.0.0.1", scp.port, contexts, called, evt_handlers=[CLOSES_ITS_SOCKET])


# -- associations --


def test_an_echo_of_a_known_peer_is_answered(scp: RunningScp) -> None:
    assert run("echoscu", "-aet", "SENDER", "-aec", "LUNGNODE", "127.0.0.1", scp.port).returncode == 0


@pytest.mark.parametrize(
    ("calling", "called", "diagnostic"),
    [("UNKNOWN", "LUNGNODE", 3), ("SENDER", "ANOTHER", 7)],
    ids=["unknown calling title", "wrong called title"],
)
def test_an_unknown_ae_title_is_rejected_with_the_reason_of_the_standard(
    scp: RunningScp, caplog: pytest.LogCaptureFixture, calling: str, called: str, diagnostic: int
) -> None:
    request = association_request(called=called.encode(), calling=calling.encode())

    # PS3.8 table 9-21: rejected-permanent, by the service user.
    assert rejection(scp.port, request) == (1, 1, diagnostic)
    assert sum("rejected" in line for line in caplog.messages) == 1


def test_without_any_peer_nobody_may_associate(start_scp: StartScp) -> None:
    assert not association(start_scp(), calling="SENDER").is_established


def test_a_peer_that_may_not_send_may_only_echo(start_scp: StartScp) -> None:
    scp = start_scp(Peer(name="viewer", ae_title="VIEWER", host="127.0.0.1", port=1, send_results=True))

    assoc = association(scp, VERIFICATION, CT, calling="VIEWER")

    assert [context.abstract_syntax for context in assoc.accepted_contexts] == [VERIFICATION]
    assoc.release()


def test_only_ct_images_are_accepted(scp: RunningScp) -> None:
    assoc = association(scp, MR, CT, ENHANCED_CT, CONVERTED_CT)

    assert [context.abstract_syntax for context in assoc.accepted_contexts] == [CT, ENHANCED_CT, CONVERTED_CT]
    assoc.release()


# -- stored instances --


def test_a_stored_series_is_unchanged_on_disk_and_recorded_in_the_journal(scp: RunningScp, write_ct: WriteCt) -> None:
    files = write_ct(5)

    assert run_storescu(scp, files) == 0

    (series,) = scp.journal.series.quiet(before=4e9)
    assert (series.series_uid, series.study_uid, len(series.sop_instance_uids)) == ("1.2.3", "1.2", 5)
    for file in files:
        sent = dcmread(file)
        kept = dcmread(scp.spool.instance_path("1.2.3", sent.SOPInstanceUID))
        assert kept == sent
        assert kept.file_meta.MediaStorageSOPInstanceUID == sent.SOPInstanceUID


@pytest.mark.parametrize("make", [enhanced, converted])
def test_a_stored_multi_frame_image_is_unchanged_on_disk(
    make: Callable[[list[Dataset]], Dataset], scp: RunningScp, tmp_path: Path
) -> None:
    images = TwelveSlices().images()
    (sent, file) = make(images), tmp_path / "multi.dcm"
    sent.save_as(file, enforce_file_format=True)

    assert run_storescu(scp, [file], "--required") == 0

    (series,) = scp.journal.series.quiet(before=4e9)
    assert series.sop_instance_uids == (sent.SOPInstanceUID,)
    (instance,) = scp.journal.series.instances(series.sop_instance_uids)
    assert instance.sop_class_uid == sent.SOPClassUID
    kept = scp.spool.instance_path(series.series_uid, sent.SOPInstanceUID)
    assert dcmread(kept) == dcmread(file)
    assert load([kept]).volume.hu.shape == (12, 40, 36)


def test_the_journal_has_the_hash_and_the_sender_of_each_file(scp: RunningScp, write_ct: WriteCt) -> None:
    run_storescu(scp, write_ct(2))

    for instance in scp.journal.series.instances(["1.2.3.1", "1.2.3.2"]):
        path = scp.spool.instance_path(instance.series_uid, instance.sop_instance_uid)
        assert instance.data_set_sha256 == data_set_sha256(path)
        assert instance.calling_ae_title == "SENDER"


def write_as(folder: Path, ct: Dataset, syntax: str) -> Path:
    file = folder / "compressed.dcm"
    if syntax in {JPEGLosslessSV1, "1.2.840.10008.1.2.4.57"}:
        plain = folder / "plain.dcm"
        ct.save_as(plain, enforce_file_format=True)
        assert run("dcmcjpeg", "+e1" if syntax == JPEGLosslessSV1 else "+el", plain, file).returncode == 0
    elif syntax in {ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian}:
        ct.file_meta.TransferSyntaxUID = UID(syntax)
        ct.save_as(file, enforce_file_format=True)
    else:
        options: dict[str, Any] = {}
        if syntax == JPEG2000:
            options = {"j2k_psnr": [80.0]}
        elif syntax == JPEGLSNearLossless:
            options = {"jls_error": 2}
        ct.compress(syntax, generate_instance_uid=False, **options)
        ct.save_as(file, enforce_file_format=True)
    assert dcmread(file).file_meta.TransferSyntaxUID == syntax
    return file


@pytest.mark.parametrize(
    "syntax",
    [
        ImplicitVRLittleEndian,
        "1.2.840.10008.1.2.4.57",  # JPEG Lossless, Process 14
        JPEGLosslessSV1,
        JPEGLSLossless,
        JPEGLSNearLossless,
        JPEG2000Lossless,
        JPEG2000,
        RLELossless,
    ],
)
def test_a_compressed_image_is_kept_in_its_own_syntax(
    scp: RunningScp, make_ct: MakeCt, tmp_path: Path, syntax: str
) -> None:
    file = write_as(tmp_path, make_ct(1), syntax)

    assoc = AE("SENDER").associate(
        "127.0.0.1", scp.port, [build_context(CT, syntax)], "LUNGNODE", evt_handlers=[CLOSES_ITS_SOCKET]
    )
    status = assoc.send_c_store(dcmread(file))
    assoc.release()

    assert status.Status == 0x0000
    kept = dcmread(scp.spool.instance_path("1.2.3", "1.2.3.1"))
    assert kept.file_meta.TransferSyntaxUID == syntax
    assert kept.PixelData == dcmread(file).PixelData
    assert (kept.pixel_array == dcmread(file).pixel_array).all()


def test_an_instance_sent_twice_is_stored_once(scp: RunningScp, write_ct: WriteCt) -> None:
    files = write_ct(3)

    assert run_storescu(scp, files) == run_storescu(scp, files) == 0

    (series,) = scp.journal.series.quiet(before=4e9)
    assert len(series.sop_instance_uids) == len(scp.files()) == 3


def test_a_series_over_several_associations_is_one_series(scp: RunningScp, write_ct: WriteCt) -> None:
    files = write_ct(6)

    for start in range(0, 6, 2):
        assert run_storescu(scp, files[start : start + 2]) == 0

    (series,) = scp.journal.series.quiet(before=4e9)
    assert len(series.sop_instance_uids) == 6


def test_eight_associations_at_once_lose_nothing(scp: RunningScp, write_ct: WriteCt) -> None:
    files = write_ct(80)
    codes: list[int] = []
    threads = [
        threading.Thread(target=lambda part=files[start::8]: codes.append(run_storescu(scp, part)))
        for start in range(8)
    ]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert codes == [0] * 8
    (series,) = scp.journal.series.quiet(before=4e9)
    assert len(series.sop_instance_uids) == len(scp.files()) == 80


# -- refused instances --


def store_as(scp: RunningScp, ct: Dataset, **command: str) -> int:
    """Send a data set with C-STORE, with some elements of the command replaced."""
    assoc = association(scp)

    def rewrite(event: evt.Event) -> None:
        for keyword, value in command.items():
            setattr(event.message.command_set, keyword, value)

    assoc.bind(evt.EVT_DIMSE_SENT, rewrite)
    status = assoc.send_c_store(ct)
    assoc.release()
    return int(status.Status)


def test_a_full_disk_is_answered_with_out_of_resources(
    start_scp: StartScp, sender: Peer, make_ct: MakeCt, caplog: pytest.LogCaptureFixture
) -> None:
    scp = start_scp(sender, min_free_mb=1 << 40)

    assert store_as(scp, make_ct(1)) == 0xA700
    assert scp.files() == []
    assert sum("0xA700" in line and "MiB are free" in line for line in caplog.messages) == 1


def test_a_data_set_with_another_instance_uid_than_the_command_is_refused(scp: RunningScp, make_ct: MakeCt) -> None:
    assert store_as(scp, make_ct(1), AffectedSOPInstanceUID="1.2.3.99") == 0xA900
    assert scp.files() == []


def test_a_data_set_with_another_sop_class_than_the_command_is_refused(scp: RunningScp, make_ct: MakeCt) -> None:
    assert store_as(scp, make_ct(1), AffectedSOPClassUID=MR) == 0xA900
    assert scp.files() == []


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID"])
def test_a_data_set_without_its_uids_is_not_understood(scp: RunningScp, make_ct: MakeCt, keyword: str) -> None:
    ct = make_ct(1)
    del ct[keyword]

    assert store_as(scp, ct) == 0xC000
    assert scp.files() == []


# -- the connection --


def test_an_accepted_connection_sends_without_delay(scp: RunningScp, sender: Peer) -> None:
    assoc = association(scp, VERIFICATION)
    (accepted,) = [thread for thread in threading.enumerate() if getattr(thread, "is_acceptor", False)]

    connection = accepted.dul.socket.socket  # type: ignore[attr-defined]

    assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
    assert connection.gettimeout() == scp.node.network_timeout_s
    assoc.release()


def test_our_own_client_stores_to_the_scp(scp: RunningScp, write_ct: WriteCt) -> None:
    client_of(scp).echo()
    outcomes = list(client_of(scp).store(write_ct(3)))

    assert [outcome.error for outcome in outcomes] == [None, None, None]
    assert len(scp.files()) == 3
