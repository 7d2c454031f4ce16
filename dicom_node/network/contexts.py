"""Presentation contexts of both roles as data: SCP, SCU and CONFORMANCE.md are made of these."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from pydicom.uid import (
    Comprehensive3DSRStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    SegmentationStorage,
)

from dicom_node.identifiers import (
    COMMITMENT,
    CT_IMAGES,
    REPORTS,
    SEGMENTATIONS,
    STUDY_ROOT_FIND,
    STUDY_ROOT_GET,
    STUDY_ROOT_MOVE,
    VERIFICATION,
)
from dicom_node.settings import Peer
from dicom_node.transfer_syntaxes import ALL, COMPRESSED, UNCOMPRESSED

MAX_CONTEXTS = 128
"""PS3.8 9.3.2.2: presentation context IDs are the odd numbers to 255."""

Permission = Literal["may_send", "send_results", "query_priors", "storage_commitment"]
"""A setting of a peer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedService:
    """A service that the node provides to peers with any of these permissions, or to all if there are none."""

    service: str
    sop_classes: Sequence[str]
    transfer_syntaxes: Sequence[str]
    permissions: Sequence[Permission] = ()
    has_both_roles: bool = False
    """Whether the requestor may select the SCP role, too."""

    def is_for(self, peer: Peer) -> bool:
        """Return whether the peer may use the service."""
        return not self.permissions or any(getattr(peer, permission) for permission in self.permissions)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestedService:
    """A service that the node uses, and of which peers. In each context, it proposes the transfer syntaxes in order."""

    service: str
    operation: str
    sop_classes: Sequence[str]
    peers: str
    """The settings of the peers that are asked for it, in words."""
    transfer_syntaxes: Sequence[str] = UNCOMPRESSED
    role: Literal["SCU", "SCP"] = "SCU"


ACCEPTED = (
    AcceptedService(service="Verification", sop_classes=[VERIFICATION], transfer_syntaxes=UNCOMPRESSED),
    AcceptedService(
        service="Storage",
        sop_classes=CT_IMAGES,
        transfer_syntaxes=ALL,
        permissions=["may_send", "query_priors"],
    ),
    AcceptedService(
        service="Storage", sop_classes=[*SEGMENTATIONS], transfer_syntaxes=ALL, permissions=["query_priors"]
    ),
    AcceptedService(
        service="Storage", sop_classes=[*REPORTS], transfer_syntaxes=UNCOMPRESSED, permissions=["query_priors"]
    ),
    AcceptedService(
        service="Storage Commitment",
        sop_classes=[COMMITMENT],
        transfer_syntaxes=UNCOMPRESSED,
        permissions=["may_send", "storage_commitment"],
        # PS3.4 J.3.3: a peer that reports on an association of its own proposes the SCP role for itself.
        has_both_roles=True,
    ),
)
"""The services of the SCP."""


def storage_syntaxes(peer: Peer) -> dict[str, Sequence[str]]:
    """Return the transfer syntaxes in which a peer may store instances, by SOP class."""
    services = [each for each in ACCEPTED if each.service == "Storage" and each.is_for(peer)]
    return {sop_class: each.transfer_syntaxes for each in services for sop_class in each.sop_classes}


ECHO = RequestedService(
    service="Verification", operation="C-ECHO", sop_classes=[VERIFICATION], peers="any (`lungspread doctor`)"
)
STORE = RequestedService(
    service="Storage",
    operation="C-STORE",
    sop_classes=[SegmentationStorage, Comprehensive3DSRStorage],
    peers="`send_results`",
    transfer_syntaxes=[ExplicitVRLittleEndian, ImplicitVRLittleEndian],
)
"""Of results. The contexts of an association follow from its files (`proposed_for_files`)."""
COMMIT = RequestedService(
    service="Storage Commitment", operation="N-ACTION", sop_classes=[COMMITMENT], peers="`storage_commitment`"
)
REPORT_COMMITMENT = RequestedService(
    service="Storage Commitment", operation="N-EVENT-REPORT", sop_classes=[COMMITMENT], peers="`may_send`", role="SCP"
)
FIND = RequestedService(
    service="Query/Retrieve",
    operation="C-FIND",
    sop_classes=[STUDY_ROOT_FIND],
    peers='`query_priors`, and `retrieve` is "move" or "get"',
)
MOVE = RequestedService(
    service="Query/Retrieve",
    operation="C-MOVE",
    sop_classes=[STUDY_ROOT_MOVE],
    peers='`query_priors`, and `retrieve` is "move"',
)
GET = RequestedService(
    service="Query/Retrieve",
    operation="C-GET",
    sop_classes=[STUDY_ROOT_GET],
    peers='`query_priors`, and `retrieve` is "get"',
)
RETRIEVED_IMAGES = RequestedService(
    service="Storage",
    operation="C-STORE in C-GET",
    sop_classes=[*CT_IMAGES, *SEGMENTATIONS],
    peers="those of C-GET",
    transfer_syntaxes=ALL,
    role="SCP",
)
RETRIEVED_REPORTS = RequestedService(
    service="Storage",
    operation="C-STORE in C-GET",
    sop_classes=[*REPORTS],
    peers="those of C-GET",
    role="SCP",
)
REQUESTED = (ECHO, STORE, COMMIT, REPORT_COMMITMENT, FIND, MOVE, GET, RETRIEVED_IMAGES, RETRIEVED_REPORTS)
"""The services of the SCU."""

Context = tuple[str, tuple[str, ...]]
"""Abstract syntax and transfer syntaxes of one presentation context."""


def proposed(*services: RequestedService) -> list[Context]:
    """Return the contexts that the node proposes for these services in one association.

    A peer accepts one transfer syntax per context, so each compressed one has a context of its own, after all others.
    """
    native = [
        (sop_class, tuple(syntax for syntax in service.transfer_syntaxes if syntax in UNCOMPRESSED))
        for service in services
        for sop_class in service.sop_classes
    ]
    compressed = [
        (sop_class, (syntax,))
        for service in services
        for sop_class in service.sop_classes
        for syntax in service.transfer_syntaxes
        if syntax in COMPRESSED
    ]
    return [*native, *compressed]


def proposed_for_files(kinds: Iterable[tuple[str, str]]) -> list[Context]:
    """Return one context per SOP class and transfer syntax of the files, so that they are sent unchanged if possible.

    Uncompressed files may also be sent as implicit VR, the default transfer syntax (PS3.5 10.1).
    """
    unchanged = set(kinds)
    native = {(sop_class, str(ImplicitVRLittleEndian)) for sop_class, syntax in unchanged if syntax in UNCOMPRESSED}
    pairs = sorted(unchanged) + sorted(native - unchanged)
    return [(sop_class, (syntax,)) for sop_class, syntax in pairs[:MAX_CONTEXTS]]
