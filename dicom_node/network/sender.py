"""What sends documents to a peer: C-STORE or STOW-RS, as its configuration says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from dicom_node.network.scu import PacsClient, StoreOutcome
from dicom_node.settings import NodeSettings, Peer


class Sender(Protocol):
    """Sends documents to one peer."""

    def store(self, paths: Sequence[Path]) -> Iterator[StoreOutcome]:
        """Send each file, and yield each outcome.

        Raises PacsUnavailable if the peer cannot store (more) now; the outcomes yielded before are final.
        """

    def abort(self) -> None:
        """End the current call of another thread; it raises PacsUnavailable there."""


def make_sender(peer: Peer, node: NodeSettings) -> Sender:
    """Return the client that sends documents to a peer."""
    if peer.deliver == "store":
        return PacsClient(peer, node)
    from dicom_node.network.stow import StowClient  # imported here: a node without DICOMweb starts sooner

    return StowClient(peer, node)
