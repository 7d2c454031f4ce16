"""The audit trail of a node: what the other rooms call, in the order in which a message comes about.

Refusals are logged and audited here, the first few of an address one by one, the others by their number.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, OrderedDict
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from dicom_node.audit import codes, events
from dicom_node.audit.events import Refusal
from dicom_node.audit.files import AuditFiles, remove_old
from dicom_node.audit.limiter import WINDOW_S, RefusalLimiter
from dicom_node.audit.message import AuditMessage, Participant
from dicom_node.audit.queries import AuditedQuery
from dicom_node.audit.sender import AuditSender
from dicom_node.audit.settings import AuditSettings
from dicom_node.audit.syslog import host_name, syslog_line
from dicom_node.audit.transfers import OpenTransfers, Tally, Transfer
from dicom_node.audit.transport import make_transport
from dicom_node.dicom_file import DAMAGE, read_file, value_of
from dicom_node.errors import UnreadableInstance
from dicom_node.loop import Loop
from dicom_node.series import Instance
from dicom_node.settings import NodeSettings, Peer
from dicom_node.storage.spool import Spool

log = logging.getLogger(__name__)

_LOGIN_S = 3600.0
"""A login is audited again when the peer has sent no request for this long."""
_MOST_LOGINS = 1000
_REMOVAL_S = 3600.0


class AuditTrail:
    """Writes audit messages, if they are enabled, and limits the log lines on refusals; thread-safe.

    Its methods take no longer than writing a line; `loops` do the rest.
    """

    def __init__(self, settings: AuditSettings, node: NodeSettings) -> None:
        """Raises SettingsError if a certificate cannot be read."""
        self._settings = settings
        self._spool = Spool(node.data_dir) if settings.patient_ids else None
        self._source_id = settings.source_id or node.ae_title
        self._local = Participant(user_id=node.ae_title, ae_title=node.ae_title, address=host_name())
        folder = settings.folder_in(node.data_dir)
        self._files = AuditFiles(folder, settings.rotate_mb) if settings.enabled else None
        self.sender: AuditSender | None = None
        """Sends the messages to the repository, if one is configured."""
        if settings.enabled and settings.syslog:
            self.sender = AuditSender(folder, make_transport(settings, node.connect_timeout_s))
        self._transfers = OpenTransfers()
        # Two, so that what any connection can cause does not use up what is audited.
        self._refusals, self._lines = RefusalLimiter(), RefusalLimiter()
        self._logins = OrderedDict[Participant, float]()
        self._next_removal = 0.0

    def loops(self) -> list[Loop]:
        """Return the loops that write and send what the other methods note, not started."""
        sending = [Loop("send audit messages", self.sender.step)] if self.sender is not None else []
        return [Loop("audit", self.step), *sending]

    def start(self) -> None:
        """Audit that the node has started."""
        self._record(events.application_activity(self._local, codes.APPLICATION_START, time.time()))

    def stop(self) -> None:
        """Audit what is open and that the node stops, and close the file."""
        self._tell(is_end=True)
        self._record(events.application_activity(self._local, codes.APPLICATION_STOP, time.time()))
        self.close()

    def close(self) -> None:
        """Sync and close the file."""
        if self._files is not None:
            self._files.close()

    def step(self, _now: float = 0.0) -> None:
        """Audit transfers that are over and refusals that were only counted, sync the file, and delete old ones."""
        self._tell()
        if self._files is None:
            return
        self._files.sync()
        if time.monotonic() >= self._next_removal:
            self._next_removal = time.monotonic() + _REMOVAL_S
            first_unsent = self.sender.first_unsent() if self.sender is not None else None
            remove_old(self._files.folder, self._settings.keep_days, first_unsent)

    def refused(self, kind: Refusal, by: Participant, line: str) -> None:
        """Log and audit that something was refused. line: what, from which address, and why; without patient data."""
        if self._refusals.admits(by.address, time.monotonic()):
            log.warning("%s", line)
            self._record(events.refused(kind, by, self._local, line, time.time()))

    def say(self, address: str, level: int, line: str) -> None:
        """Log a line about a peer that is not audited by itself."""
        if self._lines.admits(address, time.monotonic()):
            log.log(level, "%s", line)

    def logged_in(self, user: Participant) -> None:
        """Audit that a peer has shown its token, the first time and after an hour without a request."""
        now = time.monotonic()
        last = self._logins.pop(user, None)
        self._logins[user] = now
        while len(self._logins) > _MOST_LOGINS:
            self._logins.popitem(last=False)
        if last is None or now - last >= _LOGIN_S:
            self._record(events.logged_in(user, self._local, time.time()))

    def received(self, sender: Participant, instance: Instance) -> None:
        """Count an instance that a peer has sent and that we keep."""
        uids = (instance.series_uid, instance.sop_instance_uid)
        file = self._spool.instance_path(*uids) if self._spool is not None else None
        self._count(self._from(sender, instance.study_uid), instance.sop_class_uid, file=file)

    def not_received(self, sender: Participant, reason: str) -> None:
        """Count an instance that a peer has sent and that we have refused."""
        self._count(self._from(sender, ""), refusal=reason)

    def fetched(self, sender: Participant, study_uid: str, completed: int, failed: int) -> None:
        """Audit instances that we have retrieved on a connection of ours (C-GET, WADO-RS)."""
        transfer = Transfer(source=sender, destination=_requesting(self._local), study_uid=study_uid)
        tally = Tally(last_at=time.time(), quiet_since=0.0)
        tally.transferred += Counter({"": completed})
        tally.refused += Counter({"not sent": failed})
        self._record(*events.instances_transferred(transfer, tally, is_kept=True))

    def sending(self, receiver: Participant, study_uid: str, file: Path) -> None:
        """Audit that we begin to send results of a study; repeated attempts are told of once."""
        self._begin(self._to(receiver, study_uid), file)

    def sent(self, receiver: Participant, study_uid: str, sop_class_uid: str, refusal: str = "") -> None:
        """Count a result that we have sent. refusal: why the receiver has not stored it."""
        self._count(self._to(receiver, study_uid), sop_class_uid, refusal)

    def retrieved(self, receiver: Participant, study_uid: str, sop_class_uid: str, file: Path) -> None:
        """Count a result that a peer has retrieved."""
        transfer = Transfer(source=self._local, destination=_requesting(receiver), study_uid=study_uid)
        self._count(transfer, sop_class_uid, file=file)

    def asked(self, peer: Participant, query: AuditedQuery, failure: str = "") -> None:
        """Audit a query that we have sent. failure: why it was not answered."""
        self._record(events.query(self._local, peer, query, failure, time.time()))

    def answered(self, peer: Participant, query: AuditedQuery) -> None:
        """Audit a query that we have received."""
        self._record(events.query(peer, self._local, query, "", time.time()))

    def deleted(self, study_uid: str, why: str, patient_id: str = "") -> None:
        """Audit that received instances or results of a study were deleted. why: by which rule or command."""
        patient_id = patient_id if self.has_patient_ids else ""
        self._record(events.study_deleted(self._local, study_uid, why, patient_id, time.time()))

    @property
    def has_patient_ids(self) -> bool:
        """Whether messages name the patient."""
        return self._settings.patient_ids

    def _from(self, sender: Participant, study_uid: str) -> Transfer:
        return Transfer(source=_requesting(sender), destination=self._local, study_uid=study_uid)

    def _to(self, receiver: Participant, study_uid: str) -> Transfer:
        return Transfer(source=_requesting(self._local), destination=receiver, study_uid=study_uid)

    def _count(self, transfer: Transfer, sop_class_uid: str = "", refusal: str = "", file: Path | None = None) -> None:
        now = (time.time(), time.monotonic())
        if self._files is not None and not self._transfers.count(transfer, sop_class_uid, refusal, now):
            self._begin(transfer, file)
            self._transfers.count(transfer, sop_class_uid, refusal, now)

    def _begin(self, transfer: Transfer, file: Path | None) -> None:
        if self._files is None:
            return
        patient_id = patient_id_of(file) if self.has_patient_ids and file is not None else ""
        tally = Tally(last_at=time.time(), quiet_since=time.monotonic(), patient_id=patient_id)
        if self._transfers.begin(transfer, tally) and transfer.study_uid:
            self._record(events.begin_transferring(transfer, tally))

    def _tell(self, *, is_end: bool = False) -> None:
        now = time.monotonic()
        for left in self._refusals.left_out(now, is_end=is_end):
            line = f"... and {left.count} more refusals of {left.address} in {WINDOW_S:g} s"
            log.warning("%s", line)
            by = Participant(user_id=left.address, address=left.address)
            self._record(events.refused(Refusal.NODE, by, self._local, line, time.time()))
        for left in self._lines.left_out(now, is_end=is_end):
            log.warning("... and %d more lines about %s in %g s", left.count, left.address, WINDOW_S)
        for transfer, tally in self._transfers.pop_quiet(now, is_end=is_end).items():
            is_kept = replace(transfer.destination, is_requestor=False) == self._local
            self._record(*events.instances_transferred(transfer, tally, is_kept=is_kept))

    def _record(self, *messages: AuditMessage) -> None:
        if self._files is not None:
            for message in messages:
                self._files.append(syslog_line(message, self._source_id, self._settings.site_id))


def no_audit() -> AuditTrail:
    """Return a trail that writes no audit messages, and limits log lines all the same."""
    return AuditTrail(AuditSettings(enabled=False), NodeSettings())


def of_peer(peer: Peer, address: str = "") -> Participant:
    """Return a configured peer as a participant. address: where its request came from; empty: as configured."""
    host = peer.host or urlsplit(peer.dicomweb_url).hostname or ""
    return Participant(user_id=peer.name, ae_title=peer.ae_title, address=address or host)


def _requesting(participant: Participant) -> Participant:
    return replace(participant, is_requestor=True)


def patient_id_of(file: Path) -> str:
    """Return the patient ID of a DICOM file; empty if it cannot be read."""
    try:
        found = value_of(read_file(file, header_only=True, keywords=["PatientID"]), "PatientID")
    except (UnreadableInstance, *DAMAGE, OSError):
        return ""
    return str(found or "")
