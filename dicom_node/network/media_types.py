"""Media types of requests and answers (PS3.18 8.7)."""

from __future__ import annotations

from pydicom.uid import ExplicitVRLittleEndian
from python_multipart.multipart import parse_options_header

DICOM = "application/dicom"
DICOM_JSON = "application/dicom+json"
BYTES = "application/octet-stream"


def read_media_type(text: str) -> tuple[str, dict[str, str]]:
    """Return a media type in lower case, and its parameters."""
    name, parameters = parse_options_header(text)
    decoded = {key.decode("latin-1"): value.decode("latin-1") for key, value in parameters.items()}
    return name.decode("latin-1"), decoded


def accepts_multipart(accept: str, content_type: str) -> bool:
    """Return whether an Accept header allows multipart/related of a type, in explicit VR little endian."""
    for text in accept.split(","):
        name, parameters = read_media_type(text)
        if name in ("*/*", "multipart/*"):
            return True
        is_type = parameters.get("type", content_type).lower() in (content_type, "*/*", "application/*")
        is_syntax = parameters.get("transfer-syntax", "*") in ("*", ExplicitVRLittleEndian)
        if name == "multipart/related" and is_type and is_syntax:
            return True
    return False
