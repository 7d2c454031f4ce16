import math
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from worker.demo.ground_truth import compare
from worker.findings import Findings
from worker.phantom.chest import PhantomLesion

BALL = PhantomLesion(centre_mm=(10.0, 20.0, 30.0), half_axes_mm=(10.0, 10.0, 10.0))


def findings(*lesions: tuple[tuple[float, float, float], float, float]) -> Findings:
    """Return findings with only what is compared: centroid, volume and long axis of each lesion."""
    found: list[Any] = [
        SimpleNamespace(
            lesion=SimpleNamespace(centroid_mm=centroid),
            measurement=SimpleNamespace(volume_ml=volume, long_axis=SimpleNamespace(length_mm=axis)),
        )
        for centroid, volume, axis in lesions
    ]
    return cast(Findings, SimpleNamespace(findings=found, volume=SimpleNamespace(spacing=(2.5, 0.9, 0.9))))


def test_a_ball_of_10_mm_radius_has_4_19_ml() -> None:
    assert BALL.volume_ml == pytest.approx(4.18879)
    assert BALL.long_axis_mm == 20


def test_errors_are_measured_minus_true() -> None:
    (one,) = compare(findings(((11.0, 20.0, 30.0), 4.18879 * 1.05, 21.0)), [BALL])

    assert one.volume_error == pytest.approx(0.05, abs=1e-6)
    assert one.long_axis_error_mm == pytest.approx(1.0)
    assert one.is_within


@pytest.mark.parametrize(("volume", "axis"), [(4.18879 * 1.11, 20.0), (4.18879 * 0.89, 20.0), (4.18879, 22.5)])
def test_an_error_beyond_a_limit_is_not_within(volume: float, axis: float) -> None:
    (one,) = compare(findings(((10.0, 20.0, 30.0), volume, axis)), [BALL])

    assert not one.is_within


def test_a_missed_lesion_is_not_within() -> None:
    (one,) = compare(findings(((40.0, 20.0, 30.0), 4.2, 20.0)), [BALL])

    assert one.found is None
    assert math.isinf(one.volume_error)
    assert not one.is_within
    assert np.isinf(one.long_axis_error_mm)
