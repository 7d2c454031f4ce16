"""Sources of prior studies: one interface for peers with C-FIND and C-MOVE, C-GET, or DICOMweb.

Retrieved instances are stored by the same code as instances that the SCP receives.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol

from pydicom import Dataset

from dicom_node.errors import InstanceRefused, JournalUnavailable, SpoolFull, UnreadableInstance
from dicom_node.network.scu import OnInstance, PacsClient, Retrieval
from dicom_node.priors.patient_identity import PatientIdentity
from dicom_node.priors.query import study_query
from dicom_node.settings import NodeSettings, Peer
from dicom_node.storage.receiver import InstanceReceiver, ReceivedInstance

log = logging.getLogger(__name__)

COOLDOWN_S = 30.0
"""A peer that failed is not queried for this long."""
_TEST_PATIENT_ID = "LUNGSPREAD-DOCTOR-ASKS"
_ABORT_INTERVAL_S = 0.1


Retrieving = Callable[[str], AbstractContextManager[object]]


class Source(Protocol):
    """A peer that is queried for priors. Its methods may raise PacsUnavailable."""

    peer: Peer

    def find(self, query: Dataset) -> list[Dataset]:
        """Return the matches of a query of level STUDY, SERIES or IMAGE."""

    def retrieve(self, study_uid: str, series_uid: str) -> Retrieval:
        """Retrieve a series; when this returns, its received instances are in the inbox."""

    def abort(self) -> None:
        """End the current call of another thread; it raises PacsUnavailable there."""


def make_source(
    peer: Peer, node: NodeSettings, on_instance: OnInstance, retrieving: Retrieving = nullcontext
) -> Source:
    """Return the source of this peer.

    on_instance: receives the instances of C-GET and WADO-RS. retrieving: entered with the Series Instance UID while a
    C-MOVE runs, whose instances arrive at the SCP.
    """
    if peer.retrieve == "wado":
        from dicom_node.network.dicomweb import DicomwebSource

        return DicomwebSource(peer, node, on_instance)
    return DimseSource(peer, node, on_instance, retrieving)


def try_search(peer: Peer, node: NodeSettings) -> None:
    """Query a peer for a patient ID that does not exist, as a test. Raises PacsUnavailable."""
    make_source(peer, node, on_instance=lambda _uid, _file: None).find(
        study_query(PatientIdentity(patient_id=_TEST_PATIENT_ID))
    )


class DimseSource:
    """A source with C-FIND, and C-MOVE to our own AE title or C-GET."""

    def __init__(
        self, peer: Peer, node: NodeSettings, on_instance: OnInstance, retrieving: Retrieving = nullcontext
    ) -> None:
        self.peer = peer
        self._ae_title = node.ae_title
        self._on_instance = on_instance
        self._retrieving = retrieving
        self._client = PacsClient(peer, node)

    def find(self, query: Dataset) -> list[Dataset]:
        """Return the matches of a query (C-FIND)."""
        return self._client.find(query)

    def retrieve(self, study_uid: str, series_uid: str) -> Retrieval:
        """Retrieve a series with C-MOVE or C-GET, as `peer.retrieve` configures."""
        query = Dataset()
        query.QueryRetrieveLevel = "SERIES"
        query.StudyInstanceUID, query.SeriesInstanceUID = study_uid, series_uid
        if self.peer.retrieve == "get":
            return self._client.get(query, self._on_instance)
        with self._retrieving(series_uid):
            return self._client.move(query, self._ae_title)

    def abort(self) -> None:
        """End the association in use."""
        self._client.abort()


def store_retrieved(
    receiver: InstanceReceiver, peer: Peer, sop_instance_uid: str, read: Callable[[], ReceivedInstance]
) -> None:
    """Store a retrieved instance; a failure is logged, and the series is then counted as incomplete."""
    try:
        if not receiver.keep(read()):
            raise UnreadableInstance("its data set has other UIDs than are declared for it")  # noqa: TRY301
    except (UnreadableInstance, InstanceRefused, SpoolFull, JournalUnavailable) as error:
        log.warning("instance %s from %s not stored: %s", sop_instance_uid, peer.name, error)
    except OSError as error:
        log.warning("instance %s from %s not stored: errno %s", sop_instance_uid, peer.name, error.errno)


class PeerCooldown:
    """Peers that failed recently; they are not queried again for `duration_s` seconds. Its times are monotonic."""

    def __init__(self, duration_s: float = COOLDOWN_S) -> None:
        self._duration_s = duration_s
        self._failed: dict[str, tuple[float, str]] = {}

    def reason(self, peer: Peer, now: float) -> str | None:
        """Return why a peer is not queried now; None if it may be queried."""
        until, why = self._failed.get(peer.name, (float("-inf"), ""))
        return f"{why}, less than {self._duration_s:g} s ago" if now < until else None

    def start(self, peer: Peer, why: str, now: float) -> None:
        """Start the cooldown of a peer after a failure."""
        self._failed[peer.name] = (now + self._duration_s, why)


@contextmanager
def aborted_at(source: Source, deadline: float) -> Iterator[None]:
    """Abort every call of the source after the deadline (seconds, monotonic), inside the with block."""
    done = threading.Event()

    def watch() -> None:
        done.wait(max(0.0, deadline - time.monotonic()))
        while not done.wait(_ABORT_INTERVAL_S):
            source.abort()

    watcher = threading.Thread(target=watch, name=f"time limit for {source.peer.name}", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
