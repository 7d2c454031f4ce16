"""`lungspread retry`: queue a finished job again."""

from __future__ import annotations

from typing import Annotated

import typer

from worker.cli.terminal import Config, exit_codes, out


@exit_codes()
def retry(job: Annotated[str, typer.Argument(help="A job key, or its first digits.")], config: Config = None) -> None:
    """Queue a finished job again; its results keep their UIDs."""
    from worker.cli.journal_jobs import retry_job
    from worker.settings import load_settings

    out.print(f"job {retry_job(load_settings(config), job)} is queued")
