from __future__ import annotations

from pathlib import Path

from dicom_node.journal.journal import Journal
from dicom_node.series import Instance

CT = "1.2.840.10008.5.1.4.1.1.2"
ONE = (CT, "1.2.3.1")
TWO = (CT, "1.2.3.2")


def test_a_commitment_request_is_due_until_it_is_closed(journal: Journal) -> None:
    assert journal.commitments.add("2.25.1", "pacs", [ONE, TWO], 100.0)

    (request,) = journal.commitments.due(100.0, "pacs", 10)
    assert (request.transaction_uid, request.peer, request.references) == (
        "2.25.1",
        "pacs",
        (ONE, TWO),
    )
    journal.commitments.close(request)
    assert journal.commitments.due(1e9, "pacs", 10) == []


def test_the_requests_of_one_peer_are_due_the_oldest_first_and_as_many_as_asked_for(journal: Journal) -> None:
    for number, peer in enumerate(("pacs", "another", "pacs", "pacs"), start=1):
        journal.commitments.add(f"2.25.{number}", peer, [ONE], 100.0 - number)

    assert [request.transaction_uid for request in journal.commitments.due(100.0, "pacs", 2)] == ["2.25.4", "2.25.3"]
    assert (journal.commitments.count_open("pacs"), journal.commitments.count_open("another")) == (3, 1)
    assert journal.commitments.close_others(["another"]) == 3
    assert (journal.commitments.count_open("pacs"), journal.commitments.count_open("another")) == (0, 1)


def test_a_postponed_commitment_request_is_due_again_later(journal: Journal) -> None:
    journal.commitments.add("2.25.1", "pacs", [ONE], 100.0)

    journal.commitments.postpone(journal.commitments.due(100.0, "pacs", 10)[0], 160.0)

    assert journal.commitments.due(159.0, "pacs", 10) == []
    assert [request.attempts for request in journal.commitments.due(160.0, "pacs", 10)] == [1]


def test_a_transaction_uid_is_used_once_by_a_peer_even_after_its_report(journal: Journal) -> None:
    journal.commitments.add("2.25.1", "pacs", [ONE], 100.0)

    assert not journal.commitments.add("2.25.1", "pacs", [TWO], 101.0)
    journal.commitments.close(journal.commitments.due(100.0, "pacs", 10)[0])
    assert not journal.commitments.add("2.25.1", "pacs", [TWO], 102.0)
    assert journal.commitments.add("2.25.1", "another", [TWO], 103.0)


def test_a_commitment_request_survives_a_restart(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/journal.db"
    with Journal(url) as before:
        before.commitments.add("2.25.1", "pacs", [ONE], 100.0)

    with Journal(url) as after:
        assert [request.references for request in after.commitments.due(100.0, "pacs", 10)] == [(ONE,)]


def test_stored_instances_are_returned_as_they_were_recorded(journal: Journal) -> None:
    instance = Instance(
        sop_instance_uid="1.2.3.1",
        sop_class_uid=CT,
        series_uid="1.2.3",
        study_uid="1.2",
        calling_ae_title="PACS",
        data_set_sha256="ab",
    )
    journal.series.record_instances([instance], 100.0)

    assert journal.series.instances(["1.2.3.1", "1.2.3.2"]) == [instance]
