"""Quantities of the report: key in findings.json, code in the SR, unit, and rounded value of every number.

findings.json and the SR use the same list, so that both hold the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from pydicom.sr.coding import Code

from worker.codes import follow_up as codes_over_time
from worker.codes import lesions as codes
from worker.findings import Finding
from worker.lesions.density import Density, Intensity
from worker.lesions.location import LesionLocation
from worker.lesions.shape import Shape
from worker.lesions.uncertainty import Interval, SizeIntervals, Uncertainty
from worker.staging.extent import Extent, LobeBurden

DECIMALS = {
    codes.MILLILITRE: 4,
    codes.MILLIMETRE: 3,
    codes.SQUARE_MILLIMETRE: 3,
    codes.PER_MILLIMETRE: 6,
    codes.GRAM: 4,
    codes.HOUNSFIELD_UNIT: 2,
    codes.LESIONS: 0,
    codes.NO_UNITS: 6,
    codes.PERCENT: 4,
    codes_over_time.SCANS: 0,
    codes_over_time.SLICES: 0,
    codes_over_time.DAY: 2,
    codes_over_time.PER_YEAR: 4,
    codes_over_time.PERCENT_PER_YEAR: 4,
}
"""Decimal places by unit: finer than the resolution of any scanner, and the same on every machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """One number of the report.

    interval: 95 % interval by the scan alone. reader_interval: 95 % interval of another reader's measurement. Both in
    the same unit as the value (worker/lesions/uncertainty.py).
    """

    key: str
    name: Code
    value: float
    unit: Code
    derivation: Code | None = None
    interval: Interval | None = None
    reader_interval: Interval | None = None
    properties: tuple[Quantity, ...] = ()
    """Related numbers, such as the prior value of a change."""


def lesion_quantities(finding: Finding) -> list[Quantity]:
    """Return the measurements of one lesion."""
    measured = finding.measurement
    return [
        *_sizes(finding),
        *_intensity(measured.intensity),
        *_density(measured.density),
        *_shape(measured.shape),
    ]


def _sizes(finding: Finding) -> Iterable[Quantity]:
    measured, uncertainty = finding.measurement, finding.uncertainty
    scan = _intervals(uncertainty)
    reader = _intervals(uncertainty.another_reader)
    rows = (
        ("volume_ml", codes.VOLUME, measured.volume_ml, codes.MILLILITRE),
        ("long_axis_mm", codes.LONG_AXIS, measured.long_axis.length_mm, codes.MILLIMETRE),
        ("short_axis_mm", codes.SHORT_AXIS, measured.short_axis.length_mm, codes.MILLIMETRE),
    )
    for (key, name, value, unit), by_scan, by_reader in zip(rows, scan, reader, strict=True):
        size = quantity(key, name, value, unit)
        yield replace(size, interval=rounded_ends(by_scan, unit), reader_interval=rounded_ends(by_reader, unit))


def _intervals(sizes: Uncertainty | SizeIntervals) -> tuple[Interval, ...]:
    return sizes.volume_ml, sizes.long_axis_mm, sizes.short_axis_mm


def rounded_ends(interval: Interval | None, unit: Code) -> Interval | None:
    """Return the interval with both ends rounded to the DECIMALS of the unit, or None for None."""
    return interval and Interval(low=_rounded(interval.low, unit), high=_rounded(interval.high, unit))


def _shape(shape: Shape) -> Iterable[Quantity]:
    yield quantity("mesh_volume_ml", codes.MESH_VOLUME, shape.mesh_volume_ml, codes.MILLILITRE)
    yield quantity("surface_mm2", codes.SURFACE, shape.surface_mm2, codes.SQUARE_MILLIMETRE)
    yield quantity(
        "surface_to_volume_per_mm", codes.SURFACE_TO_VOLUME, shape.surface_to_volume_per_mm, codes.PER_MILLIMETRE
    )
    for key, name, length_mm in (
        ("largest_diameter_mm", codes.LARGEST_DIAMETER, shape.largest_diameter_mm),
        ("major_axis_mm", codes.MAJOR_AXIS, shape.major_axis_mm),
        ("minor_axis_mm", codes.MINOR_AXIS, shape.minor_axis_mm),
        ("least_axis_mm", codes.LEAST_AXIS, shape.least_axis_mm),
    ):
        yield quantity(key, name, length_mm, codes.MILLIMETRE)
    for key, name, value in (
        ("sphericity", codes.SPHERICITY, shape.sphericity),
        ("asphericity", codes.ASPHERICITY, shape.asphericity),
        ("compactness_1", codes.COMPACTNESS_1, shape.compactness_1),
        ("compactness_2", codes.COMPACTNESS_2, shape.compactness_2),
        ("spherical_disproportion", codes.SPHERICAL_DISPROPORTION, shape.spherical_disproportion),
        ("elongation", codes.ELONGATION, shape.elongation),
        ("flatness", codes.FLATNESS, shape.flatness),
        ("convex_volume_share", codes.CONVEX_VOLUME_SHARE, shape.convex_volume_share),
        ("convex_surface_ratio", codes.CONVEX_SURFACE_RATIO, shape.convex_surface_ratio),
    ):
        yield quantity(key, name, value, codes.NO_UNITS)


def _intensity(intensity: Intensity) -> Iterable[Quantity]:
    for key, value_hu, derivation in (
        ("mean_hu", intensity.mean_hu, codes.MEAN),
        ("sd_hu", intensity.sd_hu, codes.STANDARD_DEVIATION),
        ("minimum_hu", intensity.minimum_hu, codes.MINIMUM),
        ("p10_hu", intensity.p10_hu, codes.PERCENTILE_10),
        ("median_hu", intensity.median_hu, codes.MEDIAN),
        ("p90_hu", intensity.p90_hu, codes.PERCENTILE_90),
        ("maximum_hu", intensity.maximum_hu, codes.MAXIMUM),
    ):
        yield _attenuation(key, value_hu, derivation)
    yield _attenuation("skewness", intensity.skewness, codes.SKEWNESS, codes.NO_UNITS)
    yield _attenuation("kurtosis", intensity.kurtosis, codes.KURTOSIS, codes.NO_UNITS)


def _attenuation(key: str, value: float, derivation: Code, unit: Code = codes.HOUNSFIELD_UNIT) -> Quantity:
    return quantity(key, codes.ATTENUATION, value, unit, derivation=derivation)


def _density(density: Density) -> Iterable[Quantity]:
    yield quantity("solid_fraction", codes.SOLID_FRACTION, density.solid_fraction, codes.NO_UNITS)
    yield quantity("solid_long_axis_mm", codes.SOLID_LONG_AXIS, density.solid_long_axis_mm, codes.MILLIMETRE)
    yield quantity("mass_g", codes.MASS, density.mass_g, codes.GRAM)
    yield quantity("calcified_ml", codes.CALCIFIED_VOLUME, density.calcified_ml, codes.MILLILITRE)
    yield quantity("cavity_ml", codes.CAVITY_VOLUME, density.cavity_ml, codes.MILLILITRE)
    yield quantity("spiculation", codes.SPICULATION, density.spiculation, codes.NO_UNITS)
    yield quantity("lobulation", codes.LOBULATION, density.lobulation, codes.NO_UNITS)


def location_quantities(location: LesionLocation) -> list[Quantity]:
    """Return the distances of a lesion to wall, mediastinum, fissure and, if it was found, carina."""
    rows = (
        ("wall_mm", codes.WALL_DISTANCE, location.wall_mm),
        ("mediastinum_mm", codes.MEDIASTINUM_DISTANCE, location.mediastinum_mm),
        ("carina_mm", codes.CARINA_DISTANCE, location.carina_mm),
        ("fissure_mm", codes.FISSURE_DISTANCE, location.fissure_mm),
    )
    return [quantity(key, name, value, codes.MILLIMETRE) for key, name, value in rows if value is not None]


def extent_quantities(extent: Extent) -> list[Quantity]:
    """Return the totals of all lesions; without sides and shares if the lungs were not found."""
    rows: tuple[tuple[str, Code, float | None, Code], ...] = (
        ("lesions", codes.NUMBER_OF_LESIONS, extent.lesions, codes.LESIONS),
        ("lesions_right", codes.LESIONS_RIGHT, extent.lesions_right, codes.LESIONS),
        ("lesions_left", codes.LESIONS_LEFT, extent.lesions_left, codes.LESIONS),
        ("satellites", codes.SATELLITES, extent.satellites, codes.LESIONS),
        ("burden_ml", codes.BURDEN, extent.burden_ml, codes.MILLILITRE),
        ("lungs_ml", codes.LUNGS_VOLUME, extent.lungs_ml, codes.MILLILITRE),
        ("burden_share", codes.BURDEN_SHARE, extent.burden_share, codes.NO_UNITS),
        ("largest_distance_mm", codes.LARGEST_DISTANCE, extent.largest_distance_mm, codes.MILLIMETRE),
        ("dispersion_mm", codes.DISPERSION, extent.dispersion_mm, codes.MILLIMETRE),
    )
    return [quantity(key, name, value, unit) for key, name, value, unit in rows if value is not None]


def lobe_quantities(burden: LobeBurden) -> list[Quantity]:
    """Return the lesions and the tumour burden of one lobe."""
    return [
        quantity("lesions", codes.LOBE_LESIONS, burden.lesions, codes.LESIONS),
        quantity("burden_ml", codes.LOBE_BURDEN, burden.burden_ml, codes.MILLILITRE),
        quantity("lobe_ml", codes.LOBE_VOLUME, burden.lobe_ml, codes.MILLILITRE),
        quantity("involvement", codes.INVOLVEMENT, burden.involvement, codes.NO_UNITS),
    ]


def quantity(key: str, name: Code, value: float, unit: Code, derivation: Code | None = None) -> Quantity:
    """Return a quantity, its value rounded to the DECIMALS of the unit."""
    return Quantity(key=key, name=name, value=_rounded(value, unit), unit=unit, derivation=derivation)


def _rounded(value: float, unit: Code) -> float:
    decimals = DECIMALS[unit]
    return round(float(value), decimals) + 0.0 if decimals else int(value)
