"""The journal: database of received series, jobs, deliveries and commitments, and the only source of their states.

Every method of its parts is one transaction, and may raise JournalUnavailable. All times are UTC, seconds since 1970,
passed by the caller.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from dicom_node.journal.commitments import CommitmentJournal
from dicom_node.journal.database import Database
from dicom_node.journal.deliveries import DeliveryJournal
from dicom_node.journal.documents import DocumentJournal
from dicom_node.journal.erasure import ErasureJournal
from dicom_node.journal.jobs import JobJournal
from dicom_node.journal.leases import LeaseJournal
from dicom_node.journal.priors import PriorJournal
from dicom_node.journal.quarantine import QuarantineJournal
from dicom_node.journal.selections import SelectionJournal
from dicom_node.journal.series import SeriesJournal
from dicom_node.journal.stored import StoredJournal
from dicom_node.journal.transactions import TransactionJournal
from dicom_node.journal.waiting_times import WaitingTimes


class Journal:
    """An open journal, used as a context manager: one database, and one part per kind of record; thread-safe."""

    def __init__(self, url: str) -> None:
        self.database = Database(url)
        self.series = SeriesJournal(self.database)
        self.jobs = JobJournal(self.database)
        self.leases = LeaseJournal(self.database)
        self.documents = DocumentJournal(self.database)
        self.deliveries = DeliveryJournal(self.database)
        self.transactions = TransactionJournal(self.database)
        self.commitments = CommitmentJournal(self.database)
        self.priors = PriorJournal(self.database)
        self.selections = SelectionJournal(self.database)
        self.waiting_times = WaitingTimes(self.database)
        self.stored = StoredJournal(self.database)
        self.erasure = ErasureJournal(self.database)
        self.quarantine = QuarantineJournal(self.database)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.database.close()
