"""Stores received and retrieved instances: their files in the inbox, their rows in the journal."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from dicom_node.dicom_file import value_of
from dicom_node.errors import ChangedInstance, UnreadableInstance
from dicom_node.journal.series import SeriesJournal
from dicom_node.series import Instance
from dicom_node.storage.content import data_set_sha256
from dicom_node.storage.dataset_header import (
    DECODING_ERRORS,
    Header,
    Origin,
    file_start,
    read_header,
    read_origin,
    split_file,
)
from dicom_node.storage.encoded_file import Encoded, pieces_of, sha256_of
from dicom_node.storage.recorder import InstanceRecorder, StoredInstance
from dicom_node.storage.same_content import MOST_COMPARED, says_the_same
from dicom_node.storage.series_patients import SeriesPatients
from dicom_node.storage.spool import Spool, checked_uid

log = logging.getLogger(__name__)

_LOCK_STRIPES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedInstance:
    """An encoded data set as received, and the UIDs that the sender declares for it."""

    encoded: Encoded
    transfer_syntax_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    calling_ae_title: str
    is_fetched: bool
    """Whether we requested it."""


class InstanceReceiver:
    """Stores instances in inbox and journal until it is closed; thread-safe.

    An instance is durable when its file is: its row is written soon after. The row is waited for where somebody
    counts on it: of an instance that we requested, and of one whose file replaces another.

    refuses_changes: an instance that is stored is not replaced by one of the same UID with other content.
    """

    def __init__(self, series: SeriesJournal, spool: Spool, *, refuses_changes: bool = False) -> None:
        self._series = series
        self._spool = spool
        self._refuses_changes = refuses_changes
        self._recorder = InstanceRecorder(series)
        self._patients = SeriesPatients(spool)
        self._retrieving: list[str] = []
        self._locks = [threading.Lock() for _ in range(_LOCK_STRIPES)]

    def require_room(self) -> None:
        """Raise SpoolFull if the disk has too little space."""
        self._spool.require_room()

    def close(self) -> None:
        """Write the rows of what was received."""
        self._recorder.close()

    @contextmanager
    def retrieving(self, series_uid: str) -> Iterator[None]:
        """Count what arrives of a series in the block as requested by us: some peers do not name who moves it."""
        self._retrieving.append(series_uid)
        try:
            yield
        finally:
            self._retrieving.remove(series_uid)

    def keep(self, received: ReceivedInstance) -> Instance | None:
        """Write an instance to disk, and its row soon after; None if its UIDs differ from those declared for it.

        Raises UnreadableInstance, InstanceRefused, SpoolFull, JournalUnavailable and OSError.
        """
        header = read_header(received.encoded, received.transfer_syntax_uid)
        if (received.sop_class_uid, received.sop_instance_uid) != (header.sop_class_uid, header.sop_instance_uid):
            return None
        is_fetched = received.is_fetched or header.series_uid in self._retrieving
        origin = Origin(calling_ae_title=received.calling_ae_title, is_fetched=is_fetched)
        start = file_start(header, received.transfer_syntax_uid, origin)
        self._recorder.require_available()
        # Two threads with the same instance must not leave the file of one with the hash of the other.
        with self._lock_of(header.sop_instance_uid):
            path = self._spool.instance_path(header.series_uid, header.sop_instance_uid)
            stored = _stored(header, origin, received.encoded)
            if not path.exists():
                self._write(header, (start, received.encoded), replaces=False)
                stored = replace(stored, is_repair=True, is_awaited=is_fetched)
            elif self._is_encoded_anew(header, (start, received.encoded), path):
                stored = replace(stored, data_set=split_file(path.read_bytes())[1], is_awaited=True)
            else:
                is_repair = self._is_repair(header, received, path)
                self._write(header, (start, received.encoded), replaces=True)
                stored = replace(stored, is_repair=is_repair, is_awaited=True)
            self._recorder.add(stored)
            if stored.is_awaited:
                stored.recorded.result()
        return stored.instance

    def _write(self, header: Header, parts: Sequence[Encoded], *, replaces: bool) -> None:
        self._patients.require_same(header, replaces=replaces)
        try:
            self._spool.write_instance(header.series_uid, header.sop_instance_uid, *parts)
        except BaseException:
            self._patients.forget(header.series_uid)
            raise

    def _is_encoded_anew(self, header: Header, file: tuple[bytes, Encoded], path: Path) -> bool:
        """Whether an instance that is sent again says the same as its file, which is kept, in another encoding.

        A damaged file is not kept, whatever it says.
        """
        start, encoded = file
        known = self._known_sha256(header.series_uid, header.sop_instance_uid, path)
        if len(encoded) > MOST_COMPARED or sha256_of(encoded) == known or data_set_sha256(path) != known:
            return False
        return says_the_same(path, start + b"".join(pieces_of(encoded)))

    def _is_repair(self, header: Header, received: ReceivedInstance, path: Path) -> bool:
        """Whether the file of an instance that is sent again was damaged; other content is logged, or refused.

        Raises ChangedInstance.
        """
        uid, series_uid = header.sop_instance_uid, header.series_uid
        known = self._known_sha256(series_uid, uid, path)
        if known == sha256_of(received.encoded):
            return data_set_sha256(path) != known
        if self._refuses_changes:
            what = 'it is stored with other content, and node.changed_instances is "refuse"'
            raise ChangedInstance(f"instance {uid} of series {series_uid}: {what}")
        what = "it was stored with other content, and is a new version"
        log.warning("instance %s of series %s from %s: %s", uid, series_uid, received.calling_ae_title, what)
        return False

    def _known_sha256(self, series_uid: str, sop_instance_uid: str, path: Path) -> str:
        """Return the hash of an instance whose file is there, by its row or, until that is written, by the file."""
        return self._series.data_set_sha256(series_uid, sop_instance_uid) or data_set_sha256(path)

    def wait_until_recorded(self) -> None:
        """Wait until the journal has all instances that were kept. Raises JournalUnavailable."""
        self._recorder.flush()

    def record_missing(self) -> int:
        """Write the rows of files in the inbox that the journal does not have, and return their number.

        The process was killed after it had written them. Call it at start. Raises JournalUnavailable.
        """
        missing = 0
        for series_uid in self._spool.series_uids():
            unrecorded = self._spool.instance_uids(series_uid) - self._series.recorded_uids(series_uid)
            paths = self._spool.instance_paths(series_uid, sorted(unrecorded))
            missing += sum(map(self._record_file, paths))
        self._recorder.flush()
        return missing

    def _record_file(self, path: Path) -> bool:
        with self._lock_of(path.stem):
            try:
                file = path.read_bytes()
                meta, encoded = split_file(file)
                header = read_header(encoded, str(value_of(meta, "TransferSyntaxUID")))
            except (UnreadableInstance, FileNotFoundError) as error:
                log.warning("instance %s is not recorded: %s", path.stem, type(error).__name__)
                return False
            self._recorder.add(_stored(header, read_origin(meta), encoded))
        return True

    def _lock_of(self, sop_instance_uid: str) -> threading.Lock:
        return self._locks[hash(sop_instance_uid) % len(self._locks)]


def received_file(file: bytes, calling_ae_title: str, *, is_fetched: bool) -> ReceivedInstance:
    """Return the instance of a DICOM file; its file meta information declares the UIDs. Raises UnreadableInstance."""
    meta, encoded = split_file(file)
    try:
        return ReceivedInstance(
            encoded=encoded,
            transfer_syntax_uid=checked_uid(str(meta.TransferSyntaxUID)),
            sop_class_uid=checked_uid(str(meta.MediaStorageSOPClassUID)),
            sop_instance_uid=checked_uid(str(meta.MediaStorageSOPInstanceUID)),
            calling_ae_title=calling_ae_title,
            is_fetched=is_fetched,
        )
    except DECODING_ERRORS as error:
        raise UnreadableInstance(f"a file of {len(file)} bytes is not DICOM ({type(error).__name__})") from None


def _stored(header: Header, origin: Origin, data_set: Encoded) -> StoredInstance:
    instance = Instance(
        sop_instance_uid=header.sop_instance_uid,
        sop_class_uid=header.sop_class_uid,
        series_uid=header.series_uid,
        study_uid=header.study_uid,
        calling_ae_title=origin.calling_ae_title,
        data_set_sha256="",  # computed by the recorder
    )
    return StoredInstance(instance=instance, data_set=data_set, is_fetched=origin.is_fetched)
