from __future__ import annotations

from pathlib import Path

from dicom_node.journal.journal import Journal
from dicom_node.series import Instance

CT = "1.2.840.10008.5.1.4.1.1.2"
ONE = (CT, "1.2.3.1")
TWO = (CT, "1.2.3.2")


def test_a_commitment_request_is_due_until_it_is_closed(journal: Journal) -> None:
    assert journal.add_commitment_request("2.25.1", "pacs", [ONE, TWO], 100.0)

    (request,) = journal.due_requests(100.0)
    assert (request.transaction_uid, request.peer, request.references) == (
        "2.25.1",
        "pacs",
        (ONE, TWO),
    )
    journal.close_request(request)
    assert journal.due_requests(1e9) == []


def test_a_postponed_commitment_request_is_due_again_later(journal: Journal) -> None:
    journal.add_commitment_request("2.25.1", "pacs", [ONE], 100.0)

    journal.postpone_request(journal.due_requests(100.0)[0], 160.0)

    assert journal.due_requests(159.0) == []
    assert [request.attempts for request in journal.due_requests(160.0)] == [1]


def test_a_transaction_uid_is_used_once_by_a_peer_even_after_its_report(journal: Journal) -> None:
    journal.add_commitment_request("2.25.1", "pacs", [ONE], 100.0)

    assert not journal.add_commitment_request("2.25.1", "pacs", [TWO], 101.0)
    journal.close_request(journal.due_requests(100.0)[0])
    assert not journal.add_commitment_request("2.25.1", "pacs", [TWO], 102.0)
    assert journal.add_commitment_request("2.25.1", "another", [TWO], 103.0)


def test_a_commitment_request_survives_a_restart(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/journal.db"
    before = Journal(url)
    before.add_commitment_request("2.25.1", "pacs", [ONE], 100.0)
    before.close()

    after = Journal(url)

    assert [request.references for request in after.due_requests(100.0)] == [(ONE,)]
    after.close()


def test_stored_instances_are_returned_as_they_were_recorded(journal: Journal) -> None:
    instance = Instance(
        sop_instance_uid="1.2.3.1",
        sop_class_uid=CT,
        series_uid="1.2.3",
        study_uid="1.2",
        calling_ae_title="PACS",
        file_sha256="ab",
    )
    journal.record_instance(instance, 100.0)

    assert journal.instances(["1.2.3.1", "1.2.3.2"]) == [instance]
