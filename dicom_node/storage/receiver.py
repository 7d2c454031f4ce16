"""Stores a received or retrieved instance: its file in the inbox, its record in the journal."""

from __future__ import annotations

import hashlib
import struct
import threading
import time
from dataclasses import dataclass, field
from io import BytesIO

from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from dicom_node.errors import UnreadableInstance
from dicom_node.journal.series import SeriesJournal
from dicom_node.series import Instance
from dicom_node.storage.dataset_header import file_start, read_header
from dicom_node.storage.spool import Spool

LOCK_STRIPES = 64
_PREAMBLE = 132
_GROUP_LENGTH = 12
"""Bytes of the element (0002,0000), the first of the file meta information (PS3.10 7.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedInstance:
    """An encoded data set as received, and the UIDs that the sender declares for it."""

    encoded: bytes | memoryview
    transfer_syntax_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    calling_ae_title: str
    is_fetched: bool
    """Whether we requested it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceReceiver:
    """Stores instances in inbox and journal; thread-safe."""

    series: SeriesJournal
    spool: Spool
    _locks: list[threading.Lock] = field(default_factory=lambda: [threading.Lock() for _ in range(LOCK_STRIPES)])

    def keep(self, received: ReceivedInstance) -> bool:
        """Write an instance to disk and journal; False if its UIDs differ from those that the sender declares.

        Raises UnreadableInstance, SpoolFull, JournalUnavailable and OSError.
        """
        header = read_header(received.encoded, received.transfer_syntax_uid)
        if (received.sop_class_uid, received.sop_instance_uid) != (header.sop_class_uid, header.sop_instance_uid):
            return False
        start = file_start(header, received.transfer_syntax_uid)
        digest = hashlib.sha256(start)
        digest.update(received.encoded)
        instance = Instance(
            sop_instance_uid=header.sop_instance_uid,
            sop_class_uid=header.sop_class_uid,
            series_uid=header.series_uid,
            study_uid=header.study_uid,
            calling_ae_title=received.calling_ae_title,
            file_sha256=digest.hexdigest(),
        )
        # Two threads with the same instance must not leave the file of one with the hash of the other.
        with self._locks[hash(instance.sop_instance_uid) % LOCK_STRIPES]:
            self.spool.write_instance(instance.series_uid, instance.sop_instance_uid, start, received.encoded)
            self.series.record_instance(instance, time.time(), received.is_fetched)
        return True

    def keep_file(self, file: bytes, calling_ae_title: str) -> None:
        """Store a DICOM file that we requested. Raises the errors of `keep`."""
        meta_end = _PREAMBLE + _GROUP_LENGTH
        try:
            meta = dcmread(BytesIO(file), stop_before_pixels=True, specific_tags=["SOPInstanceUID"]).file_meta
            (length,) = struct.unpack("<I", file[meta_end - 4 : meta_end])
            received = ReceivedInstance(
                encoded=memoryview(file)[meta_end + length :],
                transfer_syntax_uid=str(meta.TransferSyntaxUID),
                sop_class_uid=str(meta.MediaStorageSOPClassUID),
                sop_instance_uid=str(meta.MediaStorageSOPInstanceUID),
                calling_ae_title=calling_ae_title,
                is_fetched=True,
            )
        except (InvalidDicomError, AttributeError, struct.error, ValueError, EOFError) as error:
            raise UnreadableInstance(f"a file of {len(file)} bytes is not DICOM ({type(error).__name__})") from None
        if not self.keep(received):
            raise UnreadableInstance(
                f"instance {received.sop_instance_uid}: data set and file meta information have different UIDs"
            )
