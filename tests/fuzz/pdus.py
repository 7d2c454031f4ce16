"""Well-formed PDUs, messages and HTTP requests, written by hand, for the mutations."""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence

from dicom_node.identifiers import COMMITMENT, COMMITMENT_INSTANCE, CT_IMAGE, VERIFICATION
from tests.fuzz.corpus import Sample

TITLES = (b"LUNGNODE", b"SENDER")
"""Called and calling."""
_IMPLICIT, _EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
CONTEXTS = ((1, CT_IMAGE, _EXPLICIT), (3, VERIFICATION, _IMPLICIT), (5, COMMITMENT, _IMPLICIT))
_NO_DATA_SET, _HAS_DATA_SET = 0x0101, 0x0001
_C_STORE, _C_ECHO, _N_EVENT_REPORT, _N_ACTION = 0x0001, 0x0030, 0x0100, 0x0130
_COMMAND, _LAST = 1, 2
"""Bits of the message control header (PS3.8 E.2)."""
_FRAGMENT = 1024

Fragment = tuple[int, int, bytes]
"""Presentation context ID, message control header, content."""


def pdu(kind: int, body: bytes, length: int | None = None) -> bytes:
    """Return a PDU (PS3.8 9.3): type, reserved, length, body."""
    return struct.pack(">BBI", kind, 0, len(body) if length is None else length) + body


def item(kind: int, body: bytes) -> bytes:
    """Return an item of a PDU (PS3.8 9.3.2)."""
    return struct.pack(">BBH", kind, 0, len(body)) + body


def association_request() -> bytes:
    """Return an A-ASSOCIATE-RQ of the allowed peer (PS3.8 table 9-11)."""
    items = item(0x10, b"1.2.840.10008.3.1.1.1")
    for number, abstract, transfer in CONTEXTS:
        items += item(0x20, bytes([number, 0, 0, 0]) + item(0x30, abstract.encode()) + item(0x40, transfer.encode()))
    items += item(0x50, item(0x51, struct.pack(">I", 16384)) + item(0x52, b"1.2.3") + item(0x55, b"FUZZ"))
    called, calling = (title.ljust(16) for title in TITLES)
    return pdu(1, struct.pack(">HH", 1, 0) + called + calling + bytes(32) + items)


def p_data(fragments: Sequence[Fragment]) -> bytes:
    """Return a P-DATA-TF PDU with these fragments (PS3.8 9.3.5)."""
    values = (struct.pack(">IBB", len(body) + 2, context, control) + body for context, control, body in fragments)
    return pdu(4, b"".join(values))


def command(field: int, sop_class_uid: str, *others: tuple[int, bytes], has_data_set: bool) -> bytes:
    """Return a command set (PS3.7 6.3.1), implicit VR little endian."""
    values = [
        (0x0003 if field == _N_ACTION else 0x0002, _padded(sop_class_uid)),  # requested, or affected
        (0x0100, struct.pack("<H", field)),
        (0x0110, struct.pack("<H", 1)),
        (0x0700, struct.pack("<H", 0)),
        (0x0800, struct.pack("<H", _HAS_DATA_SET if has_data_set else _NO_DATA_SET)),
        *others,
    ]
    encoded = b"".join(struct.pack("<HHI", 0, number, len(value)) + value for number, value in sorted(values))
    return struct.pack("<HHII", 0, 0, 4, len(encoded)) + encoded


def message(rng: random.Random, sample: Sample) -> tuple[int, bytes, bytes]:
    """Return context ID, command set and data set of a well-formed request."""
    kind = rng.choice(("store", "store", "store", "echo", "action", "report"))
    if kind == "echo":
        return 3, command(_C_ECHO, VERIFICATION, has_data_set=False), b""
    if kind == "store":
        number = rng.randrange(len(sample.files))
        uid = f"1.2.826.0.1.3680043.10.1511.77.{number + 1}"
        store = command(_C_STORE, CT_IMAGE, (0x1000, _padded(uid)), has_data_set=True)
        return 1, store, sample.files[number][sample.data_set_start(number) :]
    items = _implicit(0x00081199, _references("1.2.3.4"))
    data_set = _implicit(0x00081195, _padded("1.2.3.4.5")) + items
    if kind == "action":
        others = ((0x1001, _padded(COMMITMENT_INSTANCE)), (0x1008, struct.pack("<H", 1)))
        return 5, command(_N_ACTION, COMMITMENT, *others, has_data_set=True), data_set
    others = ((0x1000, _padded(COMMITMENT_INSTANCE)), (0x1002, struct.pack("<H", 1)))
    return 5, command(_N_EVENT_REPORT, COMMITMENT, *others, has_data_set=True), data_set


def fragments_of(context: int, command_set: bytes, data_set: bytes) -> list[Fragment]:
    """Return the fragments of a message."""
    parts = [data_set[at : at + _FRAGMENT] for at in range(0, len(data_set), _FRAGMENT)]
    data = [(context, _LAST if part is parts[-1] else 0, part) for part in parts]
    return [(context, _COMMAND | _LAST, command_set), *data]


def _references(uid: str) -> bytes:
    body = _implicit(0x00081150, _padded(CT_IMAGE)) + _implicit(0x00081155, _padded(uid))
    return b"\xfe\xff\x00\xe0" + struct.pack("<I", len(body)) + body


def _implicit(tag: int, value: bytes) -> bytes:
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(value)) + value


def _padded(uid: str) -> bytes:
    return uid.encode() + b"\0" * (len(uid) % 2)


def http_request(rng: random.Random, file: bytes) -> tuple[bytes, bytes]:
    """Return head and body of a well-formed DICOMweb request (PS3.18)."""
    root, study = "/dicom-web/studies", "1.2.826.0.1.3680043.10.1511.77.0"
    if rng.random() < 0.5:
        body = b"--fuzz\r\nContent-Type: application/dicom\r\n\r\n" + file + b"\r\n--fuzz--\r\n"
        kind = 'Content-Type: multipart/related; type="application/dicom"; boundary=fuzz'
        return f"POST {root} HTTP/1.1\r\nHost: node\r\n{kind}\r\nAccept: application/dicom+json\r\n".encode(), body
    path = rng.choice(
        (
            f"{root}?PatientID=1&limit=2&offset=1&includefield=all&fuzzymatching=true",
            f"{root}/{study}/series?Modality=SR&00080020=20200101-20260101",
            f"{root}/{study}/metadata",
            f"{root}/{study}/series/1.2/instances/1.3/bulkdata/7FE00010",
            f"{root}/{study}",
            "/dicom-web/instances?SOPInstanceUID=1.2,1.3",
        )
    )
    return f"GET {path} HTTP/1.1\r\nHost: node\r\nAccept: application/dicom+json\r\n".encode(), b""
