from __future__ import annotations

from pathlib import Path

import pytest

from dicom_node.errors import SeriesRejected
from models.lungs.outline import find_lung_air
from tests.fixtures.study_of_eight import Described, study_of_eight
from worker.ct.chest import require_lungs
from worker.ct.reader import LoadedSeries, load
from worker.ct.rejections import CutLungs, NoLungs


@pytest.fixture(scope="module")
def study() -> dict[str, Described]:
    return study_of_eight()


def loaded(described: Described, folder: Path) -> LoadedSeries:
    return load(described.write(folder / "series", "1.2.8.1"))


@pytest.mark.parametrize("name", ["soft", "lung", "attenuation"])
def test_a_chest_shows_the_whole_lungs(study: dict[str, Described], name: str, tmp_path: Path) -> None:
    series = loaded(study[name], tmp_path)

    require_lungs(series, find_lung_air(series.volume), whole=True)


def test_the_air_in_the_sinuses_of_a_head_is_no_lung(study: dict[str, Described], tmp_path: Path) -> None:
    series = loaded(study["head"], tmp_path)

    with pytest.raises(NoLungs, match="no lungs are found: the largest section of lung is 0 cm2"):
        require_lungs(series, find_lung_air(series.volume), whole=False)


def test_an_abdomen_ends_within_the_lungs_and_counts_only_if_nothing_shows_more(
    study: dict[str, Described], tmp_path: Path
) -> None:
    series = loaded(study["abdomen"], tmp_path)
    air = find_lung_air(series.volume)

    require_lungs(series, air, whole=False)
    # The lower halves of two ellipsoids of 50 x 70 x 50 mm: 2 x 2/3 pi x 5 x 7 x 5 cm3 = 733 ml.
    with pytest.raises(CutLungs, match=r"shows 7[0-9][0-9] ml") as cut:
        require_lungs(series, air, whole=True)
    assert cut.value.lungs_ml == pytest.approx(733, rel=0.1)


@pytest.mark.parametrize(
    ("name", "reason"), [("scout", "localizer"), ("coronal", "not an axial"), ("mip", "projection")]
)
def test_what_does_not_suit_by_its_headers_is_rejected_by_the_reader(
    study: dict[str, Described], name: str, reason: str, tmp_path: Path
) -> None:
    with pytest.raises(SeriesRejected, match=reason):
        loaded(study[name], tmp_path)
