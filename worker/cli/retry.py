"""`lungspread retry`: queue a finished job again, or choose another series of a study."""

from __future__ import annotations

from typing import Annotated

import typer

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
