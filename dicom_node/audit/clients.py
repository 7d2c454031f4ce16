"""Audits what a node does as a client: queries, retrievals and deliveries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from pydicom import Dataset

from dicom_node.audit.queries import AuditedQuery, find_query, url_query
from dicom_node.audit.trail import AuditTrail, of_peer
from dicom_node.dicom_file import DAMAGE, read_file, value_of
from dicom_node.errors import PacsUnavailable, UnreadableInstance
from dicom_node.identifiers import STUDY_ROOT_FIND
from dicom_node.network.scu import Retrieval, StoreOutcome
from dicom_node.network.sender import Sender
from dicom_node.priors.source import Source, make_source, store_retrieved
from dicom_node.settings import NodeSettings, Peer
from dicom_node.storage.receiver import InstanceReceiver

_NO_UIDS = ("", "")


def audited_sources(
    peers: Sequence[Peer], node: NodeSettings, receiver: InstanceReceiver, audit: AuditTrail
) -> list[Source]:
    """Return an audited source for each of these peers, whose instances the receiver stores."""
    stores = {peer.name: partial(store_retrieved, receiver, peer) for peer in peers}
    return [AuditedSource(make_source(peer, node, stores[peer.name], receiver.retrieving), audit) for peer in peers]


class AuditedSource:
    """A source of prior studies whose queries and retrievals are audited."""

    def __init__(self, source: Source, audit: AuditTrail) -> None:
        self.peer = source.peer
        self._source, self._audit = source, audit

    def find(self, query: Dataset) -> list[Dataset]:
        """Return the matches of a query."""
        asked = self._audited(query)
        try:
            found = self._source.find(query)
        except PacsUnavailable as error:
            self._audit.asked(of_peer(self.peer), asked, error.why)
            raise
        self._audit.asked(of_peer(self.peer), asked)
        return found

    def retrieve(self, study_uid: str, series_uid: str) -> Retrieval:
        """Retrieve a series. What a C-MOVE sends arrives at the SCP, which audits it."""
        retrieval = self._source.retrieve(study_uid, series_uid)
        if self.peer.retrieve != "move":
            self._audit.fetched(of_peer(self.peer), study_uid, retrieval.completed, retrieval.failed)
        return retrieval

    def abort(self) -> None:
        """End the current call of another thread."""
        self._source.abort()

    def _audited(self, query: Dataset) -> AuditedQuery:
        with_values = self._audit.has_patient_ids
        if self.peer.retrieve != "wado":
            return find_query(query, STUDY_ROOT_FIND, with_values=with_values)
        parameters = [(element.keyword, str(element.value or "")) for element in query]
        return url_query(self.peer.dicomweb_url, parameters, with_values=with_values)


class AuditedSender:
    """A sender of result documents whose deliveries are audited, by study."""

    def __init__(self, sender: Sender, peer: Peer, audit: AuditTrail) -> None:
        self._sender, self._peer, self._audit = sender, of_peer(peer), audit

    def store(self, paths: Sequence[Path]) -> Iterator[StoreOutcome]:
        """Send each file, and yield each outcome."""
        uids = {path: _uids(path) for path in paths}
        for path, (study_uid, _) in uids.items():
            if study_uid:
                self._audit.sending(self._peer, study_uid, path)
        for outcome in self._sender.store(paths):
            study_uid, sop_class_uid = uids[outcome.path]
            self._audit.sent(self._peer, study_uid, sop_class_uid, str(outcome.error or ""))
            yield outcome

    def abort(self) -> None:
        """End the current call of another thread."""
        self._sender.abort()


def _uids(path: Path) -> tuple[str, str]:
    """Return study and SOP class of a file; empty if it cannot be read."""
    keywords = ["StudyInstanceUID", "SOPClassUID"]
    try:
        header = read_file(path, header_only=True, keywords=keywords)
        return str(value_of(header, keywords[0]) or ""), str(value_of(header, keywords[1]) or "")
    except (UnreadableInstance, *DAMAGE, OSError):
        return _NO_UIDS
