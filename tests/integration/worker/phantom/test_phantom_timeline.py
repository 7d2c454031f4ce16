"""The phantom timeline: written scans agree with the ground truth in any pose and storage order."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread

from models.lungs.outline import find_lung_air, outline_lungs
from tests.fixtures.worker.phantom_timeline import (
    TimePoint,
    TrueLesion,
    TrueSegmenter,
    phantom_timeline,
    true_lungs,
    true_mask,
)
from worker.ct.reader import LoadedSeries, load
from worker.lesions.lesion import find_lesions
from worker.phantom.patient_pose import PatientPose

TIMELINE = phantom_timeline()


@pytest.fixture(scope="module", params=range(len(TIMELINE)))
def scan(request: pytest.FixtureRequest, course_files: list[list[Path]]) -> tuple[TimePoint, LoadedSeries]:
    return TIMELINE[request.param], load(course_files[request.param])


def test_the_dates_are_91_days_apart() -> None:
    assert [point.date for point in TIMELINE] == [
        date(2024, 1, 8), date(2024, 4, 8), date(2024, 7, 8), date(2024, 10, 7), date(2025, 1, 6),
    ]  # fmt: skip


def test_the_volumes_are_the_computed_ones() -> None:
    # 4/3 pi 6^3 = 904.78 mm3, times 2^(91 n / 120): 1.6915, 2.8613, 4.8399, 8.1868.
    growing_ml = [0.90478, 1.53045, 2.58881, 4.37905, 7.40730]
    assert [point.lesion("grower").volume_ml for point in TIMELINE] == pytest.approx(growing_ml, rel=1e-4)
    # 4/3 pi 18 14 15 and 12 10 11.
    assert [point.lesion("shrinker").volume_ml for point in TIMELINE[:2]] == pytest.approx([15.8336, 5.5292], rel=1e-4)
    # 2 x 4/3 pi 9.5^3 = 7182.76, less pi x 55 x 2^2 / 12 = 57.60.
    assert TIMELINE[3].lesion("twins").volume_ml == pytest.approx(7.12516, rel=1e-4)
    assert TIMELINE[3].lesion("twins").long_axis_mm == 36.0


def test_a_point_moves_as_computed() -> None:
    pose = PatientPose(breath=0.08, turn_deg=90.0, shift_mm=(1.0, 2.0, 3.0))
    # 128 mm below the apex: 128 + 0.08 x 128^2 / 256 = 133.12, so z = 116 - 133.12. 88 mm in front of the back:
    # 88 + 0.04 x 88^2 / 176 = 89.76, so y = 86 - 89.76 = -3.76. Rotated by 90 degrees, (10, -3.76) becomes (3.76, 10).
    assert pose.to_scan((10.0, -2.0, -12.0)) == pytest.approx((4.76, 12.0, -14.12))


@pytest.mark.parametrize("point", TIMELINE, ids=lambda point: point.visit.name)
def test_to_chest_inverts_to_scan(point: TimePoint) -> None:
    pose = point.visit.spec.pose or PatientPose()
    for reference_point in [(-80.0, 40.0, 130.0), (100.0, -60.0, -120.0), (0.0, 95.0, 0.0)]:
        x, y, z = (np.array(value, np.float32) for value in pose.to_scan(reference_point))
        assert [float(value) for value in pose.to_chest(x, y, z)] == pytest.approx(reference_point, abs=1e-3)


def test_no_two_scans_have_the_same_grid_pose_or_storage() -> None:
    specs = [point.visit.spec for point in TIMELINE]
    poses = [spec.pose for spec in specs if spec.pose]
    for values in (
        [spec.spacing_mm[0] for spec in specs], [spec.spacing_mm[1] for spec in specs],
        [spec.shape[1:] for spec in specs], [point.visit.flipped for point in TIMELINE],
        [pose.breath for pose in poses], [pose.shift_mm for pose in poses],
    ):  # fmt: skip
        assert len(set(values)) == len(TIMELINE)


def test_every_lesion_is_one_separate_component(scan: tuple[TimePoint, LoadedSeries]) -> None:
    point, series = scan
    mask = TrueSegmenter(lesions=point.lesions).segment(series.volume, lambda _: None)
    lesions = find_lesions(mask, TrueSegmenter(lesions=()).card, "k")

    assert len(lesions) == len(point.lesions)
    for true in point.lesions:
        nearest = min(lesions, key=lambda lesion: math.dist(lesion.centroid_mm, true.centre_mm))
        assert math.dist(nearest.centroid_mm, true.centre_mm) < 0.8
        assert nearest.voxels.sum() * mask.voxel_ml == pytest.approx(true.volume_ml, rel=0.08)


def test_the_voxels_are_dense_only_inside_the_lesions(scan: tuple[TimePoint, LoadedSeries]) -> None:
    point, series = scan
    for true in point.lesions:
        inside, near, far = (series.volume.hu[_grown(true, mm, series)] for mm in (-1.0, 4.0, 6.0))

        assert np.median(inside) > 0
        assert (far.sum() - near.sum()) / (far.size - near.size) < -600


def test_both_lungs_are_found_at_their_true_place(scan: tuple[TimePoint, LoadedSeries]) -> None:
    point, series = scan
    lungs = outline_lungs(find_lung_air(series.volume))
    assert lungs is not None

    truth = true_lungs(point, lungs.lobes.shape, lungs.affine)
    found = lungs.lobes > 0
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.96


def test_all_scans_belong_to_one_patient_and_each_to_its_own_study(course_files: list[list[Path]]) -> None:
    first = [dcmread(files[0], stop_before_pixels=True) for files in course_files]

    assert len({image.PatientID for image in first}) == len({image.PatientBirthDate for image in first}) == 1
    assert len({image.StudyInstanceUID for image in first}) == len({image.FrameOfReferenceUID for image in first}) == 5
    assert [image.StudyDate for image in first] == ["20240108", "20240408", "20240708", "20241007", "20250106"]
    assert [image.PatientPosition for image in first] == ["HFS", "HFS", "FFP", "HFP", "FFS"]
    # z increases from feet to head; the second and the last scan are stored in reverse order.
    heights = [
        [dcmread(file, stop_before_pixels=True).ImagePositionPatient[2] for file in files] for files in course_files
    ]
    assert [height == sorted(height) for height in heights] == [True, False, True, True, False]


def _grown(lesion: TrueLesion, by_mm: float, series: LoadedSeries) -> NDArray[np.bool_]:
    """Return the voxels of the lesion with its half axes lengthened by `by_mm`."""
    ellipsoids = tuple(
        replace(ellipsoid, half_axes_mm=(x + by_mm, y + by_mm, z + by_mm))
        for ellipsoid in lesion.ellipsoids
        for x, y, z in (ellipsoid.half_axes_mm,)
    )
    return true_mask(replace(lesion, ellipsoids=ellipsoids), series.volume.hu.shape, series.volume.affine)
