from __future__ import annotations

from dataclasses import replace

import pytest

from tests.fixtures.worker.make_findings import GROUND_GLASS, SOLID, finding, part_solid
from worker.findings import Finding
from worker.lesions.density import Density
from worker.lesions.shape import Shape
from worker.lesions.uncertainty import Interval, SizeIntervals, Uncertainty
from worker.staging.t_size import CATEGORIES, SizeOfT, category_of, t_by_size, whole_mm

VAN_SCHIL_2024 = "TNM 9th edition, T by size: Van Schil et al., J Thorac Oncol 2024;19:749"
TRAVIS_2016 = "subsolid lesions: Travis et al., J Thorac Oncol 2016;11:1204"
BANKIER_2017 = "whole millimetres: Bankier et al., Radiology 2017;285:584"


def by_size(found: Finding) -> SizeOfT:
    return t_by_size(found.measurement, found.uncertainty)


def category(long_axis_mm: float, density: Density) -> str:
    return by_size(finding(1, long_axis_mm, density=density)).category


@pytest.mark.parametrize(
    ("size_mm", "expected"),
    [
        (1, "T1a"), (10, "T1a"), (11, "T1b"), (20, "T1b"), (21, "T1c"), (30, "T1c"), (31, "T2a"), (40, "T2a"),
        (41, "T2b"), (50, "T2b"), (51, "T3"), (70, "T3"), (71, "T4"), (150, "T4"),
    ],
)  # fmt: skip
def test_every_limit_of_the_size_table_belongs_to_the_lower_category(size_mm: float, expected: str) -> None:
    assert category(size_mm, SOLID) == expected, VAN_SCHIL_2024


@pytest.mark.parametrize("edge_mm", [10, 20, 30, 40, 50, 70])
def test_sizes_are_compared_in_whole_millimetres_a_half_up(edge_mm: int) -> None:
    below, above = category(edge_mm + 0.49, SOLID), category(edge_mm + 0.5, SOLID)

    assert below == category(edge_mm, SOLID), BANKIER_2017
    assert above == category(edge_mm + 1, SOLID), BANKIER_2017
    assert CATEGORIES.index(above) == CATEGORIES.index(below) + 1


def test_halves_are_rounded_up_even_from_an_even_number() -> None:
    assert [whole_mm(length) for length in (10.5, 11.5, 0.49, 4.0)] == [11, 12, 0, 4]


@pytest.mark.parametrize(
    ("size_mm", "expected"), [(3, "Tis"), (10, "Tis"), (30, "Tis"), (30.4, "Tis"), (31, "T1a"), (60, "T1a")]
)
def test_pure_ground_glass_is_in_situ_up_to_30_mm_and_t1a_above(size_mm: float, expected: str) -> None:
    assert category(size_mm, GROUND_GLASS) == expected, TRAVIS_2016


@pytest.mark.parametrize(
    ("size_mm", "solid_mm", "expected"),
    [
        (30, 0, "T1mi"), (30, 5, "T1mi"), (30, 5.4, "T1mi"), (30, 6, "T1a"), (31, 5, "T1a"), (31, 6, "T1a"),
        (30, 10, "T1a"), (30, 11, "T1b"), (60, 20, "T1b"), (60, 21, "T1c"), (60, 30, "T1c"), (60, 31, "T2a"),
        (60, 41, "T2b"), (90, 51, "T3"), (90, 71, "T4"),
    ],
)  # fmt: skip
def test_a_part_solid_lesion_is_classified_by_its_solid_part(size_mm: float, solid_mm: float, expected: str) -> None:
    assert category(size_mm, part_solid(solid_mm)) == expected, TRAVIS_2016


def test_the_basis_gives_the_size() -> None:
    assert by_size(finding(1, 48.2, density=SOLID)).basis == ("48 mm: T2b by size",)
    assert by_size(finding(1, 18, density=GROUND_GLASS)).basis == ("18 mm, ground-glass: Tis (AIS) by size",)
    assert by_size(finding(1, 25, density=part_solid(12))).basis == (
        "25 mm, part-solid with a solid part of 12 mm: T1b by size",
    )


def shape_of(largest_diameter_mm: float) -> Shape:
    zeros = dict.fromkeys(Shape.__dataclass_fields__, 0.0)
    return Shape(**{**zeros, "largest_diameter_mm": largest_diameter_mm})


def test_a_longer_3d_diameter_adds_a_clause_and_does_not_raise_the_category() -> None:
    # Travis 2016 uses the greatest dimension in any plane; ours is axial.
    measured = replace(finding(1, 48, density=SOLID).measurement, shape=shape_of(53.0))

    size = t_by_size(measured, uncertain(48, 48))

    assert size.category == "T2b"
    assert size.basis[1:] == ("longest diameter in any direction 53 mm: T3 if measured in that plane",)


def test_a_longer_3d_diameter_of_the_same_category_adds_no_clause() -> None:
    assert (
        len(
            t_by_size(replace(finding(1, 44, density=SOLID).measurement, shape=shape_of(49.0)), uncertain(44, 44)).basis
        )
        == 1
    )


def uncertain(low: float, high: float) -> Uncertainty:
    interval = Interval(low=low, high=high)
    each = SizeIntervals(volume_ml=interval, long_axis_mm=interval, short_axis_mm=interval)
    return Uncertainty(volume_ml=interval, long_axis_mm=interval, short_axis_mm=interval, another_reader=each)


def test_an_interval_across_a_limit_gives_both_categories() -> None:
    measured = finding(1, 48, density=SOLID).measurement

    assert t_by_size(measured, uncertain(46, 50.4)).basis[1:] == ()
    assert t_by_size(measured, uncertain(46, 50.5)).basis[1:] == ("within the size's 95 % interval: T2b to T3",)
    assert t_by_size(measured, uncertain(46, 50.5)).category == "T2b"


def test_categories_stand_in_the_order_of_the_table() -> None:
    by_size = [category_of(size) for size in range(1, 100)]
    assert list(dict.fromkeys(by_size)) == list(CATEGORIES[2:])
