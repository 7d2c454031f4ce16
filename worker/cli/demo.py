"""`lungspread demo`: send scans through the service and print the results."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from worker.cli.terminal import FAILED, exit_codes, out


@exit_codes()
def demo(
    ct: Annotated[
        list[Path] | None,
        typer.Option(exists=True, file_okay=False, help="Your own CT instead of the phantom; may be repeated."),
    ] = None,
    out_folder: Annotated[Path, typer.Option("--out", help="Receives all files of the demo.")] = Path("demo-out"),
) -> None:
    """Send two phantom scans through a small PACS, node and worker, and print the results beside the ground truth."""
    from worker.demo.run_demo import run_demo

    logging.getLogger().setLevel(logging.WARNING)
    raise typer.Exit(0 if run_demo(out, out_folder, ct or []) else FAILED)
