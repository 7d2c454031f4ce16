from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from training.data.array import Slices, open_array, write_array
from training.data.cache import close, manifest, read_stacks, reopen, write_stack
from training.data.datasets import Stack
from training.readers.case import DataRefused

ROOT = Path(__file__).parents[4]
RNG = np.random.default_rng(3)
VOLUME = RNG.integers(-1000, 400, (9, 20, 30)).astype(np.int16)


def stack_of(name: str = "a", shape: tuple[int, int, int] = (4, 12, 10), **changed: object) -> Stack:
    hu = RNG.integers(-1024, 3072, shape).astype(np.int16)
    facts = {"source": "msd", "patient": name, "name": name, "spacing_mm": (2.5, 0.7, 0.8), "whole": True, **changed}
    return Stack(hu=hu, mask=hu > 2500, **facts)  # type: ignore[arg-type]


def write_cache(cache: Path, *stacks: Stack) -> None:
    close(cache, [write_stack(cache, stack, {"f": "0"}) for stack in stacks], "{}\n")


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory: pytest.TempPathFactory) -> Slices:
    path = tmp_path_factory.mktemp("arrays") / "a.b2nd"
    write_array(path, VOLUME)
    return open_array(str(path))


def test_a_stack_is_read_as_it_was_written(tmp_path: Path) -> None:
    readers = np.arange(480, dtype=np.uint8).reshape(4, 12, 10) % 16
    one, two = stack_of("P1/nodule-3", readers=readers, whole=False), stack_of("b", first_slice=17, estimated=True)
    write_cache(tmp_path, one, two)

    for stack, back in zip((one, two), read_stacks(tmp_path), strict=True):
        assert np.array_equal(stack.hu, back.hu)
        assert np.array_equal(stack.mask, back.mask)
        assert (back.hu.dtype, back.mask.dtype) == (np.dtype(np.int16), np.dtype(np.bool_))
        assert (stack.name, stack.spacing_mm, stack.whole) == (back.name, back.spacing_mm, back.whole)
        assert (stack.first_slice, stack.estimated) == (back.first_slice, back.estimated)
        assert (stack.readers is None) == (back.readers is None)
    (with_readers,) = read_stacks(tmp_path, {"P1/nodule-3"})
    assert with_readers.readers is not None
    assert np.array_equal(with_readers.readers, readers)


def test_the_manifest_counts_tumour_slices_and_millilitres(tmp_path: Path) -> None:
    stack = stack_of()
    mask = np.zeros(stack.mask.shape, bool)
    mask[1:3, 0, :5] = True
    write_cache(tmp_path, replace(stack, mask=mask))

    (entry,) = manifest(tmp_path).stacks

    assert entry.tumour_slices == 2
    assert entry.tumour_ml == pytest.approx(10 * 2.5 * 0.7 * 0.8 / 1000, abs=1e-4)
    assert entry.files == {"f": "0"}


def test_a_cache_without_manifest_is_not_read(tmp_path: Path) -> None:
    write_cache(tmp_path, stack_of())
    reopen(tmp_path)

    with pytest.raises(DataRefused, match=r"manifest.json: missing, the cache is incomplete"):
        read_stacks(tmp_path)


def test_a_cache_of_another_format_is_not_read(tmp_path: Path) -> None:
    write_cache(tmp_path, stack_of())
    content = json.loads((tmp_path / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps({**content, "format": 99}))

    with pytest.raises(DataRefused, match="format 99, 1 is needed"):
        read_stacks(tmp_path)


def test_a_missing_patient_is_named(tmp_path: Path) -> None:
    write_cache(tmp_path, stack_of("a"), stack_of("b"))

    with pytest.raises(DataRefused, match="patient c is not in the cache"):
        read_stacks(tmp_path, {"a", "c"})


def test_names_that_differ_only_in_punctuation_have_different_folders(tmp_path: Path) -> None:
    write_cache(tmp_path, stack_of("a/b"), stack_of("a b"), stack_of("a_b"), stack_of("ä:b"), stack_of("../a"))

    assert sorted(stack.name for stack in read_stacks(tmp_path)) == sorted(["a/b", "a b", "a_b", "ä:b", "../a"])
    assert all(path.parent == tmp_path / "stacks" for path in (tmp_path / "stacks").iterdir())


def test_a_cache_may_be_moved(tmp_path: Path) -> None:
    stack = stack_of()
    write_cache(tmp_path / "here", stack)
    shutil.move(tmp_path / "here", tmp_path / "there")

    assert np.array_equal(read_stacks(tmp_path / "there")[0].hu, stack.hu)


def test_a_whole_scan_stays_on_disk(tmp_path: Path) -> None:
    hu = np.zeros((40, 512, 512), np.int16)
    hu[7] = 40
    scan = Stack(source="msd", patient="p", name="p", hu=hu, mask=hu > 0, spacing_mm=(1.0, 1.0, 1.0), whole=True)
    write_cache(tmp_path, scan)

    (back,) = read_stacks(tmp_path)

    assert not isinstance(back.hu, np.ndarray)
    assert back.mask[7].all()
    assert np.flatnonzero(back.marked_slices()).tolist() == [7]
    assert int(back.hu[[6, 7, 7, 8]].sum()) == 2 * 40 * 512 * 512
    files = [path.stat().st_size for path in tmp_path.rglob("*.b2nd")]
    assert len(files) == 2
    assert sum(files) < 0.02 * hu.nbytes


@pytest.mark.parametrize(
    "key",
    [0, -1, np.int64(4), slice(2, 5), slice(None), slice(None, None, -2), [1, 1, 8], [-1, 0], (3, 4, 5),
     (2, slice(1, 9)), (slice(1, 4), 5), (slice(2, 6), slice(None), slice(3, 7)), (..., 2), np.arange(9) < 4, (None, 2),
     ([1, 2], [3, 4], [5, 6])],
    ids=str,
)  # fmt: skip
def test_indexing_gives_what_numpy_gives(on_disk: Slices, key: object) -> None:
    assert np.array_equal(on_disk[key], VOLUME[key])  # type: ignore[call-overload]
    assert np.asarray(on_disk[key]).dtype == VOLUME.dtype


def test_an_index_beyond_the_last_slice_is_an_error(on_disk: Slices) -> None:
    with pytest.raises(IndexError):
        on_disk[9]


def test_a_whole_array_is_read_as_numpy_has_it(on_disk: Slices) -> None:
    assert (on_disk.shape, on_disk.dtype, len(on_disk)) == (VOLUME.shape, VOLUME.dtype, 9)
    assert np.array_equal(np.asarray(on_disk), VOLUME)
    assert np.array_equal(np.asarray(on_disk, np.float32), VOLUME.astype(np.float32))
    assert np.array_equal(np.flip(on_disk, 1), np.flip(VOLUME, 1))
    assert np.array_equal([on_disk[number].max() for number in range(len(on_disk))], VOLUME.max((1, 2)))


def test_an_array_on_disk_is_read_only(on_disk: Slices) -> None:
    with pytest.raises(ValueError, match="reading mode"):
        on_disk[0] = 0  # type: ignore[index]


def test_an_array_on_disk_can_be_pickled(on_disk: Slices) -> None:
    assert np.array_equal(pickle.loads(pickle.dumps(on_disk))[2:5], VOLUME[2:5])


def test_forked_processes_read_an_array_opened_before(tmp_path: Path) -> None:
    write_array(tmp_path / "a.b2nd", VOLUME)
    code = """
import multiprocessing, sys
import numpy as np
from training.data.array import open_array
array = open_array(sys.argv[1])
whole = int(np.asarray(array).sum())
def plane_sum(index):
    return int(array[index].sum())
with multiprocessing.get_context("fork").Pool(2) as pool:
    print(whole, sum(pool.map(plane_sum, range(9))))
"""
    command = [sys.executable, "-c", code, str(tmp_path / "a.b2nd")]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120, cwd=ROOT)

    assert result.stdout.split() == [str(VOLUME.sum())] * 2
