"""Who may use the DICOMweb server: a peer is known by its bearer token (RFC 6750)."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence

from starlette.exceptions import HTTPException
from starlette.requests import Request

from dicom_node.audit.events import Refusal
from dicom_node.audit.message import Participant
from dicom_node.audit.trail import AuditTrail, of_peer
from dicom_node.setting_types import is_loopback
from dicom_node.settings import DicomwebSettings, Peer

_SCHEME = "bearer "


class Access:
    """The peers of the server, and the peer whose rights a request without a token has."""

    def __init__(self, peers: Sequence[Peer], settings: DicomwebSettings, audit: AuditTrail) -> None:
        self.audit = audit
        self._tokens = {
            token.encode("ascii"): peer for peer in peers if (token := peer.dicomweb_token.get_secret_value())
        }
        self._without_token = next((peer for peer in peers if peer.name == settings.peer_without_token), None)

    def require(self, request: Request, right: Callable[[Peer], bool]) -> Peer:
        """Return the peer that sends a request. Raises HTTPException: 401 if it is unknown, 403 without this right."""
        address = address_of(request)
        peer = self._peer(request.headers.get("Authorization", ""), address)
        if peer is None:
            why = "no peer has that token, or none was sent"
            by = Participant(user_id="unknown", address=address)
            self.audit.refused(Refusal.LOGIN, by, f"DICOMweb request from {address} answered 401: {why}")
            raise HTTPException(401, "a bearer token is needed", {"WWW-Authenticate": "Bearer"})
        if not right(peer):
            line = f"DICOMweb request from {address} ({peer.name}) answered 403: lungspread.toml does not allow it"
            self.audit.refused(Refusal.FUNCTION, of_peer(peer, address), line)
            raise HTTPException(403, f"{peer.name} may not do this")
        self.audit.logged_in(of_peer(peer, address))
        return peer

    def participant(self, request: Request, peer: Peer) -> Participant:
        """Return the peer that sends a request, for the audit trail."""
        return of_peer(peer, address_of(request))

    def _peer(self, authorization: str, address: str) -> Peer | None:
        if not authorization:
            return self._without_token if is_loopback(address) else None
        if not authorization.lower().startswith(_SCHEME):
            return None
        sent = authorization[len(_SCHEME) :].strip().encode("latin-1")
        found = [peer for token, peer in self._tokens.items() if hmac.compare_digest(token, sent)]
        return found[0] if found else None


def address_of(request: Request) -> str:
    """Return the address that a request comes from: the client's or its proxy's."""
    return request.client.host if request.client is not None else ""
