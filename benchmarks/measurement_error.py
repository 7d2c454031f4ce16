"""Fits the 95 % intervals of sizes on simulated lesions of known size: python -m benchmarks.measurement_error.

Draws lesions and scan settings (tests/fixtures/worker/size_phantoms.py), segments them half-way between lung and
lesion, measures them with the product's code, and fits the 2.5 % and 97.5 % bounds of the error: linear quantile
regression (Koenker and Bassett 1978) of the logarithm of the error, so that a bound never changes its sign. Prints
bias, standard deviation and coverage on draws with another seed; --write replaces worker/lesions/uncertainty_model.py
(format it afterwards). Takes about four minutes.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog

from tests.fixtures.worker.size_phantoms import KINDS, Draw, draw, outlined, scan
from worker.lesions import uncertainty_model
from worker.lesions.measure import measure
from worker.lesions.uncertainty import Sizes, Uncertainty, features, sizes_of, uncertainty_of
from worker.lesions.uncertainty_model import BOUNDS, READER_FACTORS, Bounds

Array = NDArray[np.float64]
FIT_DRAWS, FIT_SEED = 6000, 20
CHECK_DRAWS, CHECK_SEED = 3000, 21
FIT_DIAMETERS_MM = (4.5, 60.0)
"""Wider than the range of the checked draws, because a lesion measured as 5 mm may be larger or smaller."""
QUANTILE = 0.975
SMALLEST = {"volume_ml": 1e-4, "long_axis_mm": 0.02, "short_axis_mm": 0.02}
"""Smallest error before the logarithm, also used for errors of the other sign: in ln (volume), in pixels (axes)."""
SLICES_MM = (0.6, 1.5, 3.0, 5.0, 8.0)
DIAMETERS_MM = (6, 8, 10, 14, 20, 30, 50)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One simulated lesion: its true parameters and its measured sizes."""

    drawn: Draw
    sizes: Sizes

    @property
    def true(self) -> dict[str, float]:
        """The true sizes by name."""
        long_mm, short_mm = self.drawn.body.axes_mm
        return {"volume_ml": self.drawn.body.volume_ml, "long_axis_mm": long_mm, "short_axis_mm": short_mm}

    @property
    def diameter_mm(self) -> float:
        """The diameter of the ball with the true volume."""
        return float((6000 * self.drawn.body.volume_ml / math.pi) ** (1 / 3))

    def error(self, name: str) -> float:
        """Return the error of a size: ln(true / measured) for the volume, true - measured in pixels for an axis."""
        measured = getattr(self.sizes, name)
        if name == "volume_ml":
            return math.log(self.true[name] / measured)
        return float((self.true[name] - measured) / self.sizes.pixel_mm)

    def features(self, name: str) -> Array:
        """Return the regressors of the bounds of this size."""
        return features(self.sizes, self.sizes.diameter_mm if name == "volume_ml" else getattr(self.sizes, name))


def rows(count: int, seed: int, diameters_mm: tuple[float, float] | None = None) -> Iterator[Row]:
    """Yield `count` simulated lesions, measured; a lesion without any voxel in the mask is left out."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        diameter = float(np.exp(rng.uniform(*np.log(diameters_mm)))) if diameters_mm else None
        drawn = draw(rng, diameter_mm=diameter)
        volume = scan(drawn)
        lesion = outlined(drawn, volume)
        if lesion is not None:
            yield Row(drawn=drawn, sizes=sizes_of(lesion, measure(lesion, volume), volume))


def fitted(fit: list[Row]) -> dict[str, Bounds]:
    """Return the bounds of each size's error."""
    bounds = {}
    for name, smallest in SMALLEST.items():
        values = np.array([row.features(name) for row in fit])
        errors = np.array([row.error(name) for row in fit])
        below, above = (_quantile_regression(values, np.log(np.maximum(side, smallest))) for side in (-errors, errors))
        bounds[name] = Bounds(below=tuple(below.round(3).tolist()), above=tuple(above.round(3).tolist()))
    return bounds


def _quantile_regression(values: Array, outcome: Array) -> Array:
    """Return the regression coefficients: the multipliers of the dual linear programme."""
    found = linprog(
        -outcome, A_eq=values.T, b_eq=np.zeros(values.shape[1]), bounds=(QUANTILE - 1, QUANTILE), method="highs"
    )
    return -np.asarray(found.eqlin.marginals)


def print_errors(checked: list[Row]) -> None:
    """Print bias and standard deviation by diameter and slice thickness."""
    print("\nmeasured - true; volume in %, axes in pixels: mean and standard deviation (n)")
    print("diameter mm  slices mm      n   volume          long axis       short axis")
    for low, high in pairwise(DIAMETERS_MM):
        for thin, thick in pairwise(SLICES_MM):
            cell = [row for row in checked
                    if low <= row.diameter_mm < high and thin <= row.sizes.spacing_mm[0] < thick]  # fmt: skip
            volume = [100 * math.expm1(-row.error("volume_ml")) for row in cell]
            axes = [[-row.error(name) for row in cell] for name in ("long_axis_mm", "short_axis_mm")]
            print(
                f"{low:4d} - {high:2d}    {thin:3.1f} - {thick:3.1f}  {len(cell):5d}",
                *map(_mean_and_sd, (volume, *axes)),
            )


def _mean_and_sd(errors: list[float]) -> str:
    return f"  {np.mean(errors):+6.2f} {np.std(errors):6.2f}"


def print_coverage(checked: list[Row]) -> None:
    """Print how often the intervals of uncertainty_model.py contain the true size."""
    groups = {"all": checked}
    for kind in KINDS:
        groups[kind] = [row for row in checked if row.drawn.kind == kind]
    for thin, thick in pairwise(SLICES_MM):
        groups[f"slices {thin} - {thick} mm"] = [row for row in checked if thin <= row.sizes.spacing_mm[0] < thick]
    for low, high in pairwise(DIAMETERS_MM):
        groups[f"{low} - {high} mm"] = [row for row in checked if low <= row.diameter_mm < high]
    groups["noise under 20 HU"] = [row for row in checked if row.drawn.setting.noise_hu < 20]
    groups["noise over 40 HU"] = [row for row in checked if row.drawn.setting.noise_hu > 40]
    print(f"\ncoverage of the 95 % interval\n{'':22s} {'n':>5s}  {'volume':>7s} {'long':>7s} {'short':>7s}")
    for title, group in groups.items():
        shares = [np.mean([is_covered(row, name) for row in group]) for name in SMALLEST]
        print(f"{title:22s} {len(group):5d}  ", " ".join(f"{100 * share:6.1f}%" for share in shares))


def is_covered(row: Row, name: str) -> bool:
    """Return whether the interval contains the true size."""
    intervals: Uncertainty = uncertainty_of(row.sizes)
    return bool(getattr(intervals, name).low <= row.true[name] <= getattr(intervals, name).high)


def model_source(bounds: dict[str, Bounds], count: int) -> str:
    """Return the source of worker/lesions/uncertainty_model.py with these bounds and the present reader factors."""
    head = Path(uncertainty_model.__file__).read_text(encoding="utf-8").split("BOUNDS = {")[0]
    lines = [f'    "{name}": Bounds(below={side.below}, above={side.above}),' for name, side in bounds.items()]
    return "\n".join([
        f"{head}BOUNDS = {{", *lines, "}",
        f'"""Fitted on {count} bodies: python -m benchmarks.measurement_error --write."""',
        f"READER_FACTORS = {READER_FACTORS}".replace("'", '"'),
        '"""Between two readers of one nodule, 95 %: python -m benchmarks.reader_spread FOLDER."""', "",
    ])  # fmt: skip


def main() -> None:
    """Print the tables, after a fit if --write is given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--write", action="store_true", help="fit the bounds and replace worker/lesions/uncertainty_model.py"
    )
    if parser.parse_args().write:
        fit = list(rows(FIT_DRAWS, FIT_SEED, FIT_DIAMETERS_MM))
        BOUNDS.update(fitted(fit))
        Path(uncertainty_model.__file__).write_text(model_source(BOUNDS, len(fit)), encoding="utf-8")
    checked = list(rows(CHECK_DRAWS, CHECK_SEED))
    print(f"{len(checked)} of {CHECK_DRAWS} draws have a mask")
    print_errors(checked)
    print_coverage(checked)


if __name__ == "__main__":
    main()
