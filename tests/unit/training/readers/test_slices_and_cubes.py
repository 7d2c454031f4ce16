"""Readers of slices and cubes, and data that they refuse."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.fixtures.training.msd_data import write_msd
from training.data.cache import read_stacks
from training.data.prepare import DataSource, Prepared, Request, prepare
from training.readers.case import DataRefused


def prepared(cache: Path, **sources: Path) -> Prepared:
    return prepare(
        Request(sources=tuple(DataSource(kind=kind, path=path) for kind, path in sources.items()), cache=cache)
    )


def save(path: Path, grey: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(grey.astype(np.uint8)).save(path, lossless=path.suffix == ".webp")


def table(path: Path, rows: list[dict[str, object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def msd_slices(tmp_path: Path) -> Path:
    """Slices 3, 4 and 9 of one subject: lung at the upper left of the stored array, a tumour in slice 4."""
    folder = tmp_path / "msd-slices"
    for number in (3, 4, 9):
        grey, mask = np.full((8, 10), 100), np.zeros((8, 10))
        grey[:4, :5] = 10
        mask[1, 2] = 255 if number == 4 else 0
        save(folder / "Subject_5" / f"{number:03d}.webp", grey)
        save(folder / "Subject_5" / f"{number:03d}.mask.png", mask)
    table(folder / "subjects.csv", [{"subject": 5, "pixel_spacing_mm_estimated(512 grid)": 0.7, "n_slices": 3}])
    return folder


@pytest.fixture
def lidc_slices(tmp_path: Path) -> Path:
    """Two slices; reader 0 and 1 agree on one pixel, reader 0 alone marks another."""
    folder = tmp_path / "lidc-slices"
    for number in (0, 1):
        readers = np.zeros((6, 6))
        readers[2, 3], readers[2, 4] = 0b11, 0b01
        save(folder / "P1" / "nodule-0" / f"{number:03d}.webp", np.full((6, 6), 50))
        save(folder / "P1" / "nodule-0" / f"{number:03d}.readers.png", readers)
    row = {"patient_id": "P1", "nodule": "nodule-0", "n_slices": 2, "pixel_spacing_mm": 0.7, "slice_spacing_mm": 2.5}
    table(folder / "nodules.csv", [row])
    return folder


@pytest.fixture
def cubes(tmp_path: Path) -> Path:
    folder = tmp_path / "lidc-cubes"
    folder.mkdir()
    save_cubes(folder)
    return folder


def save_cubes(folder: Path, **changed: np.ndarray) -> None:
    hu, mask = np.full((5, 5, 5), -800, np.int16), np.zeros((5, 5, 5), np.uint8)
    mask[2, 2, 1:4] = 1
    arrays: dict[str, np.ndarray] = {
        "P1_nod0/hu": hu,
        "P1_nod0/mask": mask,
        **{key.replace("__", "/"): v for key, v in changed.items()},
    }
    np.savez_compressed(folder / "cubes.npz", allow_pickle=True, **{key: v for key, v in arrays.items() if v.size})


def test_whole_slices_become_runs_in_radiological_orientation(msd_slices: Path, tmp_path: Path) -> None:
    prepared(tmp_path / "cache", slices=msd_slices)

    first, second = read_stacks(tmp_path / "cache")
    assert [(s.name, s.first_slice, s.hu.shape) for s in (first, second)] == [
        ("Subject_5/003", 3, (2, 10, 8)),
        ("Subject_5/009", 9, (1, 10, 8)),
    ]
    # Stored (column, row from below): pixel (1, 2) is column 1 and the third row from below.
    assert np.argwhere(first.mask).tolist() == [[1, 10 - 1 - 2, 1]]
    assert (first.hu[0, 5:, :4] < -900).all()
    assert (first.hu[0, :5] == 0).all()
    assert first.spacing_mm == (1.25, 1.4, 1.4)
    assert first.estimated  # including Hounsfield units


def test_nodules_keep_their_readers_and_share_patients_with_the_cubes(
    lidc_slices: Path, cubes: Path, tmp_path: Path
) -> None:
    result = prepared(tmp_path / "cache", slices=lidc_slices, cubes=cubes)

    nodule, cube = read_stacks(tmp_path / "cache", {"P1"})
    assert (nodule.source, cube.source, result.read) == ("lidc", "lidc-cube", 2)
    assert nodule.readers is not None
    assert nodule.readers[1, 2].tolist() == [0, 0, 0, 3, 1, 0]
    assert nodule.mask[1, 2].tolist() == [False, False, False, True, True, False]
    assert (np.asarray(nodule.hu) == 50 * 8 - 1000).all()
    assert np.argwhere(cube.mask).tolist() == [[2, 2, 1], [2, 2, 2], [2, 2, 3]]
    assert (tmp_path / "cache" / "splits.json").read_text().count('"P1"') == 2  # in train and in fold-0 of lidc


AT = "Subject_5/004"
BROKEN_SLICES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a missing mask": (lambda f: (f / f"{AT}.mask.png").unlink(), f"{AT}.mask.png: missing, but its slice exists"),
    "a missing slice": (lambda f: (f / f"{AT}.webp").unlink(), f"{AT}.webp: missing, but its mask exists"),
    "mask value 7": (lambda f: save(f / f"{AT}.mask.png", np.full((8, 10), 7)), f"{AT}.mask.png: mask value 7, only 0"),
    "another size": (lambda f: save(f / f"{AT}.webp", np.zeros((8, 8))), "Subject_5: its slices and masks have 2"),
    "one value": (lambda f: save(f / f"{AT}.webp", np.full((8, 10), 9)), f"{AT}.webp: all of its pixels have one"),
    "damage": (lambda f: (f / f"{AT}.webp").write_bytes(b"RIFF"), f"{AT}.webp: cannot be decoded as a picture"),
    "no number": (lambda f: table(f / "subjects.csv", [{"subject": 5}]), "subjects.csv: row 1 lacks a column"),
    "an empty table": (lambda f: (f / "subjects.csv").write_text("subject\n"), "subjects.csv: has no row"),
    "no table": (lambda f: (f / "subjects.csv").unlink(), "neither subjects.csv nor nodules.csv found"),
}  # fmt: skip


@pytest.mark.parametrize(("broken", "named"), BROKEN_SLICES.values(), ids=BROKEN_SLICES.keys())
def test_broken_slices_are_refused_with_their_name(
    msd_slices: Path, tmp_path: Path, broken: Callable[[Path], object], named: str
) -> None:
    broken(msd_slices)

    with pytest.raises(DataRefused) as refused:
        prepared(tmp_path / "cache", slices=msd_slices)

    assert named in str(refused.value)
    assert not (tmp_path / "cache").exists()


def test_a_fifth_reader_is_refused(lidc_slices: Path, tmp_path: Path) -> None:
    save(lidc_slices / "P1/nodule-0/001.readers.png", np.full((6, 6), 16))

    with pytest.raises(DataRefused, match=r"P1/nodule-0/001.readers.png: mask value 16, four readers have bits 0 to 3"):
        prepared(tmp_path / "cache", slices=lidc_slices)


def test_a_table_with_another_number_of_slices_is_refused(lidc_slices: Path, tmp_path: Path) -> None:
    (lidc_slices / "P1/nodule-0/001.webp").unlink()
    (lidc_slices / "P1/nodule-0/001.readers.png").unlink()

    with pytest.raises(DataRefused, match=r"P1/nodule-0: 1 slice\(s\), the table states 2"):
        prepared(tmp_path / "cache", slices=lidc_slices)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"P1_nod0__mask": np.zeros(0)}, "cubes.npz: P1_nod0/mask is missing"),
        ({"P1_nod0__mask": np.full((5, 5, 5), 2)}, "P1_nod0 has a mask value other than 0 and 1"),
        ({"P1_nod0__mask": np.zeros((5, 5, 4))}, r"P1_nod0 has the shapes \(5, 5, 5\) and \(5, 5, 4\)"),
        ({"P1_nod0__hu": np.full((5, 5, 5), np.nan)}, "P1_nod0 contains values outside Hounsfield units"),
    ],
)
def test_broken_cubes_are_refused_with_their_name(
    cubes: Path, tmp_path: Path, changed: dict[str, np.ndarray], named: str
) -> None:
    save_cubes(cubes, **changed)

    with pytest.raises(DataRefused, match=named):
        prepared(tmp_path / "cache", cubes=cubes)


def test_a_truncated_file_of_cubes_is_refused(cubes: Path, tmp_path: Path) -> None:
    content = (cubes / "cubes.npz").read_bytes()
    (cubes / "cubes.npz").write_bytes(content[: len(content) // 2])

    with pytest.raises(DataRefused, match=r"cubes.npz: cannot be read as a file of arrays"):
        prepared(tmp_path / "cache", cubes=cubes)


def test_msd_and_its_slices_together_are_refused_since_patients_cannot_be_matched(
    msd_slices: Path, tmp_path: Path
) -> None:
    write_msd(tmp_path / "msd", patients=1)

    with pytest.raises(DataRefused, match=r"msd:.* and slices:.* name the patients of MSD differently"):
        prepared(tmp_path / "cache", slices=msd_slices, msd=tmp_path / "msd")
