"""Whatever is wrong with a received header: the instance is kept, or refused as unreadable, and nothing else happens.

200 damages are drawn; with `--hypothesis-profile=acceptance`, 2,000.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given

from dicom_node.dicom_file import read_file
from dicom_node.errors import UnreadableInstance
from dicom_node.journal.journal import Journal
from dicom_node.priors.patient_identity import PatientIdentity, read_identity
from dicom_node.selection.score import score_of
from dicom_node.selection.series_facts import read_facts
from dicom_node.storage.receiver import InstanceReceiver, ReceivedInstance, received_file
from dicom_node.storage.spool import Spool
from tests.conftest import make_ct_instance
from tests.fixtures.damaged_headers import SECRET, Damaged, damaged, data_set, dicom_file, elements_of

# As `configure_libraries` does; pytest has its own filters for each test.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")

ELEMENTS = elements_of(make_ct_instance(1))
CT_IMAGE, UID = "1.2.840.10008.5.1.4.1.1.2", "1.2.3.1"


class Node:
    """A receiver with its spool."""

    def __init__(self, folder: Path, journal: Journal) -> None:
        self.folder, self.spool = folder, Spool(folder)
        self.receiver = InstanceReceiver(journal.series, self.spool)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp("node")
    with Journal(f"sqlite:///{folder}/journal.db") as journal:
        made = Node(folder, journal)
        yield made
        made.receiver.close()


@given(damage=damaged(ELEMENTS, 1))
def test_a_damaged_instance_is_kept_or_refused_as_unreadable(node: Node, damage: Damaged) -> None:
    elements = damage(ELEMENTS, 0)
    encoded = data_set(elements, damage.syntax)
    instance = ReceivedInstance(
        encoded=encoded,
        transfer_syntax_uid=damage.syntax,
        sop_class_uid=CT_IMAGE,
        sop_instance_uid=UID,
        calling_ae_title="SENDER",
        is_fetched=False,
    )
    node.spool.remove_series("1.2.3")  # what says the same as what is stored would not be written
    try:
        is_kept = node.receiver.keep(instance)
    except UnreadableInstance as refused:
        check_line(refused)
    else:
        path = node.spool.instance_path("1.2.3", UID)
        assert not is_kept or not path.exists() or path.read_bytes().endswith(encoded)
    check_file(dicom_file(elements, damage.syntax), node)


def check_file(file: bytes, node: Node) -> None:
    """The same instance as a file: fetched by WADO-RS, asked for its patient, scored among the series of its study."""
    try:
        node.receiver.keep(received_file(file, "PEER", is_fetched=True))
    except UnreadableInstance as refused:
        check_line(refused)
    path = node.folder / "file.dcm"
    path.write_bytes(file)
    assert isinstance(read_identity(path), PatientIdentity)
    assert SECRET not in "".join(score_of(read_facts([path])).reasons)
    try:
        read_file(path)
    except UnreadableInstance as refused:
        check_line(refused)


def check_line(refused: UnreadableInstance) -> None:
    assert str(refused).isprintable()
    assert SECRET not in str(refused)
