"""HTTP sessions with the DICOMweb services of a peer."""

from __future__ import annotations

from pathlib import Path

import requests

from dicom_node.errors import SettingsError
from dicom_node.settings import Peer


def open_session(peer: Peer) -> requests.Session:
    """Return a session that sends the peer what authorises us. Raises SettingsError if `dicomweb_ca` is not a file."""
    if peer.dicomweb_ca and not Path(peer.dicomweb_ca).is_file():
        raise SettingsError(f"peers: dicomweb_ca of {peer.name} is not a file")
    session = requests.Session()
    session.trust_env = False  # no proxy or password from the environment: patient data go to the peer alone
    session.verify = peer.dicomweb_ca or True
    if secret := peer.dicomweb_authorization.get_secret_value():
        session.headers["Authorization"] = secret
    return session
