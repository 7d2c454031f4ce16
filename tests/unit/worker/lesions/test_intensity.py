from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tests.fixtures.worker.ibsi_phantom import IBSI_MASK, IBSI_PHANTOM
from worker.lesions.density import intensity_of

# IBSI reference manual v1.1 (arXiv:1612.07003), section 3.3: the digital phantom's consensus values, all of them "very
# strong". They are given with three digits; `half` is half of the last one. The variance is 3.05.
CONSENSUS = {
    "mean_hu": (2.15, 0.005),
    "sd_hu": (3.05**0.5, 0.005 / (2 * 3.05**0.5) + 0.005),
    "skewness": (1.08, 0.005),
    "kurtosis": (-0.355, 0.0005),
    "minimum_hu": (1, 0),
    "p10_hu": (1, 0),
    "median_hu": (1, 0),
    "p90_hu": (4, 0),
    "maximum_hu": (6, 0),
}


@pytest.mark.parametrize("feature", CONSENSUS)
def test_the_digital_phantom_has_the_published_consensus_value(feature: str) -> None:
    value, tolerance = CONSENSUS[feature]

    intensity = intensity_of(IBSI_PHANTOM[IBSI_MASK].astype(np.float64))

    assert getattr(intensity, feature) == pytest.approx(value, abs=tolerance + 1e-9)


def test_the_statistics_of_a_skewed_lesion_are_those_of_scipy() -> None:
    hu = -900 + np.random.default_rng(3).gamma(2.0, 150.0, 5001)

    intensity = intensity_of(hu)

    assert intensity.skewness == pytest.approx(stats.skew(hu), abs=1e-4)
    assert intensity.kurtosis == pytest.approx(stats.kurtosis(hu), abs=1e-4)
    assert intensity.p10_hu == pytest.approx(np.sort(hu)[500], abs=0.005)
    assert intensity.p90_hu == pytest.approx(np.sort(hu)[4500], abs=0.005)


@pytest.mark.parametrize("voxels", [1, 7])
def test_equal_voxels_have_zero_deviation_skewness_and_kurtosis(voxels: int) -> None:
    intensity = intensity_of(np.full(voxels, 37.0))

    assert (intensity.mean_hu, intensity.minimum_hu, intensity.maximum_hu) == (37, 37, 37)
    assert (intensity.sd_hu, intensity.skewness, intensity.kurtosis) == (0, 0, 0)
