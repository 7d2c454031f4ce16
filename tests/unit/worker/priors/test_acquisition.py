from datetime import date

from pydicom.dataset import Dataset

from worker.follow_up.acquisition import Acquisition
from worker.priors.acquisition import acquisition_of


def header(**elements: object) -> Dataset:
    dataset = Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


def test_date_kernel_and_contrast_are_read() -> None:
    image = header(StudyDate="20260224", ConvolutionKernel=["B30f", "2"], ContrastBolusAgent="Iohexol")

    assert acquisition_of(image) == Acquisition(date=date(2026, 2, 24), kernel="B30f\\2", has_contrast=True)


def test_an_empty_contrast_agent_is_unknown_and_an_absent_one_is_no_contrast() -> None:
    assert acquisition_of(header(ContrastBolusAgent="")).has_contrast is None
    assert acquisition_of(header()).has_contrast is False


def test_a_missing_or_invalid_date_is_none() -> None:
    assert acquisition_of(header()).date is None
    assert acquisition_of(header(StudyDate="")).date is None
    assert acquisition_of(header(StudyDate="20260200")).date is None
