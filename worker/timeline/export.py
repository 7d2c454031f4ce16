"""Writes the timeline table as CSV (RFC 4180) and as an Excel workbook.

The same table writes the same bytes: the files hold no time of writing and no user name.
"""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from openpyxl import Workbook
from openpyxl.styles import Font
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.worksheet import Worksheet

from worker.product import PRODUCT, RESEARCH_SENTENCE
from worker.timeline.table import COLUMNS, TimelineTable, Value

_FIXED_TIME = datetime(1980, 1, 1)
"""The earliest date of a ZIP entry."""
_CLOCK = re.compile(rb"(<dcterms:(?:created|modified)[^>]*>)[^<]*(<)")


def write_tables(table: TimelineTable, csv_path: Path | None, xlsx_path: Path | None) -> None:
    """Write the table to each path that is not None."""
    if csv_path:
        write_csv(table, csv_path)
    if xlsx_path:
        write_xlsx(table, xlsx_path)


def write_csv(table: TimelineTable, path: Path) -> None:
    """Write the table as UTF-8 with a header line."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(table.rows)


def write_xlsx(table: TimelineTable, path: Path) -> None:
    """Write the table on one sheet and the meanings of its columns on another."""
    book = Workbook()
    book.properties.creator = PRODUCT
    sheet = book.worksheets[0]
    sheet.title = "course"
    _fill(sheet, [tuple(COLUMNS), *table.rows])
    sheet.freeze_panes = "E2"  # subject, day and lesion stay in view
    meanings = [("column", "meaning"), *COLUMNS.items(), ("", ""), ("notice", RESEARCH_SENTENCE)]
    _fill(book.create_sheet("columns"), meanings)
    buffer = io.BytesIO()
    book.save(buffer)
    path.write_bytes(_without_clock(buffer))


def _fill(sheet: Worksheet, rows: Sequence[Sequence[Value]]) -> None:
    for row in rows:
        sheet.append(list(row))
    for cell in sheet[1]:
        cell.font = Font(bold=True)
    for number, column in enumerate(zip(*rows, strict=True), start=1):
        longest = max(len(str(value)) for value in column if value is not None)
        sheet.column_dimensions[get_column_letter(number)].width = min(longest, 80) + 2


def _without_clock(buffer: io.BytesIO) -> bytes:
    """Return the workbook with a fixed time in its ZIP entries and properties."""
    rewritten = io.BytesIO()
    with zipfile.ZipFile(buffer) as source, zipfile.ZipFile(rewritten, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            entry = zipfile.ZipInfo(name, date_time=_FIXED_TIME.timetuple()[:6])
            entry.compress_type = zipfile.ZIP_DEFLATED
            content = _CLOCK.sub(rb"\g<1>" + _FIXED_TIME.isoformat().encode() + b"Z\\2", source.read(name))
            target.writestr(entry, content)
    return rewritten.getvalue()
