from __future__ import annotations

import pytest

from models.lungs.lungs import Lobe
from tests.fixtures.worker.make_findings import SOLID, finding, in_lobe
from tests.fixtures.worker.make_lungs import Mm3, lungs_on
from worker.findings import Finding
from worker.staging.extent import extent_of
from worker.staging.t_descriptor import TProposal

LUNGS = lungs_on()
# Each lung is 40 x 60 x 120 mm. On the right the fissures cut 40, 30 and 50 mm of its height, on the left 60 and 60.
LOBES_ML = {
    Lobe.RIGHT_UPPER: 96.0, Lobe.RIGHT_MIDDLE: 72.0, Lobe.RIGHT_LOWER: 120.0, Lobe.LEFT_UPPER: 144.0,
    Lobe.LEFT_LOWER: 144.0,
}  # fmt: skip


def lesion(number: int, volume_ml: float, centre_mm: Mm3, lobe: Lobe | None) -> Finding:
    place = None if lobe is None else in_lobe(lobe)
    return finding(number, 30 - number, place, SOLID, volume_ml, centre_mm)


FOUR = (
    lesion(1, 6.0, (-30, 0, 40), Lobe.RIGHT_UPPER),
    lesion(2, 2.0, (-30, 0, 30), Lobe.RIGHT_UPPER),
    lesion(3, 1.0, (-30, 0, -40), Lobe.RIGHT_LOWER),
    lesion(4, 0.5, (30, 0, -40), Lobe.LEFT_LOWER),
)


def test_lesions_are_counted_by_side() -> None:
    extent = extent_of(FOUR, LUNGS)

    assert (extent.lesions, extent.lesions_right, extent.lesions_left) == (4, 3, 1)


def test_the_burden_is_the_sum_of_volumes_and_its_share_that_of_both_lungs() -> None:
    extent = extent_of(FOUR, LUNGS)

    assert extent.burden_ml == pytest.approx(9.5)
    assert extent.lungs_ml == pytest.approx(576)
    assert extent.burden_share == pytest.approx(9.5 / 576, abs=1e-6)


def test_every_lobe_has_its_burden_including_empty_ones() -> None:
    by_lobe = extent_of(FOUR, LUNGS).by_lobe

    assert [burden.lobe for burden in by_lobe] == list(Lobe)
    assert [burden.lesions for burden in by_lobe] == [2, 0, 1, 0, 1]
    assert [burden.burden_ml for burden in by_lobe] == [8.0, 0.0, 1.0, 0.0, 0.5]
    assert {burden.lobe: burden.lobe_ml for burden in by_lobe} == pytest.approx(LOBES_ML)
    expected = [8 / 96, 0, 1 / 120, 0, 0.5 / 144]
    assert [burden.involvement for burden in by_lobe] == pytest.approx(expected, abs=1e-6)


def test_the_lobes_burdens_add_up_to_the_burden() -> None:
    extent = extent_of(FOUR, LUNGS)

    assert sum(burden.burden_ml for burden in extent.by_lobe) == pytest.approx(extent.burden_ml)


def test_a_tumour_larger_than_the_rest_of_its_lobe_has_involvement_1() -> None:
    extent = extent_of([lesion(1, 100.0, (-30, 0, 40), Lobe.RIGHT_UPPER)], LUNGS)

    assert extent.by_lobe[0].involvement == 1


def test_the_largest_distance_is_that_of_the_centres_farthest_apart() -> None:
    assert extent_of(FOUR, LUNGS).largest_distance_mm == 100  # 60 mm across and 80 mm down


def test_dispersion_weights_distances_from_the_common_centroid_by_volume() -> None:
    pair = (
        lesion(1, 3.0, (-30, 0, 40), Lobe.RIGHT_UPPER),
        lesion(2, 1.0, (-30, 0, 0), Lobe.RIGHT_MIDDLE),
    )

    # The centre is at z = 30: 10 mm from three quarters of the burden, 30 mm from one. (3 * 100 + 900) / 4 = 300.
    assert extent_of(pair, LUNGS).dispersion_mm == pytest.approx(300**0.5, abs=0.05)


def test_satellites_are_the_others_in_the_lobe_of_the_largest_by_volume() -> None:
    assert extent_of(FOUR, LUNGS).satellites == 1
    assert extent_of(FOUR[::-1], LUNGS).satellites == 1
    assert extent_of(FOUR[1:], LUNGS).satellites == 0


def test_one_lesion_has_no_distance_dispersion_or_satellite() -> None:
    extent = extent_of(FOUR[:1], LUNGS)

    assert (extent.largest_distance_mm, extent.dispersion_mm, extent.satellites) == (0, 0, 0)
    assert extent.proposal == TProposal(descriptor="T1c", basis=("29 mm: T1c by size",), m1a=False)


def test_the_proposal_is_that_of_all_lesions() -> None:
    proposal = extent_of(FOUR, LUNGS).proposal

    assert proposal is not None
    assert (proposal.descriptor, proposal.m1a) == ("T4", True)


def test_without_a_lesion_everything_is_zero_and_nothing_is_proposed() -> None:
    extent = extent_of([], LUNGS)

    assert (extent.lesions, extent.lesions_right, extent.lesions_left, extent.satellites) == (0, 0, 0, 0)
    assert (extent.burden_ml, extent.burden_share, extent.largest_distance_mm, extent.dispersion_mm) == (0, 0, 0, 0)
    assert [burden.lesions for burden in extent.by_lobe] == [0] * 5
    assert extent.proposal is None


def test_without_lungs_only_fields_that_need_a_location_are_none() -> None:
    extent = extent_of([lesion(1, 6.0, (-30, 0, 40), None), lesion(2, 2.0, (-30, 0, 30), None)], None)

    assert (extent.lesions_right, extent.lesions_left, extent.satellites) == (None, None, None)
    assert (extent.lungs_ml, extent.burden_share, extent.by_lobe) == (None, None, ())
    assert (extent.lesions, extent.burden_ml, extent.largest_distance_mm) == (2, 8.0, 10.0)
    assert extent.proposal is not None
    assert extent.proposal.descriptor == "T1c"
    assert "place in the lungs not known: by size alone" in extent.proposal.basis


def test_without_lungs_and_lesions_counts_are_zero_and_sides_none() -> None:
    extent = extent_of([], None)

    assert (extent.lesions, extent.burden_ml, extent.lesions_right, extent.by_lobe) == (0, 0, None, ())
