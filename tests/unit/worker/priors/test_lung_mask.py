from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from models.lungs.lungs import Lungs
from tests.fixtures.nifti import read_nifti
from worker.priors.lung_mask import read_lungs, write_lungs


def oblique_lungs() -> Lungs:
    """Lungs with slices from superior to inferior, rotated by 20 and tilted by 10 degrees; random labels."""
    rng = np.random.default_rng(3)
    affine = np.eye(4)
    rotation = Rotation.from_euler("zx", [20, 10], degrees=True).as_matrix()
    affine[:3, :3] = rotation @ np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0]]) * (2.5, 1.8, 1.7)
    affine[:3, 3] = (-120.5, -90.25, 310.75)
    lobes = rng.integers(0, 6, (5, 7, 9), dtype=np.uint8)
    zeros = np.zeros(lobes.shape, np.float32)
    return Lungs(lobes=lobes, affine=affine, fissure_mm=zeros, wall_mm=zeros, mediastinum_mm=zeros, carina_mm=None)


def test_lungs_are_read_back_at_their_position(tmp_path: Path) -> None:
    lungs = oblique_lungs()
    write_lungs(lungs, tmp_path / "lungs.nii.gz")
    read = read_lungs(tmp_path / "lungs.nii.gz")

    assert (read.voxels == (lungs.lobes > 0)).all()
    np.testing.assert_allclose(read.affine, lungs.affine, atol=1e-4)


def test_nibabel_reads_the_same_labels_at_the_same_positions(tmp_path: Path) -> None:
    """nibabel: axes (column, row, slice), coordinates RAS."""
    lungs = oblique_lungs()
    write_lungs(lungs, tmp_path / "lungs.nii.gz")
    image = read_nifti(tmp_path / "lungs.nii.gz")
    ras_to_lps = np.diag([-1.0, -1.0, 1.0, 1.0])

    assert (lungs.lobes == image.stored.T).all()
    for index in ((0, 0, 0), (4, 6, 8), (2, 1, 5)):
        point = ras_to_lps @ image.affine @ (*index[::-1], 1)
        np.testing.assert_allclose(point, lungs.affine @ (*index, 1), atol=1e-3)


def test_lungs_of_a_tilted_gantry_are_read_back_at_their_position(tmp_path: Path) -> None:
    """Slices sheared by 20 degrees; ITK stores orthogonal grids only, so voxels change, but positions do not."""
    z, y, x = np.indices((40, 50, 60))
    lobes = ((z - 20) ** 2 + (y - 25) ** 2 + (x - 30) ** 2 < 15**2).astype(np.uint8)
    lungs = oblique_lungs()
    affine = lungs.affine.copy()
    affine[:3, 0] += np.tan(np.radians(20)) * 2.5 / 1.8 * affine[:3, 1]
    write_lungs(replace(lungs, lobes=lobes, affine=affine), tmp_path / "lungs.nii.gz")
    read = read_lungs(tmp_path / "lungs.nii.gz")

    for voxels, grid in ((lobes > 0, affine), (read.voxels, read.affine)):
        at = np.argwhere(voxels) @ grid[:3, :3].T + grid[:3, 3]
        np.testing.assert_allclose(at.mean(0), affine[:3] @ (20, 25, 30, 1), atol=0.5)  # half a voxel is 0.9
        np.testing.assert_allclose(len(at) * abs(np.linalg.det(grid[:3, :3])), 4 / 3 * np.pi * 15**3 * 7.65, rtol=0.02)
    origin_lps = read_nifti(tmp_path / "lungs.nii.gz").affine[:3, 3] * (-1, -1, 1)
    assert np.linalg.norm(origin_lps - read.affine[:3, 3]) < 1e-3


def test_a_damaged_file_raises_an_error(tmp_path: Path) -> None:
    (tmp_path / "lungs.nii.gz").write_bytes(b"no lungs")

    with pytest.raises(RuntimeError):
        read_lungs(tmp_path / "lungs.nii.gz")
