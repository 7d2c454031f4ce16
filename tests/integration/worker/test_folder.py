from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.small_site import chest
from tests.fixtures.worker.phantom_timeline import TrueSegmenter
from worker.ct.files import dicom_files
from worker.ct.rejections import UnreadableFile
from worker.folder import analyse_folder
from worker.settings import WorkerSettings


def test_results_replace_all_earlier_results_and_no_other_file(tmp_path: Path) -> None:
    ct, out = tmp_path / "ct", tmp_path / "out"
    ct.mkdir()
    out.mkdir()
    for image in chest("1.2.7"):
        image.save_as(ct / f"{image.InstanceNumber}.dcm", enforce_file_format=True)
    for name in ("findings.json", "report.png", "report-2.png", "report-3.png", "seg.dcm", "notes.txt"):
        (out / name).write_text("of an earlier run")

    analyse_folder(ct, out, WorkerSettings(), TrueSegmenter(lesions=()), lambda _: None)

    unchanged = {path.name for path in out.iterdir() if path.read_bytes() == b"of an earlier run"}
    assert unchanged == {"notes.txt"}
    assert {"findings.json", "report.png"} <= {path.name for path in out.iterdir()}
    assert not (out / "report-2.png").exists()


def test_only_what_is_known_not_to_be_dicom_is_left_out(analysed: Callable[..., Any], tmp_path: Path) -> None:
    """A slice whose copy broke off, or that has no preamble, must not be missing without a word."""
    analysed([])
    folder = tmp_path / "ct"
    (first, *_) = whole = sorted(folder.glob("*.dcm"))
    others = {
        "DIRFILE": dicomdir(),
        ".hidden": b"\0",
        "LICENSE": b"Creative Commons\n" * 100,
        "series.json": b"{}",
        "page.PDF": b"%PDF-1.7 \0",
    }
    for name, content in others.items():
        (folder / name).write_bytes(content)
    empty, bare = folder / "empty.dcm", folder / "bare"
    empty.write_bytes(b"")
    bare.write_bytes(first.read_bytes()[132:])

    assert dicom_files(folder) == sorted([*whole, empty, bare])


@pytest.mark.parametrize("content", [b"", b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100"], ids=["empty", "no preamble"])
def test_a_series_with_a_file_that_cannot_be_read_is_refused(
    content: bytes, analysed: Callable[..., Any], tmp_path: Path
) -> None:
    analysed([])
    (tmp_path / "ct" / "012.dcm").write_bytes(content)

    with pytest.raises(UnreadableFile, match=r"file 12 of 12 cannot be read: not a DICOM object$"):
        analyse_folder(tmp_path / "ct", tmp_path, WorkerSettings(), TrueSegmenter(lesions=()), lambda _: None)


def dicomdir() -> bytes:
    """The beginning of a directory of a medium, as its file meta information names it (PS3.10 8.6)."""
    return bytes(128) + b"DICM" + b"\x02\x00\x02\x00UI\x14\x001.2.840.10008.1.3.10"
