"""Who may use the DICOMweb server: a peer is known by its bearer token (RFC 6750)."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable, Sequence

from starlette.exceptions import HTTPException
from starlette.requests import Request

from dicom_node.settings import DicomwebSettings, Peer

log = logging.getLogger(__name__)

_SCHEME = "bearer "


class Access:
    """The peers of the server, and the peer whose rights a request without a token has."""

    def __init__(self, peers: Sequence[Peer], settings: DicomwebSettings) -> None:
        self._tokens = {
            token.encode("ascii"): peer for peer in peers if (token := peer.dicomweb_token.get_secret_value())
        }
        self._without_token = next((peer for peer in peers if peer.name == settings.peer_without_token), None)

    def require(self, request: Request, right: Callable[[Peer], bool]) -> Peer:
        """Return the peer that sends a request. Raises HTTPException: 401 if it is unknown, 403 without this right."""
        peer = self._peer(request.headers.get("Authorization", ""))
        if peer is None:
            log.warning("DICOMweb request answered 401: no peer has that token, or none was sent")
            raise HTTPException(401, "a bearer token is needed", {"WWW-Authenticate": "Bearer"})
        if not right(peer):
            log.warning("DICOMweb request from %s answered 403: lungspread.toml does not allow it", peer.name)
            raise HTTPException(403, f"{peer.name} may not do this")
        return peer

    def _peer(self, authorization: str) -> Peer | None:
        if not authorization:
            return self._without_token
        if not authorization.lower().startswith(_SCHEME):
            return None
        sent = authorization[len(_SCHEME) :].strip().encode("latin-1")
        found = [peer for token, peer in self._tokens.items() if hmac.compare_digest(token, sent)]
        return found[0] if found else None
