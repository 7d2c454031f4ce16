"""`lungspread clean-up`: remove what has been kept long enough, or say what would be removed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from worker.cli.terminal import Config, exit_codes, out

if TYPE_CHECKING:
    from dicom_node.retention.clean_up import CleanUp
    from worker.settings import Settings


@exit_codes()
def clean_up(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    config: Config = None,
) -> None:
    """Remove what has been kept for as long as [retention] says, as the node does every hour."""
    import time

    from dicom_node.retention.clean_up import size_mb
    from worker.settings import load_settings

    with open_clean_up(load_settings(config)) as cleaning:
        planned = cleaning.plan(time.time())
        in_mb = size_mb(cleaning.spool, planned)
        if not dry_run:
            planned = cleaning.step(time.time())
    table = Table("what", "UID or key", "age in days", "by retention.")
    for what, removals in (("series", planned.series), ("results", planned.results), ("results", planned.leftovers)):
        for each in removals:
            table.add_row(what, each.name, f"{each.age_days:.0f}", each.setting)
    out.print(table)
    out.print(f"{in_mb:.0f} MiB {'would be' if dry_run else 'were'} removed")


@contextmanager
def open_clean_up(settings: Settings) -> Iterator[CleanUp]:
    """Open the journal, to remove what is old enough."""
    from dicom_node.audit.trail import AuditTrail
    from dicom_node.journal.journal import Journal
    from dicom_node.retention.clean_up import CleanUp
    from dicom_node.storage.spool import Spool

    audit = AuditTrail(settings.audit, settings.node)
    with Journal(settings.journal.url_in(settings.node.data_dir)) as journal, closing(audit):
        yield CleanUp(
            settings=settings.retention,
            peers=settings.peers,
            node=settings.node,
            journal=journal,
            spool=Spool(settings.node.data_dir),
            audit=audit,
        )
