import hashlib
from pathlib import Path

import pytest

from dicom_node.errors import SpoolFull
from dicom_node.network.message_buffers import (
    MAX_COMMAND_BYTES,
    MAX_MEMORY_BYTES,
    ArrivingDataSet,
    CommandSet,
    MessageLimits,
    MessageTooLong,
)
from dicom_node.storage.encoded_file import EncodedFile, pieces_of

PART = bytes(range(256)) * 512
"""128 KiB, as one PDU has."""


def arriving(folder: Path, parts: int, limits: MessageLimits | None = None) -> ArrivingDataSet:
    data_set = ArrivingDataSet(limits or MessageLimits(folder=folder))
    data_set.may_be_large = True
    for _ in range(parts):
        data_set.write(PART)
    return data_set


def test_a_small_data_set_stays_in_memory(tmp_path: Path) -> None:
    assert arriving(tmp_path, 64).content() == PART * 64
    assert 64 * len(PART) == MAX_MEMORY_BYTES


def test_a_large_data_set_is_a_file_without_a_name_with_the_same_bytes(tmp_path: Path) -> None:
    data_set = arriving(tmp_path, 100)
    content = data_set.content()

    assert isinstance(content, EncodedFile)
    assert list(tmp_path.iterdir()) == []
    assert len(content) == 100 * len(PART)
    digest = hashlib.sha256(b"".join(pieces_of(content))).hexdigest()
    assert digest == hashlib.sha256(PART * 100).hexdigest()
    assert data_set.getvalue() == PART * 100
    assert len(data_set.getbuffer()) == 0


def test_the_header_of_a_file_is_read_from_any_position_up_to_its_limit(tmp_path: Path) -> None:
    content = arriving(tmp_path, 400).content()
    assert isinstance(content, EncodedFile)
    reader = content.header()

    reader.seek(300 * len(PART) + 5)
    assert reader.read(3) == bytes([5, 6, 7])
    reader.seek(2, 1)
    assert reader.read(1) == bytes([10])
    reader.seek(-1, 2)
    assert reader.read(10) == b"\xff"
    reader.seek(0)
    with pytest.raises(EOFError):
        reader.read()


def test_a_data_set_without_end_is_refused_at_the_limit(tmp_path: Path) -> None:
    limits = MessageLimits(folder=tmp_path, instance_bytes=10 << 20)

    with pytest.raises(MessageTooLong, match="longer than 10 MiB"):
        arriving(tmp_path, 81, limits)
    assert len(arriving(tmp_path, 80, limits).getvalue()) == 10 << 20


def test_only_an_instance_may_be_large(tmp_path: Path) -> None:
    data_set = arriving(tmp_path, 64)
    data_set.may_be_large = False

    with pytest.raises(MessageTooLong, match="longer than 8 MiB"):
        data_set.write(b"\0")


def test_a_disk_without_room_is_the_status_of_the_instance_not_of_the_association(tmp_path: Path) -> None:
    def no_room() -> None:
        raise SpoolFull("0 MiB are free")

    data_set = arriving(tmp_path, 80, MessageLimits(folder=tmp_path, require_room=no_room))

    with pytest.raises(SpoolFull):
        data_set.content()


def test_a_command_set_has_a_limit_and_so_have_its_fragments() -> None:
    command = CommandSet()
    command.write(bytes(MAX_COMMAND_BYTES))
    with pytest.raises(MessageTooLong):
        command.write(b"\0")

    command = CommandSet()
    for _ in range(MAX_COMMAND_BYTES):
        command.write(b"")
    with pytest.raises(MessageTooLong):
        command.write(b"")
