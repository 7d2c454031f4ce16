"""Tells how urgent the job of a series is: by its header, by the peer that sent it, or because we fetched it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydicom import Dataset

from dicom_node.dicom_file import read_file
from dicom_node.errors import UnreadableInstance
from dicom_node.jobs import Priority, priority_named
from dicom_node.journal.journal import Journal
from dicom_node.journal.schema import SENT
from dicom_node.priority.settings import PrioritySettings
from dicom_node.series import Series
from dicom_node.settings import Peer
from dicom_node.storage.spool import Spool


@dataclass(frozen=True, slots=True)
class Priorities:
    """The rules of a site, applied to received series."""

    settings: PrioritySettings
    peers: Sequence[Peer]
    journal: Journal
    spool: Spool

    def of(self, series: Series) -> Priority:
        """Return the priority of the job of a series.

        A scan that we fetched is of low priority, unless a STAT scan of the patient waits to be compared with it.
        """
        acquisition = self.journal.priors.acquisition(series.series_uid)
        if acquisition is None or acquisition.role == SENT:
            return self._of_sent(series.series_uid, series.sop_instance_uids)
        waiting = [] if acquisition.patient_key is None else self.journal.priors.scans_of(acquisition.patient_key)
        awaited = (scan for scan in waiting if scan.is_dirty and self._is_sent(scan.series_uid))
        is_stat = any(self._of_sent(scan.series_uid, scan.ct_uids) is Priority.STAT for scan in awaited)
        return Priority.STAT if is_stat else Priority.LOW

    def _is_sent(self, series_uid: str) -> bool:
        acquisition = self.journal.priors.acquisition(series_uid)
        return acquisition is not None and acquisition.role == SENT

    def _of_sent(self, series_uid: str, sop_instance_uids: Sequence[str]) -> Priority:
        header = self._header(series_uid, sop_instance_uids)
        for rule in self.settings.rules:
            if rule.holds(header):
                return priority_named(rule.then)
        senders = {instance.calling_ae_title for instance in self.journal.series.instances(sop_instance_uids[:1])}
        of_peers = [priority_named(peer.priority) for peer in self.peers if peer.may_send and peer.ae_title in senders]
        return min(of_peers, default=Priority.ROUTINE)

    def _header(self, series_uid: str, sop_instance_uids: Sequence[str]) -> Dataset:
        """Return the elements that the rules need, of the first file; the worker reports one that cannot be read."""
        keywords = [rule.element for rule in self.settings.rules]
        for path in self.spool.instance_paths(series_uid, sop_instance_uids[:1]):
            try:
                return read_file(path, header_only=True, keywords=keywords)
            except (UnreadableInstance, OSError):
                break
        return Dataset()
