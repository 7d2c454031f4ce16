"""`lungspread timeline`: write a patient's timeline as JSON, CSV or Excel."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from worker.cli.terminal import Config, exit_codes


@exit_codes()
def timeline(
    patient: Annotated[str, typer.Argument(help="A patient key or its first digits, or an output folder.")] = "",
    csv: Annotated[Path | None, typer.Option(dir_okay=False, help="Also write a table without identities.")] = None,
    xlsx: Annotated[Path | None, typer.Option(dir_okay=False, help="The same table, for Excel.")] = None,
    subject: Annotated[str | None, typer.Option(help="Label of the patient in the tables.")] = None,
    listed: Annotated[bool, typer.Option("--list", help="List the patient keys and their scans.")] = False,
    config: Config = None,
) -> None:
    """Write a patient's timeline as JSON: every lesion on every scan, in days since the first scan."""
    if listed or not patient:
        _list_patients(config)
    else:
        _write_timeline(patient, subject, (csv, xlsx), config)


def _list_patients(config: Path | None) -> None:
    from worker.settings import load_settings
    from worker.timeline.search import list_patients

    for key, scans, analysed in list_patients(load_settings(config)):
        sys.stdout.write(f"{key}  {'1 scan' if scans == 1 else f'{scans} scans'}, {analysed} analysed\n")


def _write_timeline(
    patient: str, subject: str | None, tables: tuple[Path | None, Path | None], config: Path | None
) -> None:
    from worker.settings import load_settings
    from worker.timeline.export import write_tables
    from worker.timeline.search import find_timeline
    from worker.timeline.table import table_of

    found = find_timeline(load_settings(config), patient)
    if any(tables):
        write_tables(table_of(found, subject), *tables)
    sys.stdout.write(json.dumps(found.as_json(), indent=1, sort_keys=True) + "\n")
