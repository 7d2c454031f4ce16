"""Writes the timeline table as CSV (RFC 4180) and as an Excel workbook.

The same table writes the same bytes: the files hold no time of writing and no user name.
"""

from __future__ import annotations

import csv
from datetime import datetime
from pathlib import Path

from xlsxwriter import Workbook

from worker.product import PRODUCT, RESEARCH_SENTENCE
from worker.timeline.table import COLUMNS, TimelineTable

_FIXED_TIME = datetime(1980, 1, 1)
"""The time that XlsxWriter gives the ZIP entries of a workbook."""
_OPTIONS = {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False}


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
    meanings = [("column", "meaning"), *COLUMNS.items(), ("", ""), ("notice", RESEARCH_SENTENCE)]
    with Workbook(path, _OPTIONS) as book:
        book.set_properties({"author": PRODUCT, "created": _FIXED_TIME})
        bold = book.add_format({"bold": True})
        for name, rows in (("timeline", [tuple(COLUMNS), *table.rows]), ("columns", meanings)):
            sheet = book.add_worksheet(name)
            for number, row in enumerate(rows):
                sheet.write_row(number, 0, row, None if number else bold)
            sheet.autofit()
        book.get_worksheet_by_name("timeline").freeze_panes("E2")  # subject, day and lesion stay in view
