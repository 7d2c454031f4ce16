"""`lungspread doctor`: check the installation and print a hint for each failure."""

from __future__ import annotations

import typer

from worker.cli.terminal import FAILED, Config, exit_codes, out


@exit_codes()
def doctor(config: Config = None) -> None:
    """Check everything that the service needs, and print a hint for each failure."""
    from worker.cli.checks import run_checks
    from worker.settings import load_settings

    failed = 0
    for check in run_checks(load_settings(config)):
        failed += not check.passed
        mark = "[green]ok[/]  " if check.passed else "[red]FAIL[/]"
        out.print(f"{mark} {check.subject}: {check.fact}", highlight=False, soft_wrap=True)
        if not check.passed:
            out.print(f"     -> {check.hint}", highlight=False, soft_wrap=True)
    if failed:
        raise typer.Exit(FAILED)
