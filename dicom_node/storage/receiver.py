"""Takes an instance in, however it came: its file into the inbox, its line into the journal. Speaks with nobody."""

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
from dicom_node.journal.journal import Journal
from dicom_node.series import Instance
from dicom_node.storage.dataset_header import file_start, read_header
from dicom_node.storage.spool import Spool

LOCK_STRIPES = 64
_PREAMBLE = 132
_GROUP_LENGTH = 12
"""Bytes of the element (0002,0000), the first of the file meta information (PS3.10 7.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedInstance:
    """An encoded data set as it came, and what the sender says of it."""

    encoded: bytes | memoryview
    transfer_syntax_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    calling_ae_title: str
    is_fetched: bool
    """Whether it came because we asked for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceReceiver:
    """The way into inbox and journal, for any number of threads."""

    journal: Journal
    spool: Spool
    _one_at_a_time: list[threading.Lock] = field(
        default_factory=lambda: [threading.Lock() for _ in range(LOCK_STRIPES)]
    )

    def keep(self, arrival: ReceivedInstance) -> bool:
        """Put an instance on the disk and into the journal; False when it is another one than the sender named.

        Raises UnreadableInstance, SpoolFull, JournalUnavailable and OSError.
        """
        header = read_header(arrival.encoded, arrival.transfer_syntax_uid)
        if (arrival.sop_class_uid, arrival.sop_instance_uid) != (header.sop_class_uid, header.sop_instance_uid):
            return False
        start = file_start(header, arrival.transfer_syntax_uid)
        digest = hashlib.sha256(start)
        digest.update(arrival.encoded)
        instance = Instance(
            sop_instance_uid=header.sop_instance_uid,
            sop_class_uid=header.sop_class_uid,
            series_uid=header.series_uid,
            study_uid=header.study_uid,
            calling_ae_title=arrival.calling_ae_title,
            file_sha256=digest.hexdigest(),
        )
        # Two who send the same instance at once must not leave the file of one with the hash of the other.
        with self._one_at_a_time[hash(instance.sop_instance_uid) % LOCK_STRIPES]:
            self.spool.write_instance(instance.series_uid, instance.sop_instance_uid, start, arrival.encoded)
            self.journal.record_instance(instance, time.time(), arrival.is_fetched)
        return True

    def keep_file(self, file: bytes, calling_ae_title: str) -> None:
        """Take in a DICOM file that we asked for. Raises as `keep` does."""
        meta_end = _PREAMBLE + _GROUP_LENGTH
        try:
            meta = dcmread(BytesIO(file), stop_before_pixels=True, specific_tags=["SOPInstanceUID"]).file_meta
            (length,) = struct.unpack("<I", file[meta_end - 4 : meta_end])
            arrival = ReceivedInstance(
                encoded=memoryview(file)[meta_end + length :],
                transfer_syntax_uid=str(meta.TransferSyntaxUID),
                sop_class_uid=str(meta.MediaStorageSOPClassUID),
                sop_instance_uid=str(meta.MediaStorageSOPInstanceUID),
                calling_ae_title=calling_ae_title,
                is_fetched=True,
            )
        except (InvalidDicomError, AttributeError, struct.error, ValueError, EOFError) as error:
            raise UnreadableInstance(f"a file of {len(file)} bytes is not DICOM ({type(error).__name__})") from None
        if not self.keep(arrival):
            raise UnreadableInstance(f"instance {arrival.sop_instance_uid}: the file names another than its header")
