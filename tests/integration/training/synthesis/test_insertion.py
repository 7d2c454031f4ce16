from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from training.data.datasets import Stack
from training.readers.case import DataRefused
from training.synthesis.insertion import inserted, read_inserted, with_lesions, write_inserted
from training.synthesis.placement import Sites
from worker.phantom.chest import PhantomSpec, chest_phantom

SPACING = (3.0, 1.2, 1.2)
OWN = (slice(30, 31), slice(100, 110), slice(60, 70))


@pytest.fixture(scope="module")
def stack() -> Stack:
    chest = chest_phantom(
        PhantomSpec(shape=(60, 220, 300), spacing_mm=SPACING, lesions=(), noise_hu=10.0, vessels_per_lung=4)
    )
    mask = np.zeros(chest.hu.shape, bool)
    mask[OWN] = True
    return Stack(
        source="msd", patient="p", name="p/0", hu=chest.hu.astype(np.int16), mask=mask, spacing_mm=SPACING, whole=True
    )


def test_a_stack_keeps_its_own_tumour(stack: Stack) -> None:
    stack = replace(stack, hu=np.where(stack.mask, 1000, stack.hu).astype(np.int16))  # denser than any inserted lesion
    sites = Sites(np.asarray(stack.hu).astype(np.float32), SPACING)
    copies = [with_lesions(stack, sites, [], np.random.default_rng(seed)) for seed in range(4)]

    for one in copies:
        assert one is not None
        assert (one.source, one.patient) == ("synthetic", "p")
        assert one.mask[OWN].all()
        assert (np.asarray(one.hu) >= np.asarray(stack.hu)).all()
        new = np.asarray(one.mask) & ~np.asarray(stack.mask)
        assert new.any()
        assert (one.hu[new] > stack.hu[new]).mean() > 0.9
        assert np.array_equal(one.hu[OWN], stack.hu[OWN])


def test_only_whole_stacks_get_lesions_and_each_copy_gets_others(stack: Stack) -> None:
    crop = replace(stack, whole=False, name="crop", source="lidc")

    copies = list(inserted([stack, crop], 3, seed=7))

    assert [copy.name for copy in copies] == ["msd/p/0+0", "msd/p/0+1", "msd/p/0+2"]
    assert len({np.asarray(copy.mask).sum() for copy in copies}) == 3
    again = list(inserted([stack, crop], 3, seed=7))
    assert all(
        np.array_equal(a.hu, b.hu) and np.array_equal(a.mask, b.mask) for a, b in zip(copies, again, strict=True)
    )


def test_copies_in_which_no_lesion_fits_are_left_out(stack: Stack) -> None:
    solid = replace(stack, hu=np.full_like(stack.hu, 40))

    assert not list(inserted([solid], 2, seed=1))


def test_a_real_lesion_is_taken_from_the_given_stacks(stack: Stack) -> None:
    """The donor has a value that no generated lesion has."""
    mask = np.zeros((24, 40, 40), bool)
    mask[6:18, 12:28, 12:28] = True
    donor = replace(
        stack, hu=np.where(mask, 700, -850).astype(np.int16), mask=mask, whole=False, spacing_mm=(1.0, 1.0, 1.0)
    )
    empty = replace(stack, mask=np.zeros_like(stack.mask))

    def brightest(stacks: list[Stack]) -> list[int]:
        return [int(copy.hu[copy.mask].max()) for copy in inserted(stacks, 8, seed=2)]

    assert max(brightest([empty])) < 600
    assert sum(value > 600 for value in brightest([empty, donor])) >= 2


def test_copies_are_read_as_they_were_written_and_replace_older_ones(stack: Stack, tmp_path: Path) -> None:
    write_inserted(tmp_path / "in", [stack], 3, seed=4)
    write_inserted(tmp_path / "in", [stack], 2, seed=5)

    found = read_inserted(tmp_path / "in", [stack])
    assert len(found) == 2
    for one, truth in zip(found, inserted([stack], 2, seed=5), strict=True):
        assert np.array_equal(one.hu, truth.hu)
        assert np.array_equal(one.mask, truth.mask)

    write_inserted(tmp_path / "none", [replace(stack, whole=False)], 2, seed=5)
    assert read_inserted(tmp_path / "none", [stack]) == []


def test_copies_of_held_back_patients_are_refused(stack: Stack, tmp_path: Path) -> None:
    write_inserted(tmp_path, [stack, replace(stack, patient="q", name="q/0")], 1, seed=5)

    with pytest.raises(DataRefused, match="contains 1 held-back patients"):
        read_inserted(tmp_path, [stack])
