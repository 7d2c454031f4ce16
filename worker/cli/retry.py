"""`lungspread retry`, `prioritise` and `repair`: what a person changes of jobs and of damaged rows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Table

from worker.cli.terminal import Config, exit_codes, out


@exit_codes()
def retry(
    job: Annotated[str | None, typer.Argument(help="A job key, or its first digits.")] = None,
    series: Annotated[str | None, typer.Option(help="A Series Instance UID, instead of a job.")] = None,
    config: Config = None,
) -> None:
    """Queue a finished job again, or have a series analysed instead of the one of its study that was chosen.

    Results of the same job keep their UIDs.
    """
    from worker.cli.journal_jobs import retry_job, retry_series
    from worker.settings import load_settings

    if (job is None) == (series is None):
        raise typer.BadParameter("give a job, or --series")
    settings = load_settings(config)
    if job is not None:
        out.print(f"job {retry_job(settings, job)} is queued")
    elif series is not None:
        retry_series(settings, series)
        out.print(f"series {series} is chosen; the node queues its job")


@exit_codes()
def prioritise(
    job: Annotated[str, typer.Argument(help="A job key, or its first digits.")],
    priority: Annotated[str, typer.Argument(help="stat, high, routine or low.")],
    config: Config = None,
) -> None:
    """Change how urgent a job is: of the queued ones, a worker takes the most urgent next."""
    from dicom_node.jobs import Priority
    from worker.cli.journal_jobs import prioritise_job
    from worker.settings import load_settings

    if priority.upper() not in Priority.__members__:
        raise typer.BadParameter("the priorities are stat, high, routine and low")
    key = prioritise_job(load_settings(config), job, Priority[priority.upper()])
    out.print(f"job {key} is {priority}")


@exit_codes()
def repair(
    apply: Annotated[bool, typer.Option("--apply", help="Remove them, so that the node makes them again.")] = False,
    config: Config = None,
) -> None:
    """List the damaged rows of the journal, which are left out of all work until they are repaired.

    With --apply they are removed: jobs are queued again and their results keep their UIDs; received series are recorded
    from their files when the node starts again.
    """
    from worker.cli.journal_jobs import damaged_rows, repair_rows
    from worker.settings import load_settings

    settings = load_settings(config)
    table = Table("table", "row", "reason", "found")
    for row in damaged_rows(settings):
        found_at = datetime.fromtimestamp(row.found_at, UTC).isoformat(timespec="seconds")
        table.add_row(row.table, " ".join(row.key), row.reason, found_at)
    out.print(table)
    if apply:
        out.print(
            f"{repair_rows(settings)} rows are removed; start the node again if series or instances are among them"
        )
