"""`lungspread timeline`: a patient over time as JSON, and as a table for trials. Exit codes as in main.py."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from dicom_node.errors import NodeError
from worker.settings import load_settings

FAILED = 1


def timeline(
    patient: Annotated[str, typer.Argument(help="A patient key or its first digits, or an output folder.")] = "",
    csv: Annotated[Path | None, typer.Option(dir_okay=False, help="Also write a table without identities.")] = None,
    xlsx: Annotated[Path | None, typer.Option(dir_okay=False, help="The same table, for Excel.")] = None,
    subject: Annotated[str | None, typer.Option(help="Label of the patient in the tables.")] = None,
    listed: Annotated[bool, typer.Option("--list", help="List the patient keys and their scans.")] = False,
    config: Annotated[Path | None, typer.Option(help="lungspread.toml; else defaults and environment.")] = None,
) -> None:
    """Write the whole course of a patient as JSON: every lesion at every scan, in days since the first."""
    try:
        if listed or not patient:
            _list(config)
        else:
            _tell(patient, subject, (csv, xlsx), config)
    except NodeError as error:
        sys.stderr.write(f"lungspread: {error}\n")
        raise typer.Exit(FAILED) from None


def _list(config: Path | None) -> None:
    from worker.timeline.search import list_patients

    for key, scans, analysed in list_patients(load_settings(config)):
        sys.stdout.write(f"{key}  {'1 scan' if scans == 1 else f'{scans} scans'}, {analysed} analysed\n")


def _tell(patient: str, subject: str | None, tables: tuple[Path | None, Path | None], config: Path | None) -> None:
    from worker.timeline.export import write_tables
    from worker.timeline.search import find_timeline
    from worker.timeline.table import table_of

    found = find_timeline(load_settings(config), patient)
    if any(tables):
        write_tables(table_of(found, subject), *tables)
    sys.stdout.write(json.dumps(found, indent=1, sort_keys=True) + "\n")
