"""`lungspread erase`: erase a patient from the data directory."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli.terminal import Config, exit_codes, out

if TYPE_CHECKING:
    from dicom_node.retention.erase import Eraser
    from worker.settings import Settings


@exit_codes()
def erase(
    patient: Annotated[
        str, typer.Argument(help="A patient key or its first digits (`lungspread timeline --list`).")
    ] = "",
    by_id: Annotated[
        bool, typer.Option("--id", help="Read a patient ID, and in a second line its issuer, from standard input.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Erase. Without it, only say what would be erased.")] = False,
    config: Config = None,
) -> None:
    """Erase a patient: received and fetched series, results, records and messages. What a PACS has is not touched.

    An ID is read from standard input, because command lines are seen by others and kept. Jobs at work are ended.
    The audit trail is kept: it names the studies that were received, sent and erased, by their UIDs, and the patient
    only where audit.patient_ids says so.
    """
    from dicom_node.retention.erase import Patient
    from worker.settings import load_settings

    if bool(patient) == by_id:
        raise typer.BadParameter("give a patient key, or --id")
    settings = load_settings(config)
    with _open_eraser(settings) as eraser:
        if by_id:
            patient_id, issuer = (sys.stdin.readline().strip() for _ in range(2))
            found = eraser.find(Patient(patient_id=patient_id, issuer=issuer))
        else:
            found = eraser.find(eraser.patient(patient))
        what = f"{len(found.series_uids)} series and the results of {len(found.job_keys)} jobs"
        if not yes:
            out.print(f"{what} would be erased; {found.undelivered} are not delivered. Repeat it with --yes")
            return
        counts = eraser.erase(found)
    out.print(f"{what} are erased, {counts['rows']} rows of the journal, {found.undelivered} were not delivered")
    out.print("What was delivered stays in the PACS, and what was copied from the data directory where it is")
    if settings.audit.enabled:
        also = " and the patient ID" if settings.audit.patient_ids else ""
        out.print(
            f"The audit trail keeps the UIDs of the {len(found.study_uids)} studies{also}: it says what was erased"
        )


@contextmanager
def _open_eraser(settings: Settings) -> Iterator[Eraser]:
    from dicom_node.audit.trail import AuditTrail
    from dicom_node.journal.journal import Journal
    from dicom_node.queue.redis_server import forget_messages, redis_url
    from dicom_node.retention.erase import Eraser
    from dicom_node.storage.spool import Spool, patient_salt

    data_dir = settings.node.data_dir
    url = redis_url(settings.queue, data_dir)
    audit = AuditTrail(settings.audit, settings.node)
    with Journal(settings.journal.url_in(data_dir)) as journal, closing(audit):
        yield Eraser(
            journal=journal,
            spool=Spool(data_dir),
            audit=audit,
            salt=patient_salt(data_dir),
            forget_messages=lambda job_keys: forget_messages(url, job_keys),
        )
