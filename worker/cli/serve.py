"""`lungspread serve`: run node, worker and an embedded Redis."""

from __future__ import annotations

import typer

from worker.cli.terminal import Config, exit_codes


@exit_codes()
def serve(config: Config = None) -> None:
    """Run node, worker and an embedded Redis on this machine."""
    from worker.cli.supervisor import run_service
    from worker.settings import load_settings

    raise typer.Exit(run_service(load_settings(config), config))
