"""The timeline table: rows checked by hand, the workbook read by openpyxl."""

from __future__ import annotations

import csv
import zipfile
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from openpyxl import load_workbook

from tests.fixtures.worker.make_comparisons import FIVE_DAYS, STORY, LesionSpec, compared, uid
from tests.fixtures.worker.make_reports import report
from worker.follow_up.comparison import Comparison
from worker.recist.timepoints import State
from worker.timeline.export import write_csv, write_xlsx
from worker.timeline.model import NoTimeline
from worker.timeline.patient_timeline import build_timeline
from worker.timeline.table import COLUMNS, TimelineTable, table_of


def table(folder: Path, comparison: Comparison | None = None, subject: str | None = "S-001") -> TimelineTable:
    return table_of(build_timeline([report(folder, 364, comparison or compared())], "f" * 64), subject)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def cells_of(path: Path, sheet: str) -> list[list[object]]:
    """The cells of a sheet as openpyxl reads them; None for an empty one."""
    book = load_workbook(path)
    try:
        return [list(row) for row in book[sheet].iter_rows(values_only=True)]
    finally:
        book.close()


def test_there_is_a_row_for_each_lesion_at_each_time_point(tmp_path: Path) -> None:
    write_csv(table(tmp_path), tmp_path / "course.csv")
    rows = rows_of(tmp_path / "course.csv")

    expected = [(str(day), uid(specs.number)) for day in FIVE_DAYS for specs in STORY if day in specs.seen]
    assert [(row["day"], row["tracking_uid"]) for row in rows] == expected
    assert {row["subject"] for row in rows} == {"S-001"}
    assert list(rows[0]) == list(COLUMNS)


def test_a_row_has_the_measurements_and_the_proposed_response(tmp_path: Path) -> None:
    write_csv(table(tmp_path), tmp_path / "course.csv")
    rows = {(row["day"], row["lesion"]): row for row in rows_of(tmp_path / "course.csv")}

    last = rows["364", "lesion-1"]
    assert (last["state"], last["role"], last["event"]) == ("present", "target", "same")
    assert (float(last["volume_ml"]), float(last["long_axis_mm"])) == (14.1372, 30.0)  # pi / 6 * 30^3 mm3
    assert float(last["volume_change_percent"]) == pytest.approx(37.17, abs=0.01)
    assert last["is_beyond_chance"] == "True"
    assert (last["sum_of_diameters_mm"], last["nadir_mm"], last["response"]) == ("53.0", "43.0", "PD")
    assert float(last["volume_ml_low"]) < 14.1372 < float(last["volume_ml_high"])
    assert (rows["364", "lesion-5"]["state"], rows["364", "lesion-5"]["merged_into"]) == ("merged", uid(1))
    assert (rows["364", "lesion-6"]["split_from"], rows["364", "lesion-7"]["possible_match"]) == (uid(2), uid(4))
    first = rows["0", "lesion-1"]
    assert (first["sum_of_diameters_mm"], first["response"], first["event"]) == ("50.0", "", "")


def test_roles_are_those_of_recist(tmp_path: Path) -> None:
    write_csv(table(tmp_path), tmp_path / "course.csv")
    roles = {row["lesion"]: row["role"] for row in rows_of(tmp_path / "course.csv")}

    assert roles == {
        "lesion-1": "target",
        "lesion-2": "target",
        "lesion-3": "new",
        "lesion-4": "non-target",
        "lesion-5": "non-target",
        "lesion-6": "target",  # split from lesion-2
        "lesion-7": "",  # in doubt
    }


def test_a_scan_without_a_lesion_has_one_row(tmp_path: Path) -> None:
    specs = [LesionSpec(number=1, seen={90: 12.0})]
    write_csv(table(tmp_path, compared(specs, (0, 90))), tmp_path / "course.csv")

    first, second = rows_of(tmp_path / "course.csv")

    assert (first["day"], first["tracking_uid"], first["burden_ml"]) == ("0", "", "0.0")
    assert (second["day"], second["role"], second["response"]) == ("90", "new", "PD")


def test_an_incomplete_sum_is_marked(tmp_path: Path) -> None:
    specs = [
        LesionSpec(number=1, seen={0: 20.0, 90: 20.0}),
        LesionSpec(number=2, seen={0: 15.0, 90: State.NOT_EVALUABLE}),
    ]
    write_csv(table(tmp_path, compared(specs, (0, 90))), tmp_path / "course.csv")

    last = rows_of(tmp_path / "course.csv")[-1]

    assert (last["sum_of_diameters_mm"], last["is_sum_complete"]) == ("20.0", "False")
    assert (last["state"], last["volume_ml"], last["is_burden_complete"]) == ("not evaluable", "", "False")


def test_the_workbook_has_the_rows_of_the_table_and_the_meanings_of_the_columns(tmp_path: Path) -> None:
    timeline_table = table(tmp_path)
    write_xlsx(timeline_table, tmp_path / "course.xlsx")

    head, *rows = cells_of(tmp_path / "course.xlsx", "timeline")
    assert head == list(COLUMNS)
    assert rows == [list(row) for row in timeline_table.rows]
    assert {type(row[head.index("is_burden_complete")]) for row in rows} == {bool}
    meanings = cells_of(tmp_path / "course.xlsx", "columns")
    assert [row[0] for row in meanings[1 : len(COLUMNS) + 1]] == list(COLUMNS)
    assert "not for diagnosis" in str(meanings[-1][1])


def test_the_same_timeline_writes_the_same_bytes(tmp_path: Path) -> None:
    timeline_table = table(tmp_path)
    for name in ("one", "two"):
        write_xlsx(timeline_table, tmp_path / f"{name}.xlsx")
        write_csv(timeline_table, tmp_path / f"{name}.csv")

    for kind in ("xlsx", "csv"):
        assert (tmp_path / f"one.{kind}").read_bytes() == (tmp_path / f"two.{kind}").read_bytes()


def test_the_workbook_has_no_time_of_writing(tmp_path: Path) -> None:
    write_xlsx(table(tmp_path), tmp_path / "course.xlsx")

    with zipfile.ZipFile(tmp_path / "course.xlsx") as book:
        assert {entry.date_time for entry in book.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        for name in book.namelist():
            assert f"{date.today():%Y-%m-%d}".encode() not in book.read(name), name
        assert b"1980-01-01T00:00:00Z" in book.read("docProps/core.xml")


def test_without_a_label_the_subject_is_the_prefix_of_the_key(tmp_path: Path) -> None:
    assert {row[0] for row in table(tmp_path, subject=None).rows} == {"f" * 12}


@pytest.mark.parametrize("subject", ["", "Doe^John", "=1+1", "a" * 65, "a b"])
def test_an_invalid_label_is_rejected(tmp_path: Path, subject: str) -> None:
    with pytest.raises(NoTimeline, match="--subject"):
        table(tmp_path, subject=subject)


def test_uids_of_other_software_are_not_in_the_table(tmp_path: Path) -> None:
    foreign_uid = "1.3.12.2.1107.5.1.4.20240101093000"
    comparison = compared([LesionSpec(number=1, seen={0: 20.0, 364: 20.0})], (0, 364))
    lesions = tuple(replace(each, tracking_uid=foreign_uid) for each in comparison.lesions)

    rows = table(tmp_path, replace(comparison, lesions=lesions, recist=None)).rows

    uids = {row[list(COLUMNS).index("tracking_uid")] for row in rows}
    assert len(uids) == 1
    assert uids != {foreign_uid}
    assert not any("Doe" in str(cell) or foreign_uid in str(cell) for row in rows for cell in row)
