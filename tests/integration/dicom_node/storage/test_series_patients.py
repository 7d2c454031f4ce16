"""Instances of another patient do not get into a series, and a corrected study is received all the same."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmwrite
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from dicom_node.audit.message import Participant
from dicom_node.audit.trail import no_audit
from dicom_node.errors import ChangedInstance, OtherPatient
from dicom_node.journal.journal import Journal
from dicom_node.network.status import CHANGED_INSTANCE, OTHER_PATIENT, SUCCESS
from dicom_node.network.store_status import store
from dicom_node.storage.content import data_set_sha256
from dicom_node.storage.receiver import InstanceReceiver
from dicom_node.storage.spool import Spool
from tests.conftest import make_ct_instance
from tests.integration.dicom_node.storage.test_receiver import received

SECRETS = ("SECRET", "4711", "4712", "1950", "DOE", "ROE")


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(f"sqlite:///{tmp_path}/journal.db") as journal:
        yield journal


class Receiving:
    """A receiver on one data directory, which can be started again."""

    def __init__(self, journal: Journal, folder: Path, **options: bool) -> None:
        self.journal, self.folder, self.options = journal, folder, options
        self.spool = Spool(folder)
        self.receiver = InstanceReceiver(journal.series, self.spool, **options)

    def restart(self) -> None:
        self.receiver.close()
        self.receiver = InstanceReceiver(self.journal.series, self.spool, **self.options)

    def status(self, image: Dataset, *, calling: str = "SENDER") -> int:
        instance = received(image, calling=calling)
        sender = Participant(user_id=calling, address="127.0.0.1")
        return store(lambda: self.receiver.keep(instance), "C-STORE", sender, no_audit())

    def keep(self, encoded: bytes, image: Dataset, syntax: UID) -> int:
        """Receive a data set that is encoded already."""
        instance = replace(received(image), encoded=encoded, transfer_syntax_uid=syntax)
        return store(lambda: self.receiver.keep(instance), "C-STORE", Participant(user_id="PACS"), no_audit())

    def stored(self) -> tuple[str, ...]:
        self.receiver.wait_until_recorded()
        return self.journal.series.stored_uids("1.2.3")


@pytest.fixture
def node(journal: Journal, tmp_path: Path) -> Iterator[Receiving]:
    node = Receiving(journal, tmp_path / "node")
    yield node
    node.receiver.close()


def image(number: int, **elements: Any) -> Dataset:  # noqa: ANN401 - DICOM values
    made = make_ct_instance(number, size=4)
    made.PatientName, made.PatientID = "DOE^JANE", "4711"
    made.PatientBirthDate, made.PatientSex, made.IssuerOfPatientID = "19500101", "F", "NORTH"
    for keyword, value in elements.items():
        setattr(made, keyword, value)
    return made


OTHER = {"PatientName": "ROE^RICHARD", "PatientID": "4712", "PatientBirthDate": "19500102", "PatientSex": "M"}


@pytest.mark.parametrize("keyword", OTHER)
def test_an_instance_of_another_patient_is_refused_in_one_line_without_patient_data(
    node: Receiving, keyword: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert node.status(image(1)) == SUCCESS
    assert node.status(image(2, **{keyword: OTHER[keyword]})) == OTHER_PATIENT
    assert node.status(image(3)) == SUCCESS, "the patient of the series stays"

    assert node.stored() == ("1.2.3.1", "1.2.3.3")
    (line,) = caplog.messages
    assert line == (
        "C-STORE from SENDER (127.0.0.1) answered 0xC101: instance 1.2.3.2 is of another patient than its series "
        f"1.2.3: 1 elements differ: {keyword}"
    )


def test_another_patient_is_refused_after_a_restart_too_by_the_files_alone(node: Receiving) -> None:
    node.status(image(1))
    node.restart()

    assert node.status(image(2, **OTHER)) == OTHER_PATIENT
    assert node.status(image(3)) == SUCCESS


def test_what_the_first_instance_leaves_out_is_known_from_the_next(node: Receiving) -> None:
    unknown = image(1)
    del unknown.PatientID, unknown.PatientName
    assert node.status(unknown) == SUCCESS
    assert node.status(image(2)) == SUCCESS
    assert node.status(image(3, PatientID="4712")) == OTHER_PATIENT


def test_other_writing_of_the_same_patient_is_received(node: Receiving) -> None:
    node.status(image(1))

    assert node.status(image(2, PatientName="Doe^Jane^^", PatientID="4711 ")) == SUCCESS
    assert node.status(image(3, PatientName="", PatientSex="", SpecificCharacterSet="ISO_IR 192")) == SUCCESS


def test_another_series_may_be_of_another_patient(node: Receiving) -> None:
    node.status(image(1))
    other = make_ct_instance(1, "1.2.4", size=4)
    other.PatientID = "4712"

    assert node.status(other) == SUCCESS


def test_a_series_whose_files_were_deleted_may_come_of_another_patient(node: Receiving) -> None:
    node.status(image(1))
    node.stored()
    node.spool.remove_series("1.2.3")
    node.journal.series.mark_done("1.2.3")
    node.journal.series.forget("1.2.3")

    assert node.status(image(1, **OTHER)) == SUCCESS


def test_a_corrected_study_replaces_the_first_and_then_refuses_the_wrong_patient(
    node: Receiving, caplog: pytest.LogCaptureFixture
) -> None:
    for number in (1, 2):
        node.status(image(number, **OTHER))
    for number in (1, 2, 3):
        assert node.status(image(number)) == SUCCESS, "the third is new, and of the right patient"

    assert node.status(image(4, **OTHER)) == OTHER_PATIENT
    assert node.stored() == ("1.2.3.1", "1.2.3.2", "1.2.3.3")
    assert sum("was stored with other content, and is a new version" in line for line in caplog.messages) == 2
    assert not any(secret in line for line in caplog.messages for secret in SECRETS)


def test_other_content_is_refused_by_setting_and_the_same_content_never(journal: Journal, tmp_path: Path) -> None:
    node = Receiving(journal, tmp_path / "refusing", refuses_changes=True)
    node.status(image(1))
    node.stored()
    before = journal.series.data_sets("1.2.3")

    assert node.status(image(1, RescaleIntercept=-1000)) == CHANGED_INSTANCE
    assert node.status(image(1), calling="ANOTHER") == SUCCESS
    node.stored()
    assert journal.series.data_sets("1.2.3") == before
    assert before["1.2.3.1"] == data_set_sha256(node.spool.instance_path("1.2.3", "1.2.3.1"))
    node.receiver.close()


def test_other_content_is_refused_at_once_when_its_row_is_not_written_yet(journal: Journal, tmp_path: Path) -> None:
    node = Receiving(journal, tmp_path / "refusing", refuses_changes=True)
    node.receiver.keep(received(image(1)))
    with pytest.raises(ChangedInstance, match=r"instance 1\.2\.3\.1 of series 1\.2\.3: "):
        node.receiver.keep(received(image(1, RescaleIntercept=-1000)))
    node.receiver.close()


def test_the_same_instance_from_another_sender_changes_nothing(node: Receiving) -> None:
    node.status(image(1))
    node.stored()
    node.journal.series.mark_done("1.2.3")
    node.status(image(1), calling="ANOTHER")

    assert node.stored() == ("1.2.3.1",)
    assert node.journal.series.quiet(4e9) == []


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, RLELossless], ids=str)
def test_what_a_pacs_encodes_anew_is_no_new_version(node: Receiving, syntax: UID, caplog: Any) -> None:  # noqa: ANN401
    first = image(1, ReferencedStudySequence=[Dataset()], PixelPaddingValue=-2000)
    first["PixelPaddingValue"].VR = "SS"
    assert node.status(first) == SUCCESS
    before = node.spool.instance_path("1.2.3", "1.2.3.1").read_bytes()
    again = deepcopy(first)
    again.add_new(0x00080000, "UL", 4711)  # a group length
    again.add_new(0x00090010, "LO", "PACS")
    if syntax == RLELossless:
        again.compress(RLELossless)
    del again.file_meta  # which would be encoded, too
    encoded = BytesIO()
    dcmwrite(encoded, again, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=True)

    assert node.keep(encoded.getvalue(), again, syntax) == SUCCESS

    assert node.spool.instance_path("1.2.3", "1.2.3.1").read_bytes() == before
    assert [line for line in caplog.messages if "version" in line] == []


def test_one_other_pixel_or_element_is_a_new_version(node: Receiving, caplog: pytest.LogCaptureFixture) -> None:
    node.status(image(1))
    for changed in ("PixelData", "ImageComments"):
        again = image(
            1, **({"PixelData": b"\1" * len(image(1).PixelData)} if changed == "PixelData" else {changed: "new"})
        )
        assert node.status(again) == SUCCESS

    assert sum("is a new version" in line for line in caplog.messages) == 2


def test_a_damaged_file_is_repaired_when_its_instance_comes_again(node: Receiving) -> None:
    node.status(image(1))
    node.stored()
    node.journal.series.mark_done("1.2.3")
    path = node.spool.instance_path("1.2.3", "1.2.3.1")
    path.write_bytes(path.read_bytes()[:-2] + b"\xff\xff")
    node.status(image(1))

    assert data_set_sha256(path) == node.journal.series.data_sets("1.2.3")["1.2.3.1"]
    assert [series.series_uid for series in node.journal.series.quiet(4e9)] == ["1.2.3"], "a failed job runs again"


def test_a_file_that_is_damaged_where_nobody_looks_is_repaired_too(node: Receiving) -> None:
    sent = image(1)
    sent.add_new(0x00090010, "LO", "SCANNER")
    node.status(sent)
    path = node.spool.instance_path("1.2.3", "1.2.3.1")
    stored = path.read_bytes()
    node.receiver.wait_until_recorded()
    path.write_bytes(stored.replace(b"SCANNER", b"SCANNEX"))

    assert node.status(sent) == SUCCESS
    assert path.read_bytes() == stored


def test_an_instance_that_could_not_be_written_does_not_name_the_patient(
    node: Receiving, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = Spool(node.folder, min_free_mb=1 << 40)
    node.receiver._spool = full
    assert node.status(image(1, **OTHER)) == 0xA700
    node.receiver._spool = node.spool

    assert node.status(image(1)) == SUCCESS
    assert node.status(image(2)) == SUCCESS


def test_hashes_that_an_older_journal_did_not_have_are_computed_at_the_next_start(node: Receiving) -> None:
    from sqlalchemy import text

    node.status(image(1))
    node.stored()
    node.journal.series.mark_done("1.2.3")
    before = node.journal.series.data_sets("1.2.3")
    with node.journal.database.write() as connection:
        connection.execute(text("UPDATE instances SET data_set_sha256 = ''"))
    node.restart()

    assert node.receiver.record_missing() == 1
    assert node.journal.series.data_sets("1.2.3") == before
    assert node.journal.series.quiet(4e9) == [], "nothing is analysed again"


def test_the_error_names_the_elements_and_not_what_they_say() -> None:
    refused = OtherPatient("1.2.3.2", "1.2.3", ("PatientID", "PatientName"))
    assert str(refused).endswith("2 elements differ: PatientID, PatientName")
