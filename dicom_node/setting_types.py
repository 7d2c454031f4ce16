"""Types of settings that are checked as the standards have them: AE titles, addresses, tokens, URLs."""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_network
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr


def _ae_title(text: str) -> str:
    # PS3.5 table 6.2-1: at most 16 characters, no backslash, no control character, not only spaces.
    if not re.fullmatch(r"[ -\[\]-~]{1,16}", text) or not text.strip():
        raise ValueError("an AE title has 1 to 16 printable ASCII characters and no backslash")
    return text.strip()


def _token(secret: SecretStr) -> SecretStr:
    # RFC 6750 2.1: the characters of a bearer token.
    if not re.fullmatch(r"([A-Za-z0-9._~+/-]{16,}=*)?", secret.get_secret_value()):
        raise ValueError("a token has at least 16 letters, digits and -._~+/")
    return secret


def _address(text: str) -> str:
    try:
        ip_network(text)
    except ValueError:
        # RFC 1123 2.1: a host name; what has digits and dots alone is an address with a mistake.
        if not re.fullmatch(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?", text) or re.fullmatch(r"[0-9.]+", text):
            raise ValueError('an address, a network ("10.1.0.0/16"), a host name or "any"') from None
    return text


ANY_ADDRESS = "any"


def _header_value(secret: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[ -~]*", secret.get_secret_value()):
        raise ValueError("the value of a header has printable ASCII characters alone")
    return secret


def _url(text: str) -> str:
    try:
        _ = urlsplit(text).port
    except ValueError:  # its text quotes a part, which may be of the password
        raise ValueError("not a URL; a password in it is percent-encoded") from None
    return text


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine's own, which no other machine can listen to."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


AeTitle = Annotated[str, AfterValidator(_ae_title)]
PeerAddress = Annotated[str, AfterValidator(_address)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Token = Annotated[SecretStr, AfterValidator(_token)]
HeaderValue = Annotated[SecretStr, AfterValidator(_header_value)]
Url = Annotated[str, AfterValidator(_url)]
