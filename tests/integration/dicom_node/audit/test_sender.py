"""Audit messages are sent to a repository by TLS and UDP, and none is left out, whatever happens to it."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from dicom_node.audit.files import AuditFiles, file_names
from dicom_node.audit.sender import AuditSender
from dicom_node.audit.settings import AuditSettings
from dicom_node.audit.trail import AuditTrail
from dicom_node.audit.transport import make_transport
from dicom_node.errors import AuditNotSent, SettingsError
from dicom_node.settings import NodeSettings
from tests.fixtures.dicom_node.audit_reader import read_message
from tests.fixtures.dicom_node.audit_repository import AuditRepository
from tests.fixtures.dicom_node.certificates import Authority
from tests.fixtures.ports import free_port
from tests.fixtures.waiting import wait_until


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("hospital"))


@pytest.fixture
def repository(authority: Authority) -> AuditRepository:
    return AuditRepository(authority, free_port())


def lines(first: int, count: int) -> list[bytes]:
    return [b"<85>1 - - - - - - %05d" % number for number in range(first, first + count)]


def write(folder: Path, messages: list[bytes]) -> None:
    files = AuditFiles(folder, 1)
    for message in messages:
        files.append(message + b"\n")
    files.close()


def make_sender(folder: Path, repository: AuditRepository, ca: str, **settings: str) -> AuditSender:
    configured = {"syslog": f"tls://127.0.0.1:{repository.port}", "ca": ca} | settings
    return AuditSender(folder, make_transport(AuditSettings.model_validate(configured), timeout_s=2))


def test_what_was_written_is_sent_once_and_in_order(
    tmp_path: Path, repository: AuditRepository, authority: Authority
) -> None:
    write(tmp_path, lines(0, 700))
    with repository:
        sender = make_sender(tmp_path, repository, authority.ca)
        sender.step()
        write(tmp_path, lines(700, 10))
        sender.step()
        sender.step()
        sender.close()
        restarted = make_sender(tmp_path, repository, authority.ca)
        write(tmp_path, lines(710, 1))
        restarted.step()
        wait_until(lambda: len(repository.messages) >= 711)
        restarted.close()

    assert repository.messages == lines(0, 711)


def test_messages_wait_in_the_files_while_the_repository_is_down(
    tmp_path: Path, repository: AuditRepository, authority: Authority
) -> None:
    sender = make_sender(tmp_path, repository, authority.ca)
    write(tmp_path, lines(0, 3))
    with pytest.raises(AuditNotSent, match=r":\d+: ConnectionRefusedError.*; audit messages of 72 bytes wait in"):
        sender.step()
    with repository:
        sender.step()
        wait_until(lambda: len(repository.messages) == 3)
    # It was restarted: the first message on a connection whose other end is gone would be lost without a word.
    write(tmp_path, lines(3, 2))
    with repository:
        wait_until(lambda: _is_sent(sender))
        wait_until(lambda: len(repository.messages) >= 5)
        sender.close()

    assert repository.messages == lines(0, 5)


def _is_sent(sender: AuditSender) -> bool:
    try:
        sender.step()
    except AuditNotSent:
        return False
    return True


def test_a_new_file_is_sent_after_the_end_of_the_one_before(
    tmp_path: Path, repository: AuditRepository, authority: Authority
) -> None:
    long = [message + b" " * 3000 for message in lines(0, 800)]
    with repository:
        sender = make_sender(tmp_path, repository, authority.ca)
        for start in range(0, 800, 100):
            write(tmp_path, long[start : start + 100])
            sender.step()
        *_, before, _last = file_names(tmp_path)
        with (tmp_path / before).open("ab") as file:  # another process had it open
            file.write(b"<85>1 - - - - - - late\n")
        sender.step()
        wait_until(lambda: len(repository.messages) >= 801)
        sender.close()

    assert len(file_names(tmp_path)) == 3
    assert repository.messages == [*long, b"<85>1 - - - - - - late"]


def test_a_repository_that_asks_for_a_certificate_gets_ours(tmp_path: Path, authority: Authority) -> None:
    ours = authority.sign("node")
    write(tmp_path, lines(0, 1))
    with AuditRepository(authority, free_port(), asks_for_certificate=True) as repository:
        with pytest.raises(AuditNotSent):
            make_sender(tmp_path, repository, authority.ca).step()
        sender = make_sender(tmp_path, repository, authority.ca, certificate=ours.certificate, key=ours.key)
        sender.step()
        wait_until(lambda: len(repository.messages) == 1)
        sender.close()

    assert repository.messages == lines(0, 1)


def test_nothing_is_sent_to_a_repository_whose_certificate_is_not_known(
    tmp_path: Path, repository: AuditRepository
) -> None:
    write(tmp_path, lines(0, 1))
    stranger = Authority(tmp_path / "stranger", "stranger")
    with repository, pytest.raises(AuditNotSent, match="SSLCertVerificationError"):
        make_sender(tmp_path, repository, stranger.ca).step()

    assert repository.messages == []


def test_a_certificate_that_cannot_be_read_is_a_wrong_setting() -> None:
    settings = AuditSettings(syslog="tls://localhost:6514", ca="/nowhere.pem")
    with pytest.raises(SettingsError, match=r"audit\.ca, .*: cannot be read: No such file"):
        make_transport(settings, 1)


def test_messages_are_sent_by_udp_one_in_a_datagram(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(5)
        settings = AuditSettings(folder=str(tmp_path), syslog=f"udp://127.0.0.1:{receiver.getsockname()[1]}")
        trail = AuditTrail(settings, NodeSettings(ae_title="LUNGNODE"))
        trail.start()
        assert trail.sender is not None
        trail.sender.step()
        message = read_message(receiver.recv(65536))
        trail.sender.close()
        trail.close()

    assert message.event == "Application Activity"
