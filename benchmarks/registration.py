"""Compares time and error of the lung registration with plain elastix: python -m benchmarks.registration.

The input are generated lung masks of a chest with --slices slices (300), on the grid of about 2 mm that the product
uses, at two times: the patient has breathed out, is rotated by some degrees and shifted. The deformation is analytic
(tests/fixtures/worker/breathing_lungs.py), so each point inside the lungs has a known position in the later scan. Our
registration and elastix (`pip install .[bench]`: itk-elastix, default parameter maps rigid, then bspline) get the same
two masks in one run. Printed are seconds, seconds summed over all cores (less affected by other load on the machine)
and the target registration error, mean and 95th percentile, with their ratios to ours. elastix takes some minutes.

elastix maps fixed to moving, so its fixed image is the earlier scan. It is run on the masks, 0 and 1, and again on
their distance maps, on which it is more accurate.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.volume import Mask
from tests.fixtures.worker.breathing_lungs import Breath, Grid, pairs_within, scan
from worker.registration.distance_map import distance_map
from worker.registration.register import Points, register

BREATH = Breath(sink_mm=-30, dome_mm=-12, wider=-0.04, turn_deg=(3, -4, 6), shift_mm=(25, -15, 60))
LENGTH_MM = 330.0
LIMIT_S = 30.0


def masks(slices: int) -> tuple[Mask, Mask]:
    """Return the lung masks at both times, on the grid that the product uses for this number of slices."""
    slice_mm = LENGTH_MM / slices
    coarse_mm = slice_mm * max(1, round(2.2 / slice_mm))
    later = Grid(spacing_mm=(coarse_mm, 2.1, 2.1), signs=(-1, 1, 1), middle_mm=BREATH.shift_mm)
    return scan(Grid(spacing_mm=(coarse_mm, 2.1, 2.1))), scan(later, BREATH)


def ours(prior: Mask, later: Mask, points: Points) -> Points:
    """Register with the product's code and return the points in the later scan."""
    return register(prior, later).to_later(points)


def elastix_masks(prior: Mask, later: Mask, points: Points) -> Points:
    """Register the masks with plain elastix and return the points in the later scan."""
    return _elastix(_as_itk(prior.voxels, prior.affine), _as_itk(later.voxels, later.affine), points)


def elastix_distances(prior: Mask, later: Mask, points: Points) -> Points:
    """Register the distance maps with plain elastix and return the points in the later scan."""
    images = []
    for mask in (prior, later):
        mapped = distance_map(mask)
        affine = np.eye(4)
        affine[:3, :3] = mapped.spacing_mm * np.eye(3)[::-1]
        affine[:3, 3] = mapped.first_mm
        images.append(_as_itk(mapped.near_mm, affine))
    return _elastix(images[0], images[1], points)


def _as_itk(values: NDArray[np.generic], affine: NDArray[np.float64]) -> Any:  # noqa: ANN401 - itk has no types
    import itk

    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    image = itk.image_from_array(np.ascontiguousarray(values, np.float32))
    image.SetSpacing(spacing[::-1].tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    image.SetDirection(itk.matrix_from_array(np.ascontiguousarray((affine[:3, :3] / spacing)[:, ::-1])))
    return image


def _elastix(fixed: Any, moving: Any, points: Points) -> Points:  # noqa: ANN401 - as above
    import itk

    parameters = itk.ParameterObject.New()
    for name in ("rigid", "bspline"):
        parameters.AddParameterMap(parameters.GetDefaultParameterMap(name))
    _, found = itk.elastix_registration_method(fixed, moving, parameter_object=parameters, log_to_console=False)
    return _moved(found, moving, points)


def _moved(found: Any, moving: Any, points: Points) -> Points:  # noqa: ANN401 - as above
    """Transform the points with transformix, which reads them from a file."""
    import itk

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "points.txt"
        rows = "\n".join(" ".join(f"{value:.6f}" for value in point) for point in points)
        file.write_text(f"point\n{len(points)}\n{rows}\n")
        transformed = itk.transformix_pointset(
            moving, found, fixed_point_set_file_name=str(file), output_directory=folder
        )
    ends = [row[list(row).index("OutputPoint") + 3 :][:3] for row in np.atleast_2d(transformed)]
    return np.array([[float(value) for value in end] for end in ends])


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Time and error of a registration. core_s: seconds summed over all cores."""

    wall_s: float
    core_s: float
    errors_mm: NDArray[np.float64]

    @property
    def mean_mm(self) -> float:
        """The mean target registration error."""
        return float(self.errors_mm.mean())

    def row(self, first: Result) -> str:
        """Return the numbers as a line, with their ratios to those of `first`."""
        cost = f"{self.wall_s:9.1f}{self.core_s:9.1f}{self.core_s / first.core_s:8.2f}"
        return f"{cost}{self.mean_mm:9.2f}{np.percentile(self.errors_mm, 95):9.2f}{self.mean_mm / first.mean_mm:8.2f}"


def evaluate(register_points: Callable[[Mask, Mask, Points], Points], pair: tuple[Mask, Mask]) -> Result:
    """Run one registration method and return its time and its error at points of known position."""
    prior, later = pairs_within(BREATH)
    wall, cores = time.perf_counter(), time.process_time()
    found = register_points(*pair, prior)
    wall, cores = time.perf_counter() - wall, time.process_time() - cores
    return Result(wall_s=wall, core_s=cores, errors_mm=np.linalg.norm(found - later, axis=1))


def main() -> None:
    """Print the table; exit 1 if ours takes longer than 30 s or has a larger mean error than elastix."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=300)
    pair = masks(parser.parse_args().slices)
    methods = {"ours": ours, "elastix, masks": elastix_masks, "elastix, distances": elastix_distances}
    print(f"lungs of {pair[0].voxels.shape} and {pair[1].voxels.shape} voxels")
    print(f"{'':<20}{'seconds':>9}{'core s':>9}{'ratio':>8}{'mean mm':>9}{'95 % mm':>9}{'ratio':>8}")
    results: dict[str, Result] = {}
    for name, register_points in methods.items():
        results[name] = evaluate(register_points, pair)
        print(f"{name:<20}{results[name].row(results['ours'])}", flush=True)
    if results["ours"].wall_s > LIMIT_S:
        raise SystemExit(f"more than {LIMIT_S:.0f} s")
    if results["ours"].mean_mm > min(result.mean_mm for result in results.values()):
        raise SystemExit("elastix has a smaller mean error")


if __name__ == "__main__":
    main()
