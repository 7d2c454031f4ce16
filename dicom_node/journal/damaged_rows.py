"""Makes records of the journal's rows, one by one: a damaged row is left out and reported, and stops no other.

A row is damaged if a disk, a person or a fault of the software left something in it that its column does not allow.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import JSON, Column, Connection, Row, Table, insert, select
from sqlalchemy.types import TypeDecorator

from dicom_node.errors import DamagedRecord
from dicom_node.journal.schema import quarantined

log = logging.getLogger(__name__)

Record = TypeVar("Record")
_REPORTED = "damaged rows"


@dataclass(frozen=True, slots=True, kw_only=True)
class DamagedRow:
    """A row that cannot be read. key: the values of its primary key, as a JSON list."""

    table: str
    key: str
    reason: str


def records(
    connection: Connection, table: Table, rows: Iterable[Row[Any]], record: Callable[[Row[Any]], Record]
) -> list[Record]:
    """Return the records of rows of a table; its primary key must be among their columns.

    Damaged ones are left out and, when the transaction ends, recorded in the quarantine.
    """
    found: list[Record] = []
    for row in rows:
        try:
            reason = fault_of(table, row)
            if reason is None:
                found.append(record(row))
        except (DamagedRecord, ValueError, TypeError, LookupError, AttributeError) as error:
            reason = str(error) if isinstance(error, DamagedRecord) else type(error).__name__
        if reason is not None:
            _report(connection, DamagedRow(table=table.name, key=_key_of(table, row), reason=reason))
    return found


def all_records(
    connection: Connection, table: Table, rows: Iterable[Row[Any]], record: Callable[[Row[Any]], Record]
) -> list[Record]:
    """Return the records of rows that are of use only together. Raises DamagedRecord if one of them is damaged."""
    selected = list(rows)
    found = records(connection, table, selected, record)
    if len(found) < len(selected):
        raise DamagedRecord(f"{len(selected) - len(found)} of {len(selected)} rows in {table.name} are damaged")
    return found


def fault_of(table: Table, row: Row[Any]) -> str | None:
    """Return what is wrong with a row, without quoting it; None if nothing is."""
    values = row._mapping
    for name, is_valid in _rules(table):
        if name in values and not is_valid(values[name]):
            return f"{name} is not valid"
    return None


def reported(connection: Connection) -> list[DamagedRow]:
    """Return, once, the damaged rows that were found on this connection."""
    found: list[DamagedRow] = connection.info.pop(_REPORTED, [])
    return found


def put_in_quarantine(connection: Connection, rows: Sequence[DamagedRow]) -> None:
    """Record damaged rows in the quarantine, and log those that are new in it."""
    for row in rows:
        same = select(quarantined).where(quarantined.c.table_name == row.table, quarantined.c.row_key == row.key)
        if connection.execute(same).first() is None:
            values = {"table_name": row.table, "row_key": row.key, "reason": row.reason, "found_at": time.time()}
            connection.execute(insert(quarantined).values(**values))
            log.error("journal: a row of %s is damaged and left out (%s): %s", row.table, row.reason, row.key)


def _report(connection: Connection, row: DamagedRow) -> None:
    connection.info.setdefault(_REPORTED, []).append(row)


def _key_of(table: Table, row: Row[Any]) -> str:
    return json.dumps([str(getattr(row, column.name)) for column in table.primary_key.columns])


@cache
def _rules(table: Table) -> list[tuple[str, Callable[[object], bool]]]:
    return [(column.name, _rule(column)) for column in table.columns]


def _rule(column: Column[Any]) -> Callable[[object], bool]:
    """Return the rule of a column's values: NULL where it may be, else the type, and what the schema says."""
    is_valid: Callable[[object], bool] = column.info.get("valid", lambda _: True)
    is_json = isinstance(column.type, JSON | TypeDecorator)
    kind, is_nullable = object if is_json else column.type.python_type, column.nullable
    return lambda value: bool(is_nullable) if value is None else isinstance(value, kind) and is_valid(value)
