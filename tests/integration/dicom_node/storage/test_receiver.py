"""Instances are durable by their files; their rows in the journal follow, and are made again from the files."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import ExplicitVRLittleEndian
from sqlalchemy import text

from dicom_node.errors import JournalUnavailable, UnreadableInstance
from dicom_node.journal.journal import Journal
from dicom_node.journal.priors import AcquisitionRecord
from dicom_node.journal.schema import FETCHED, SENT
from dicom_node.storage.content import data_set_sha256
from dicom_node.storage.receiver import InstanceReceiver, ReceivedInstance, received_file
from dicom_node.storage.spool import Spool, checked_uid

MakeCt = Callable[..., Dataset]


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "node")


@pytest.fixture
def receiver(journal: Journal, spool: Spool) -> Iterator[InstanceReceiver]:
    receiver = InstanceReceiver(journal.series, spool)
    yield receiver
    receiver.close()


def received(ct: Dataset, *, is_fetched: bool = False, calling: str = "SENDER") -> ReceivedInstance:
    encoded = BytesIO()
    ct.save_as(encoded, implicit_vr=False, little_endian=True)
    return ReceivedInstance(
        encoded=encoded.getvalue(),
        transfer_syntax_uid=ExplicitVRLittleEndian,
        sop_class_uid=ct.SOPClassUID,
        sop_instance_uid=ct.SOPInstanceUID,
        calling_ae_title=calling,
        is_fetched=is_fetched,
    )


def put_away(journal: Journal) -> None:
    with journal.database.write() as connection:
        connection.execute(text("ALTER TABLE instances RENAME TO away"))


def put_back(journal: Journal) -> None:
    with journal.database.write() as connection:
        connection.execute(text("ALTER TABLE away RENAME TO instances"))


def is_kept(receiver: InstanceReceiver, ct: Dataset) -> bool:
    with contextlib.suppress(JournalUnavailable):
        return receiver.keep(received(ct)) is not None
    return False


def test_rows_follow_their_files(receiver: InstanceReceiver, journal: Journal, spool: Spool, make_ct: MakeCt) -> None:
    for number in range(1, 41):
        assert receiver.keep(received(make_ct(number)))
    receiver.wait_until_recorded()

    (series,) = journal.series.quiet(4e9)
    assert len(series.sop_instance_uids) == 40
    for instance in journal.series.instances(series.sop_instance_uids):
        path = spool.instance_path(instance.series_uid, instance.sop_instance_uid)
        assert instance.data_set_sha256 == data_set_sha256(path)


def test_the_row_of_a_requested_instance_and_of_a_replaced_file_is_there_at_once(
    receiver: InstanceReceiver, journal: Journal, make_ct: MakeCt
) -> None:
    receiver.keep(received(make_ct(1), is_fetched=True))
    assert journal.series.stored_uids("1.2.3") == ("1.2.3.1",)

    changed = make_ct(1)
    changed.InstanceNumber = 99
    receiver.keep(received(changed))
    (row,) = journal.series.instances(["1.2.3.1"])
    receiver.keep(received(changed))
    assert journal.series.instances(["1.2.3.1"]) == [row]


def test_rows_are_made_again_from_the_files_alone(
    receiver: InstanceReceiver, journal: Journal, spool: Spool, make_ct: MakeCt, tmp_path: Path
) -> None:
    for number in (1, 2, 3):
        receiver.keep(received(make_ct(number), calling="SCANNER 7"))
    receiver.keep(received(make_ct(1, series_uid="1.2.4"), is_fetched=True))
    receiver.close()
    uids = ["1.2.3.1", "1.2.3.2", "1.2.3.3", "1.2.4.1"]
    expected = sorted(journal.series.instances(uids), key=lambda instance: instance.sop_instance_uid)
    assert len(expected) == 4

    with Journal(f"sqlite:///{tmp_path}/empty.db") as empty:
        for series_uid in ("1.2.3", "1.2.4"):
            empty.priors.record_acquisition(
                AcquisitionRecord(
                    series_uid=series_uid,
                    study_uid="1.2",
                    patient_key=None,
                    person_key=None,
                    acquired_on=None,
                    role=FETCHED,
                    is_complete=False,
                    read_at=0.0,
                )
            )
        again = InstanceReceiver(empty.series, spool)
        assert again.record_missing() == 4
        assert again.record_missing() == 0
        again.close()

        found = sorted(empty.series.instances(uids), key=lambda instance: instance.sop_instance_uid)
        assert found == expected
        roles = {uid: acquisition.role for uid in ("1.2.3", "1.2.4") if (acquisition := empty.priors.acquisition(uid))}
        assert roles == {"1.2.3": SENT, "1.2.4": FETCHED}, "what we requested is not taken for what a peer sent"
        assert [series.series_uid for series in empty.series.quiet(4e9)] == ["1.2.3"]


def test_a_row_that_is_there_is_not_made_again(
    receiver: InstanceReceiver, journal: Journal, spool: Spool, make_ct: MakeCt
) -> None:
    receiver.keep(received(make_ct(1)))
    receiver.wait_until_recorded()
    journal.series.mark_done("1.2.3")

    assert receiver.record_missing() == 0
    assert journal.series.quiet(4e9) == []


def test_what_is_not_dicom_in_the_inbox_is_left_alone(
    receiver: InstanceReceiver, journal: Journal, spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    spool.write_instance("1.2.3", "1.2.3.9", b"not DICOM")
    (spool.inbox / ".1.2.9.removed").mkdir()

    assert receiver.record_missing() == 0
    assert journal.series.stored_uids("1.2.3") == ()
    assert caplog.messages == ["instance 1.2.3.9 is not recorded: UnreadableInstance"]


def test_while_the_journal_takes_no_rows_no_more_is_accepted_and_then_all_are_recorded(
    receiver: InstanceReceiver, journal: Journal, make_ct: MakeCt, caplog: pytest.LogCaptureFixture
) -> None:
    put_away(journal)
    receiver.keep(received(make_ct(1)))  # durable by its file
    with pytest.raises(JournalUnavailable):
        receiver.wait_until_recorded()
    with pytest.raises(JournalUnavailable):
        receiver.keep(received(make_ct(2)))
    assert len(caplog.messages) == 1

    put_back(journal)
    while not is_kept(receiver, make_ct(2)):
        pass
    receiver.wait_until_recorded()

    assert journal.series.stored_uids("1.2.3") == ("1.2.3.1", "1.2.3.2")


def test_a_receiver_closes_while_the_journal_takes_no_rows(
    receiver: InstanceReceiver, journal: Journal, spool: Spool, make_ct: MakeCt
) -> None:
    put_away(journal)
    receiver.keep(received(make_ct(1)))
    receiver.close()
    put_back(journal)

    again = InstanceReceiver(journal.series, spool)
    assert again.record_missing() == 1
    again.close()
    assert journal.series.stored_uids("1.2.3") == ("1.2.3.1",)


def test_an_instance_that_comes_after_the_receiver_was_closed_is_recorded_at_the_next_start(
    receiver: InstanceReceiver, journal: Journal, spool: Spool, make_ct: MakeCt
) -> None:
    receiver.close()
    with pytest.raises(JournalUnavailable):
        receiver.keep(received(make_ct(1), is_fetched=True))

    again = InstanceReceiver(journal.series, spool)
    assert again.record_missing() == 1
    again.close()
    assert journal.series.stored_uids("1.2.3") == ("1.2.3.1",)


def test_the_file_meta_information_names_the_sender_for_other_readers(
    receiver: InstanceReceiver, spool: Spool, make_ct: MakeCt
) -> None:
    receiver.keep(received(make_ct(1), calling="ODD"))
    receiver.keep(received(make_ct(2), is_fetched=True, calling="PACS"))

    sent = dcmread(spool.instance_path("1.2.3", "1.2.3.1")).file_meta
    fetched = dcmread(spool.instance_path("1.2.3", "1.2.3.2")).file_meta
    assert (sent.SourceApplicationEntityTitle, fetched.SourceApplicationEntityTitle) == ("ODD", "PACS")
    assert "PrivateInformation" not in sent
    assert fetched.PrivateInformation == b"FETCHED "
    assert fetched.PrivateInformationCreatorUID is not None
    assert fetched.PrivateInformationCreatorUID.is_valid


@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom warns of some; a node has them silenced
def test_damaged_file_meta_information_is_unreadable_or_declares_uids(make_ct: MakeCt) -> None:
    buffer = BytesIO()
    make_ct(1, size=4).save_as(buffer, enforce_file_format=True)
    chance, refused = random.Random(1), 0
    for _ in range(500):
        damaged = bytearray(buffer.getvalue())
        damaged[chance.randrange(128, 420)] = chance.randrange(256)
        try:
            checked_uid(received_file(bytes(damaged), "SENDER", is_fetched=False).sop_instance_uid)
        except UnreadableInstance:
            refused += 1
    assert 50 < refused < 450
