"""The servers of a node: the SCP of the DICOM network and, if it is enabled, the DICOMweb server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dicom_node.audit.trail import AuditTrail
from dicom_node.delivery.delivery import record_peer_report
from dicom_node.errors import SettingsError
from dicom_node.journal.journal import Journal
from dicom_node.network.acceptor import OpenScp
from dicom_node.network.scp import StorageScp
from dicom_node.settings import DicomwebSettings, NodeSettings, Peer
from dicom_node.storage.receiver import InstanceReceiver
from dicom_node.storage.spool import Spool

if TYPE_CHECKING:
    from dicom_node.dicomweb.server import RunningDicomweb


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenListeners:
    """Servers that listen until they are closed."""

    scp: OpenScp
    dicomweb: RunningDicomweb | None

    @property
    def port(self) -> int:
        """The port of the SCP."""
        return self.scp.port

    def close(self) -> None:
        """Stop listening, and end open associations and requests."""
        if self.dicomweb is not None:
            self.dicomweb.close()
        self.scp.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Listeners:
    """What a node listens for."""

    node: NodeSettings
    dicomweb: DicomwebSettings
    peers: Sequence[Peer]
    journal: Journal
    receiver: InstanceReceiver
    spool: Spool
    audit: AuditTrail

    def open(self) -> OpenListeners:
        """Start to listen, without blocking. Raises SettingsError if a port or a certificate cannot be used."""
        scp = self._open_scp()
        try:
            return OpenListeners(scp=scp, dicomweb=self._open_dicomweb() if self.dicomweb.enabled else None)
        except SettingsError:
            scp.close()
            raise

    def _open_scp(self) -> OpenScp:
        return StorageScp(
            node=self.node,
            peers=[peer for peer in self.peers if peer.has_address],
            commitments=self.journal.commitments,
            receiver=self.receiver,
            audit=self.audit,
            on_report=lambda report, peers: record_peer_report(
                self.journal.transactions, report, self.node, {peer.name for peer in peers if peer.storage_commitment}
            ),
        ).open()

    def _open_dicomweb(self) -> RunningDicomweb:
        from dicom_node.dicomweb.server import DicomwebServer  # imported here, because it takes a third of a second

        return DicomwebServer(
            settings=self.dicomweb,
            node=self.node,
            peers=self.peers,
            receiver=self.receiver,
            documents=self.journal.documents,
            spool=self.spool,
            audit=self.audit,
        ).open()
