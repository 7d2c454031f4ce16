"""Removes what has been kept for as long as the settings say."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dicom_node.audit.trail import AuditTrail
from dicom_node.journal.journal import Journal
from dicom_node.retention.folders import identity_in, study_in
from dicom_node.retention.plan import DAY_S, Plan, Removal, plan
from dicom_node.retention.settings import RetentionSettings
from dicom_node.settings import NodeSettings, Peer
from dicom_node.storage.spool import Spool

log = logging.getLogger(__name__)

_Remove = Callable[[Removal, float], bool]
"""Removes something at a time; False if it is in use again."""


@dataclass(frozen=True, slots=True)
class CleanUp:
    """Removes what the settings say. peers, node: by which it is known whose results wait for delivery."""

    settings: RetentionSettings
    peers: Sequence[Peer]
    node: NodeSettings
    journal: Journal
    spool: Spool
    audit: AuditTrail

    def plan(self, now: float) -> Plan:
        """Return what would be removed."""
        has_destinations = any(peer.send_results for peer in self.peers)
        stored = self.journal.stored.all(has_destinations=has_destinations, with_backfill=self.node.deliver_backfill)
        return replace(plan(stored, self.settings, now), leftovers=tuple(self._leftovers(now)))

    def step(self, now: float) -> Plan:
        """Remove what is old enough, and return it. What a crash leaves is found by the next start or call."""
        planned = self.plan(now)
        by_study: dict[str, list[tuple[Removal, _Remove]]] = {}
        ways = ((planned.series, self._series), (planned.results, self._results), (planned.leftovers, self._leftover))
        for removals, remove in ways:
            for each in removals:
                by_study.setdefault(each.study_uid, []).append((each, remove))
        for study_uid, of_study in by_study.items():
            self._remove(study_uid, of_study, now)
        self._forget_old_records(now)
        return planned

    def _remove(self, study_uid: str, of_study: Sequence[tuple[Removal, _Remove]], now: float) -> None:
        """Remove what is old of a study, and audit that once."""
        patient_id = self._patient_id([each for each, _ in of_study])
        by_rules = {f"retention.{each.setting}" for each, remove in of_study if remove(each, now)}
        if by_rules and study_uid:
            self.audit.deleted(study_uid, ", ".join(sorted(by_rules)), patient_id)

    def _series(self, each: Removal, _now: float) -> bool:
        if not self.journal.series.forget(each.name):
            return False
        self.spool.remove_series(each.name)
        log.info("series %s removed after %.0f days: retention.%s", each.name, each.age_days, each.setting)
        return True

    def _results(self, each: Removal, now: float) -> bool:
        return self.journal.stored.mark_files_removed(each.name, now) and self._leftover(each, now)

    def _leftover(self, each: Removal, _now: float) -> bool:
        self.spool.remove_results(each.name)
        log.info("results of job %s removed after %.0f days: retention.%s", each.name, each.age_days, each.setting)
        return True

    def _patient_id(self, removals: Sequence[Removal]) -> str:
        """Return the patient ID in the files that are removed, for messages that name the patient."""
        if not self.audit.has_patient_ids:
            return ""
        folders = [parent / each.name for each in removals for parent in (self.spool.inbox, self.spool.outbox)]
        return next(filter(None, (identity_in(folder).patient_id for folder in folders)), "")

    def _leftovers(self, now: float) -> Iterator[Removal]:
        ages = {key: (now - at) / DAY_S for key, at in self.spool.results_written_at().items()}
        days = self.settings.results_days
        for key in sorted(ages.keys() - self.journal.stored.keys_with_files()):
            if days and ages[key] > days:
                study_uid = study_in(self.spool.outbox / key)
                yield Removal(name=key, study_uid=study_uid, setting="results_days", age_days=ages[key])

    def _forget_old_records(self, now: float) -> None:
        if self.settings.records_days == 0:
            return
        before = now - self.settings.records_days * DAY_S
        if old := self.journal.erasure.expired(before):
            self.journal.erasure.delete(old)
            log.info("the records of %d series are deleted: retention.records_days", len(old))
        self.journal.erasure.delete_closed(before)


def size_mb(spool: Spool, planned: Plan) -> float:
    """Return the size of what would be removed, in MiB."""
    series = [spool.inbox / each.name for each in planned.series]
    results = [spool.outbox / each.name for each in (*planned.results, *planned.leftovers)]
    return sum(map(folder_mb, (*series, *results)))


def folder_mb(folder: Path) -> float:
    """Return the size of the files below a folder, in MiB; one that is deleted meanwhile does not count."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                total += (Path(parent) / name).stat().st_size
    return total / 2**20
