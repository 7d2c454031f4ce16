"""The ways to ask a peer for earlier studies and to have them sent: one protocol, whatever the peer speaks.

Decides nothing about what is asked for. What comes is taken in by the same code as what is sent to the door.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from pydicom import Dataset

from dicom_node.errors import JournalUnavailable, SpoolFull, UnreadableInstance
from dicom_node.network.scu import Keep, PacsClient, Retrieval
from dicom_node.prior import CT_IMAGE, RESULTS
from dicom_node.priors.patient_identity import Identity
from dicom_node.priors.query import study_query
from dicom_node.settings import NodeSettings, Peer
from dicom_node.storage.receiver import InstanceReceiver

log = logging.getLogger(__name__)

_COOLDOWN_S = 30.0
_NOBODY = "LUNGSPREAD-DOCTOR-ASKS"
_ABORT_EVERY_S = 0.1


class Source(Protocol):
    """A peer that is asked for priors. Each method may raise PacsUnavailable."""

    peer: Peer

    def find(self, query: Dataset) -> list[Dataset]:
        """Return what matches a query of level STUDY or SERIES."""

    def retrieve(self, study_uid: str, series_uid: str) -> Retrieval:
        """Have a series sent to us; when this returns, what came lies in the inbox."""

    def abort(self) -> None:
        """End the call that another thread is in; it raises there."""


def make_source(peer: Peer, node: NodeSettings, keep: Keep) -> Source:
    """Return the way to ask this peer; `keep` takes what it answers a retrieval with."""
    if peer.retrieve == "wado":
        from dicom_node.network.dicomweb import DicomwebSource

        return DicomwebSource(peer, node, keep)
    return DimseSource(peer, node, keep)


def try_search(peer: Peer, node: NodeSettings) -> None:
    """Ask a peer for the studies of a patient whom nobody has. Raises PacsUnavailable."""
    make_source(peer, node, keep=lambda _uid, _file: None).find(study_query(Identity(patient_id=_NOBODY)))


class DimseSource:
    """Asks by C-FIND, retrieves by C-MOVE to our own AE title or by C-GET."""

    def __init__(self, peer: Peer, node: NodeSettings, keep: Keep) -> None:
        self.peer = peer
        self._ae_title = node.ae_title
        self._keep = keep
        self._client = PacsClient(peer, node)

    def find(self, query: Dataset) -> list[Dataset]:
        """C-FIND."""
        return self._client.find(query)

    def retrieve(self, study_uid: str, series_uid: str) -> Retrieval:
        """C-MOVE or C-GET a series, as the peer prefers it."""
        query = Dataset()
        query.QueryRetrieveLevel = "SERIES"
        query.StudyInstanceUID, query.SeriesInstanceUID = study_uid, series_uid
        if self.peer.retrieve == "get":
            return self._client.get(query, [CT_IMAGE, *RESULTS], self._keep)
        return self._client.move(query, self._ae_title)

    def abort(self) -> None:
        """End the association."""
        self._client.abort()


def take(intake: InstanceReceiver, peer: Peer, sop_instance_uid: str, file: bytes) -> None:
    """Take in what a peer answered a retrieval with; what cannot be taken in is missed when the series is counted."""
    try:
        intake.keep_file(file, peer.ae_title)
    except (UnreadableInstance, SpoolFull, JournalUnavailable) as error:
        log.warning("instance %s of %s was not taken in: %s", sop_instance_uid, peer.name, error)
    except OSError as error:
        log.warning("instance %s of %s was not taken in: errno %s", sop_instance_uid, peer.name, error.errno)


class PeerCooldown:
    """Which peers failed a moment ago: they are not asked again for a while, so that nobody waits for them twice."""

    def __init__(self, rest_s: float = _COOLDOWN_S) -> None:
        self._rest_s = rest_s
        self._failed: dict[str, tuple[float, str]] = {}

    def why(self, peer: Peer, now: float) -> str | None:
        """Return why a peer is not asked now; None when it may be."""
        until, why = self._failed.get(peer.name, (0.0, ""))
        return f"{why}, a moment ago" if now < until else None

    def begin(self, peer: Peer, why: str, now: float) -> None:
        """Let a peer rest after it failed."""
        self._failed[peer.name] = (now + self._rest_s, why)


@contextmanager
def aborted_at(source: Source, deadline: float) -> Iterator[None]:
    """End whatever the source is in at this time (UTC, seconds since 1970), and what it begins after."""
    done = threading.Event()

    def watch() -> None:
        done.wait(max(0.0, deadline - time.time()))
        while not done.wait(_ABORT_EVERY_S):
            source.abort()

    watcher = threading.Thread(target=watch, name=f"time limit for {source.peer.name}", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
