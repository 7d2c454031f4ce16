from __future__ import annotations

from dicom_node.identifiers import CT_IMAGE, CT_IMAGES, REPORTS
from dicom_node.network import contexts
from dicom_node.settings import Peer
from dicom_node.transfer_syntaxes import COMPRESSED, UNCOMPRESSED


def peer(**settings: bool) -> Peer:
    return Peer.model_validate({"name": "a", "ae_title": "A", "host": "127.0.0.1", "port": 1} | settings)


def accepted_of(each: Peer) -> set[str]:
    return {uid for service in contexts.ACCEPTED if service.is_for(each) for uid in service.sop_classes}


def test_a_peer_gets_the_services_of_its_settings() -> None:
    verification, commitment = "1.2.840.10008.1.1", "1.2.840.10008.1.20.1"
    assert accepted_of(peer()) == accepted_of(peer(send_results=True)) == {verification}
    assert accepted_of(peer(may_send=True)) == {verification, *CT_IMAGES, commitment}
    assert accepted_of(peer(storage_commitment=True)) == {verification, commitment}
    assert accepted_of(peer(query_priors=True)) > {verification, *CT_IMAGES, *REPORTS}


def test_the_contexts_of_a_retrieval_fit_into_one_association() -> None:
    proposed = contexts.proposed(contexts.GET, contexts.RETRIEVED_IMAGES, contexts.RETRIEVED_REPORTS)

    assert len(proposed) <= 128  # PS3.8 9.3.2.2
    assert (CT_IMAGE, tuple(UNCOMPRESSED)) in proposed
    for syntax in COMPRESSED:
        assert (CT_IMAGE, (syntax,)) in proposed
    assert all(syntaxes == tuple(UNCOMPRESSED) for sop_class, syntaxes in proposed if sop_class in REPORTS)


def test_results_are_proposed_as_the_statement_says() -> None:
    explicit, implicit = contexts.STORE.transfer_syntaxes

    proposed = contexts.proposed_for_files((sop_class, explicit) for sop_class in contexts.STORE.sop_classes)

    assert set(proposed) == {(uid, (syntax,)) for uid in contexts.STORE.sop_classes for syntax in (explicit, implicit)}


def test_a_compressed_file_is_proposed_unchanged_alone() -> None:
    assert contexts.proposed_for_files([(CT_IMAGE, COMPRESSED[0])]) == [(CT_IMAGE, (COMPRESSED[0],))]
