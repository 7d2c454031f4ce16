from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from typer.testing import CliRunner

from tests.fixtures.nifti import read_nifti, write_nifti, write_scaled, write_upright
from tests.fixtures.training.msd_data import SPACING_MM, chest, write_list, write_msd
from training.cli import app
from training.data.cache import manifest, read_stacks
from training.data.datasets import Stack
from training.data.prepare import DataSource, Prepared, Request, parse_source, prepare
from training.readers.case import DataRefused

ROOT = Path(__file__).parents[4]


def msd_of(folder: Path) -> DataSource:
    return DataSource(kind="msd", path=folder)


def prepared(cache: Path, *sources: DataSource, splits: Path | None = None, folds: int = 5) -> Prepared:
    return prepare(Request(sources=sources, cache=cache, splits=splits, folds=folds))


def same(one: Stack, other: Stack) -> bool:
    facts = [
        (stack.source, stack.patient, stack.name, stack.whole, np.asarray(stack.hu).dtype) for stack in (one, other)
    ]
    return (
        facts[0] == facts[1]
        and np.allclose(one.spacing_mm, other.spacing_mm)
        and np.array_equal(one.hu, other.hu)
        and np.array_equal(one.mask, other.mask)
    )


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Stack]]:
    folder = tmp_path_factory.mktemp("msd")
    return folder, write_msd(folder)


@pytest.fixture
def data(good: tuple[Path, list[Stack]], tmp_path: Path) -> Path:
    """A copy that may be broken."""
    return Path(shutil.copytree(good[0], tmp_path / "data"))


def test_written_stacks_are_read_back_upright(good: tuple[Path, list[Stack]], tmp_path: Path) -> None:
    folder, stacks = good

    result = prepared(tmp_path / "cache", msd_of(folder))

    assert result.read == 3
    assert all(same(one, other) for one, other in zip(stacks, read_stacks(tmp_path / "cache"), strict=True))
    assert [entry.tumour_slices for entry in result.manifest.stacks] == [
        np.asarray(s.mask).any((1, 2)).sum() for s in stacks
    ]
    assert all(entry.tumour_ml > 10 for entry in result.manifest.stacks)


@pytest.mark.parametrize("axes", ["RAS", "LPS", "RPI", "SAL", "PIR"])
def test_a_set_stored_in_other_axes_gives_the_same_stacks(tmp_path: Path, axes: str) -> None:
    stacks = write_msd(tmp_path / "data", patients=1, axes=axes)

    prepared(tmp_path / "cache", msd_of(tmp_path / "data"))

    assert read_nifti(tmp_path / "data/imagesTr/lung_001.nii.gz").axes == tuple(axes)
    assert same(read_stacks(tmp_path / "cache")[0], stacks[0])


def test_simpleitk_reads_the_same_array_in_lps(tmp_path: Path) -> None:
    write_msd(tmp_path / "data", patients=1, axes="ASR")
    prepared(tmp_path / "cache", msd_of(tmp_path / "data"))

    image = SimpleITK.ReadImage(str(tmp_path / "data/imagesTr/lung_001.nii.gz"))
    turned = SimpleITK.DICOMOrient(image, "LPS")

    (stack,) = read_stacks(tmp_path / "cache")
    assert np.array_equal(SimpleITK.GetArrayFromImage(turned), stack.hu)
    assert stack.spacing_mm == pytest.approx(turned.GetSpacing()[::-1])


def test_a_scan_tilted_by_ten_degrees_keeps_its_slices(data: Path, tmp_path: Path) -> None:
    cos, sin = np.cos(np.radians(10)), np.sin(np.radians(10))
    lean = np.array([[1, 0, 0, 0], [0, cos, -sin, 0], [0, sin, cos, 0], [0, 0, 0, 1]])
    for folder in ("imagesTr", "labelsTr"):
        path = data / folder / "lung_001.nii.gz"
        file = read_nifti(path)
        write_nifti(path, file.stored, lean @ file.affine)

    prepared(tmp_path / "cache", msd_of(data))

    assert same(read_stacks(tmp_path / "cache", {"lung_001"})[0], chest("lung_001", 1))


def test_stored_values_become_hounsfield_units_by_slope_and_intercept(data: Path, tmp_path: Path) -> None:
    path = data / "imagesTr/lung_001.nii.gz"
    image = read_nifti(path)
    write_scaled(path, (image.stored + 1024).astype(np.uint16), image.affine, slope=1, intercept=-1024)

    prepared(tmp_path / "cache", msd_of(data))

    assert same(read_stacks(tmp_path / "cache", {"lung_001"})[0], chest("lung_001", 1))


# -- refused data, and how it is named --

IMAGE, LABEL = "imagesTr/lung_002.nii.gz", "labelsTr/lung_002.nii.gz"


def change(path: str, by: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    def broken(data: Path) -> None:
        file = read_nifti(data / path)
        write_nifti(data / path, by(file.stored), file.affine)

    return broken


def move(path: str, row: int, column: int, value: float, code: int = 1) -> Callable[[Path], None]:
    def broken(data: Path) -> None:
        file = read_nifti(data / path)
        affine = file.affine.copy()
        affine[row, column] = value
        write_nifti(data / path, file.stored, affine, code)

    return broken


def lift(array: np.ndarray, value: float) -> np.ndarray:
    lifted = array.astype(np.float32 if value != int(value) else array.dtype)
    lifted[3, 3, 3] = value
    return lifted


def not_finite(array: np.ndarray) -> np.ndarray:
    values = array.astype(np.float32)
    values[0, 0, 0] = np.inf
    return values


def cut(path: str, share: float) -> Callable[[Path], None]:
    def broken(data: Path) -> None:
        content = (data / path).read_bytes()
        (data / path).write_bytes(content[: int(share * len(content))])

    return broken


def spoil(data: Path) -> None:
    content = bytearray((data / IMAGE).read_bytes())
    content[-6] ^= 0xFF  # only the checksum: every value can still be unpacked
    (data / IMAGE).write_bytes(content)


def shorten_inside(data: Path) -> None:
    (data / IMAGE).write_bytes(gzip.compress(gzip.decompress((data / IMAGE).read_bytes())[:-500]))


def no_nifti(data: Path) -> None:
    (data / IMAGE).write_bytes(gzip.compress(b"a photograph" * 1000))


def disagree(data: Path) -> None:
    image = read_nifti(data / IMAGE)
    write_nifti(data / IMAGE, image.stored, image.affine, qform=image.affine @ np.diag([-1, 1, 1, 1]))


def rewritten(content: str) -> Callable[[Path], None]:
    def broken(data: Path) -> None:
        (data / "dataset.json").write_text(content)

    return broken


def listed(**changed: str) -> Callable[[Path], None]:
    def broken(data: Path) -> None:
        content = json.loads((data / "dataset.json").read_text())
        content["training"][1].update(changed)
        (data / "dataset.json").write_text(json.dumps(content))

    return broken


def listed_without_label(data: Path) -> None:
    content = json.loads((data / "dataset.json").read_text())
    del content["training"][1]["label"]
    (data / "dataset.json").write_text(json.dumps(content))


def twice(data: Path) -> None:
    shutil.copy(data / IMAGE, data / "imagesTr/lung_009.nii.gz")
    shutil.copy(data / LABEL, data / "labelsTr/lung_009.nii.gz")
    write_list(data, ["lung_001", "lung_002", "lung_003", "lung_009"])


BROKEN: dict[str, tuple[Callable[[Path], None], str]] = {
    "a missing label": (lambda data: (data / LABEL).unlink(), f"{LABEL}: listed in dataset.json, but missing"),
    "a missing image": (lambda data: (data / IMAGE).unlink(), f"{IMAGE}: listed in dataset.json, but missing"),
    "no label named": (listed_without_label, 'dataset.json: entry 2 of "training" does not name an image and a label'),
    "a file that was never there": (listed(image="imagesTr/lung_7.nii.gz"), "imagesTr/lung_7.nii.gz: listed"),
    "a file of another folder": (listed(label="../../secret.nii.gz"), "dataset.json refers to a file outside"),
    "an entry twice": (listed(image="./imagesTr/lung_001.nii.gz"), "lung_001 of msd is given 2 times, expected once"),
    "the image for its label": (listed(label=f"./{IMAGE}"), "image and label are the same file"),
    "no dataset.json": (lambda data: (data / "dataset.json").unlink(), "dataset.json: cannot be read: No such file"),
    "no JSON": (rewritten("{"), "dataset.json: is not JSON"),
    "no list": (rewritten("{}"), 'dataset.json: has no list "training"'),
    "a 4D image": (change(IMAGE, lambda array: array[..., None]), f"{IMAGE}: has 4 axes (72 x 56 x 14 x 1)"),
    "label value 7": (change(LABEL, lambda array: lift(array, 7)), f"{LABEL}: label value 7 in 1 voxel(s), only 0"),
    "label value 0.5": (change(LABEL, lambda array: lift(array, 0.5)), f"{LABEL}: label value 0.5 in 1 voxel(s)"),
    "another shape": (change(LABEL, lambda array: array[:-1]), f"{LABEL}: its shape is 71 x 56 x 14, its image's"),
    "another origin": (move(LABEL, 2, 3, 7.0), f"{LABEL}: its affine places voxels 97.00 mm from"),
    "another spacing": (move(LABEL, 2, 2, 12.5), f"{LABEL}: its affine places voxels 6.50 mm from"),
    "an affine that is not finite": (move(IMAGE, 0, 3, np.nan), f"{IMAGE}: its affine is not finite"),
    "a flat voxel": (move(IMAGE, 2, 2, 1e-6), f"{IMAGE}: its voxel size is 5 x 4 x 1e-06 mm"),
    "tilted axes": (move(IMAGE, 2, 1, 4.0), f"{IMAGE}: its axes are tilted 45 degrees from the"),
    "no orientation": (move(IMAGE, 0, 3, 0.0, code=0), f"{IMAGE}: has neither sform nor qform, so left and right"),
    "two orientations": (disagree, f"{IMAGE}: sform and qform disagree"),
    "a truncated gzip": (cut(IMAGE, 0.7), f"{IMAGE}: truncated gzip"),
    "an empty file": (cut(IMAGE, 0), f"{IMAGE}: not a complete NIfTI file"),
    "a corrupt gzip": (spoil, f"{IMAGE}: corrupt gzip"),
    "a truncated NIfTI": (shorten_inside, f"{IMAGE}: not a complete NIfTI file"),
    "no NIfTI at all": (no_nifti, f"{IMAGE}: not a complete NIfTI file"),
    "grey values": (change(IMAGE, lambda array: (array // 8 + 128).clip(0, 255)), f"{IMAGE}: not a chest CT"),
    "values without intercept": (change(IMAGE, lambda array: array + 1024), f"{IMAGE}: not a chest CT"),
    "values that are not finite": (change(IMAGE, not_finite), f"{IMAGE}: contains values that are not finite"),
    "one image under two names": (twice, "lung_002 of msd:"),
}  # fmt: skip


@pytest.mark.parametrize(("broken", "named"), BROKEN.values(), ids=BROKEN.keys())
def test_broken_data_is_refused_with_its_name_and_nothing_is_written(
    data: Path, tmp_path: Path, broken: Callable[[Path], None], named: str
) -> None:
    broken(data)

    with pytest.raises(DataRefused) as refused:
        prepared(tmp_path / "cache", msd_of(data))

    assert len(refused.value.problems) == 1
    assert named in refused.value.problems[0]
    assert not (tmp_path / "cache").exists()


def test_all_problems_are_reported_together_in_one_line_each_with_exit_code_2(data: Path, tmp_path: Path) -> None:
    change("imagesTr/lung_001.nii.gz", lambda array: array[..., None])(data)
    change("labelsTr/lung_002.nii.gz", lambda array: lift(array, 7))(data)
    (data / "labelsTr/lung_003.nii.gz").unlink()

    result = CliRunner().invoke(app, ["prepare", "--source", f"msd:{data}", "--cache", str(tmp_path / "cache")])

    assert result.exit_code == 2
    lines = result.stderr.splitlines()
    assert [line.split(": ")[2] for line in lines] == [
        "labelsTr/lung_003.nii.gz",
        "imagesTr/lung_001.nii.gz",
        "labelsTr/lung_002.nii.gz",
    ]
    assert all(line.startswith(f"prepare: msd:{data}: ") for line in lines)
    assert not (tmp_path / "cache").exists()


def test_refused_data_leaves_the_cache_unchanged(data: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    prepared(cache, msd_of(data))
    before = {path: path.read_bytes() for path in cache.rglob("*") if path.is_file()}
    change(LABEL, lambda array: lift(array, 7))(data)

    with pytest.raises(DataRefused, match="label value 7"):
        prepared(cache, msd_of(data))

    assert {path: path.read_bytes() for path in cache.rglob("*") if path.is_file()} == before


def test_a_source_is_written_kind_and_path() -> None:
    assert parse_source("msd:/data/Task06:Lung") == DataSource(kind="msd", path=Path("/data/Task06:Lung"))
    for text in ("nifti:/data", "/data", "msd"):
        with pytest.raises(DataRefused, match="KIND:PATH is needed, KIND one of msd"):
            parse_source(text)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataRefused, match=r"msd:.*nowhere: does not exist or is not a folder"):
        prepared(tmp_path / "cache", msd_of(tmp_path / "nowhere"))


def test_unlisted_images_are_left_out_and_counted(data: Path, tmp_path: Path) -> None:
    write_list(data, ["lung_001", "lung_003"])

    result = prepared(tmp_path / "cache", msd_of(data))

    assert result.notes == (f"msd:{data}: 1 image(s) in imagesTr are not in dataset.json and are left out",)
    assert [entry.patient for entry in result.manifest.stacks] == ["lung_001", "lung_003"]


# -- the same patient in two places --


def test_a_patient_of_two_sources_is_refused(data: Path, tmp_path: Path) -> None:
    write_upright(tmp_path / "other" / IMAGE, np.asarray(chest("x", 77).hu), SPACING_MM, "LAS")
    write_upright(tmp_path / "other" / LABEL, np.asarray(chest("x", 77).mask).astype(np.uint8), SPACING_MM, "LAS")
    write_list(tmp_path / "other", ["lung_002"])

    with pytest.raises(DataRefused) as refused:
        prepared(tmp_path / "cache", msd_of(data), msd_of(tmp_path / "other"))

    assert refused.value.problems == (
        "lung_002 of msd is given 2 times, expected once",
        f"lung_002 of msd:{data} and lung_002 of msd:{tmp_path}/other have the same name: "
        "a patient must be in one place",
    )


# -- continuing --


def test_cases_with_unchanged_files_are_not_read_again(data: Path, tmp_path: Path) -> None:
    first = prepared(tmp_path / "cache", msd_of(data))
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache" / "stacks").rglob("*")}
    (data / IMAGE).touch()

    again = prepared(tmp_path / "cache", msd_of(data))

    assert (first.read, again.read, again.notes) == (3, 0, ())
    assert again.manifest == first.manifest
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cache" / "stacks").rglob("*")} == written


def test_a_file_that_has_changed_is_named_and_read_again(data: Path, tmp_path: Path) -> None:
    prepared(tmp_path / "cache", msd_of(data))
    change(LABEL, np.zeros_like)(data)

    again = prepared(tmp_path / "cache", msd_of(data))

    assert again.read == 1
    assert again.notes == (f"lung_002: {LABEL} has changed since it was prepared: read again",)
    assert [np.asarray(stack.mask).any() for stack in read_stacks(tmp_path / "cache")] == [True, False, True]


def test_a_patient_removed_from_the_sources_is_removed_from_the_cache(data: Path, tmp_path: Path) -> None:
    prepared(tmp_path / "cache", msd_of(data))
    for path in (IMAGE, LABEL):
        (data / path).unlink()
    write_list(data, ["lung_001", "lung_003"])

    prepared(tmp_path / "cache", msd_of(data))

    assert [stack.patient for stack in read_stacks(tmp_path / "cache")] == ["lung_001", "lung_003"]
    assert len(list((tmp_path / "cache" / "stacks").iterdir())) == 2


def test_a_killed_prepare_leaves_no_incomplete_stack_and_continues(tmp_path: Path) -> None:
    stacks = write_msd(tmp_path / "data", patients=8)
    cache = tmp_path / "cache"
    code = (
        "import sys; from pathlib import Path; from training.data.prepare import Request, parse_source, prepare; "
        "prepare(Request(sources=(parse_source(sys.argv[1]),), cache=Path(sys.argv[2])))"
    )
    command = [sys.executable, "-c", code, f"msd:{tmp_path / 'data'}", str(cache)]
    killed = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while not list(cache.glob("stacks/msd-*")) and time.monotonic() < until:
        time.sleep(0.002)
    os.kill(killed.pid, signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL

    complete = {path: path.stat().st_mtime_ns for path in cache.glob("stacks/msd-*")}
    assert 0 < len(complete) < 8
    with pytest.raises(DataRefused, match="the cache is incomplete"):
        read_stacks(cache)

    again = prepared(cache, msd_of(tmp_path / "data"))

    assert again.read == 8 - len(complete)
    assert {path: path.stat().st_mtime_ns for path in complete} == complete
    assert all(same(one, other) for one, other in zip(stacks, read_stacks(cache), strict=True))
    assert not list(cache.glob("stacks/.*"))


def test_the_manifest_contains_the_sha256_of_every_file(data: Path, tmp_path: Path) -> None:
    prepared(tmp_path / "cache", msd_of(data))

    files = {name: digest for entry in manifest(tmp_path / "cache").stacks for name, digest in entry.files.items()}

    assert sorted(files) == sorted(str(path.relative_to(data)) for path in data.glob("*Tr/*.gz"))
    listed_by_coreutils = subprocess.run(["sha256sum", *files], cwd=data, capture_output=True, text=True, check=True)
    assert files == {line.split()[1]: line.split()[0] for line in listed_by_coreutils.stdout.splitlines()}


# -- splits --


def splits_of(cache: Path) -> dict[str, dict[str, list[str]]]:
    splits: dict[str, dict[str, list[str]]] = json.loads((cache / "splits.json").read_text())
    return splits


def test_a_drawn_split_distributes_all_patients_over_parts_and_folds(tmp_path: Path) -> None:
    write_msd(tmp_path / "data", patients=10, shape=(6, 36, 44), spacing_mm=(20.0, 8.0, 9.0))

    prepared(tmp_path / "cache", msd_of(tmp_path / "data"), folds=3)

    split = splits_of(tmp_path / "cache")["msd"]
    everyone = [f"lung_{number:03d}" for number in range(1, 11)]
    assert sorted(split) == ["fold-0", "fold-1", "fold-2", "test", "train", "validation"]
    assert {part: len(split[part]) for part in ("train", "validation", "test")} == {
        "train": 7,
        "validation": 1,
        "test": 2,
    }
    assert sorted(split["train"] + split["validation"] + split["test"]) == everyone
    assert sorted(split["fold-0"] + split["fold-1"] + split["fold-2"] + split["test"]) == everyone


def test_a_given_split_is_used_and_copied_unchanged(data: Path, tmp_path: Path) -> None:
    text = '{"msd": {"train": ["lung_003"], "validation": [], "test": ["lung_001"], "fold-0": ["lung_003"]}}'
    (tmp_path / "split.json").write_text(text)

    result = prepared(tmp_path / "cache", msd_of(data), splits=tmp_path / "split.json")

    assert (tmp_path / "cache" / "splits.json").read_text() == text
    assert result.notes == ("split.json: 1 patient(s) of msd are in no part and are not used",)


@pytest.mark.parametrize(
    ("split", "named"),
    [
        ({"train": ["lung_001", "lung_9"], "validation": [], "test": []}, "patient lung_9 of msd is not in the data"),
        (
            {"train": ["lung_001"], "validation": [], "test": ["lung_001"]},
            "patient lung_001 of msd is in two parts",
        ),
        (
            {"train": [], "validation": [], "test": [], "fold-0": ["lung_001"], "fold-1": ["lung_001"]},
            "patient lung_001 of msd is in two folds",
        ),
        (
            {"train": [], "validation": [], "test": ["lung_001"], "fold-0": ["lung_001"]},
            "patient lung_001 of msd is in test and in a fold",
        ),
        ({"train": ["lung_001"]}, "not a file of splits"),
        ([], "not a file of splits"),
    ],
)
def test_a_split_that_does_not_fit_is_refused(data: Path, tmp_path: Path, split: object, named: str) -> None:
    (tmp_path / "split.json").write_text(json.dumps({"msd": split}))

    with pytest.raises(DataRefused, match=f"split.json: {named}"):
        prepared(tmp_path / "cache", msd_of(data), splits=tmp_path / "split.json")

    assert not (tmp_path / "cache").exists()
