"""A modality that sends a series, awkwardly, and sends again what was not answered with success."""

from __future__ import annotations

import threading
import time

from pydicom import Dataset
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.presentation import build_context

from dicom_node.identifiers import CT_IMAGE
from tests.faults.pacs import NODE, without_delay
from tests.faults.plan import SeriesPlan
from tests.fixtures.small_site import chest

AE_TITLE = "SENDER"
_TIMEOUT_S = 3.0
_PAUSE_S = 0.2


class Sender(threading.Thread):
    """Sends one series; `acknowledged` has the instances that were answered with success."""

    def __init__(self, plan: SeriesPlan, port: int) -> None:
        super().__init__(daemon=True)
        self.plan = plan
        self.images = chest(plan.series_uid)
        for image in self.images:
            image.PatientID, image.PatientName = plan.series_uid[-16:], f"Fault^{plan.series_uid[-16:]}"
        self.acknowledged: set[str] = set()
        self.stopped = threading.Event()
        self._port = port
        self._aborts_after = plan.aborts_after

    @property
    def is_done(self) -> bool:
        """Whether every instance was acknowledged."""
        return len(self.acknowledged) == len(self.images)

    def run(self) -> None:
        """Send in time, late slices later, and all once more if that is planned."""
        self.stopped.wait(self.plan.at_s)
        first = len(self.images) - self.plan.late
        self._send(self.images[:first])
        if self.plan.late:
            self.stopped.wait(self.plan.late_after_s)
            self._send(self.images[first:])
        if self.plan.is_sent_twice:
            self._send(self.images)

    def _send(self, images: list[Dataset]) -> None:
        waiting = images
        while waiting and not self.stopped.is_set():
            waiting = self._attempt(waiting)
            if waiting:
                self.stopped.wait(_PAUSE_S)

    def _attempt(self, images: list[Dataset]) -> list[Dataset]:
        """Send over one association, and return what has to be sent again."""
        association = self._associate()
        again: list[Dataset] = []
        for number, image in enumerate(images):
            if number == self._aborts_after:
                self._aborts_after = None
                association.abort()
            if not association.is_established:
                return again + images[number:]
            if not self._stored(association, image):
                again.append(image)
        association.release()
        return again

    def _associate(self) -> Association:
        ae = AE(ae_title=AE_TITLE)
        ae.connection_timeout = ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = _TIMEOUT_S
        return ae.associate(
            "127.0.0.1",
            self._port,
            [build_context(CT_IMAGE)],
            ae_title=NODE,
            evt_handlers=[(evt.EVT_CONN_OPEN, without_delay)],
        )

    def _stored(self, association: Association, image: Dataset) -> bool:
        try:
            answer = association.send_c_store(image)
        except RuntimeError:  # the association has ended meanwhile
            return False
        is_stored = "Status" in answer and answer.Status == 0x0000
        if is_stored:
            self.acknowledged.add(str(image.SOPInstanceUID))
        return is_stored


def finish(senders: list[Sender], within_s: float) -> bool:
    """Wait until all have sent everything; False if they have not, and are stopped."""
    end = time.monotonic() + within_s
    for sender in senders:
        sender.join(max(0.0, end - time.monotonic()))
        sender.stopped.set()
    return all(sender.is_done for sender in senders)
