import numpy as np
import pytest

from training.evaluation.bootstrap import FEW_PATIENTS, estimate, estimate_mean, estimate_median, estimate_spread


def test_equal_values_have_an_interval_of_zero_width() -> None:
    of_all = estimate_mean([f"p{n}" for n in range(30)], [0.25] * 30)

    assert (of_all.value, of_all.low, of_all.high) == (0.25, 0.25, 0.25)
    assert (of_all.cases, of_all.patients, of_all.few_patients) == (30, 30, False)


def test_the_interval_of_two_patients_runs_from_one_value_to_the_other() -> None:
    # Each is drawn twice in a quarter of the draws, more often than 2.5 %.
    of_two = estimate_mean(["a", "b"], [0.0, 1.0])

    assert (of_two.value, of_two.low, of_two.high) == (0.5, 0.0, 1.0)
    assert of_two.few_patients


def test_patients_are_resampled_not_their_cases() -> None:
    # Resampled by case, nine zeros and a one would rarely give a mean above 0.5; by patient, b is drawn twice in a
    # quarter of the draws.
    of_two = estimate_mean(["a"] * 9 + ["b"], [0.0] * 9 + [1.0])

    assert (of_two.value, of_two.low, of_two.high) == (0.1, 0.0, 1.0)
    assert (of_two.cases, of_two.patients) == (10, 2)


def test_one_patient_has_no_interval() -> None:
    of_one = estimate_mean(["a", "a"], [0.2, 0.4])

    assert (of_one.value, of_one.low, of_one.high, of_one.patients) == (0.3, None, None, 1)


def test_undefined_values_are_ignored_and_not_counted() -> None:
    assert estimate_median(["a", "b", "c"], [1.0, None, 3.0]).cases == 2
    assert estimate_median(["a", "b", "c"], [1.0, None, 3.0]).value == 2
    assert estimate_mean(["a"], [None]).value is None
    assert estimate_mean([], []).value is None


def test_the_spread_is_the_standard_deviation_of_a_sample() -> None:
    assert estimate_spread(["a", "b", "c"], [1.0, 2.0, 3.0]).value == 1


@pytest.mark.parametrize(("patients", "least", "most"), [(FEW_PATIENTS, 0.89, 0.97), (10, 0.83, 0.95)])
def test_the_interval_covers_the_true_mean_about_as_often_as_stated(patients: int, least: float, most: float) -> None:
    rng = np.random.default_rng(5)
    names = [f"p{n}" for n in range(patients)]
    covered = []
    for _ in range(300):
        values = rng.normal(3.0, 1.0, patients)
        found = estimate(names, lambda drawn, values=values: float(values[drawn].mean()), draws=200)  # type: ignore[misc]
        assert found.low is not None
        assert found.high is not None
        covered.append(found.low <= 3.0 <= found.high)

    assert least < np.mean(covered) < most
