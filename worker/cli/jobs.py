"""`lungspread jobs`: list the received series and the state of their jobs."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer
from rich.table import Table

from worker.cli.terminal import Config, exit_codes, out


@exit_codes()
def jobs(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
    state: Annotated[
        list[str] | None, typer.Option(help="Only this state, for example failed; may be repeated.")
    ] = None,
    config: Config = None,
) -> None:
    """List every series with the state of its job, the reason, and how it suited among those of its study."""
    from worker.cli.journal_jobs import list_jobs
    from worker.settings import load_settings

    wanted = {each.upper() for each in state or ()}
    rows = [row for row in list_jobs(load_settings(config)) if not wanted or row["state"] in wanted]
    if as_json:
        sys.stdout.write(json.dumps(rows, indent=1) + "\n")
        return
    table = Table("job", "series", "instances", "state", "priority", "reason", "selection")
    for row in rows:
        table.add_row(
            str(row["job_key"] or "")[:12],
            *(str(row[key] or "") for key in ("series_uid", "instances", "state", "priority", "reason", "selection")),
        )
    out.print(table)
