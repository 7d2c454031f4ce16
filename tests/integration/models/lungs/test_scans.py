"""Both whole scans of the shared data. Expected values were read from the images by eye or come with the data."""

from __future__ import annotations

import subprocess
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from models.lungs.lungs import Lobe, Lungs
from models.lungs.outline import find_lung_air, outline_lungs
from tests.fixtures.models.lung_phantoms import stored
from tests.fixtures.orthanc_stack import SHARED
from worker.ct.reader import LoadedSeries, load

pytestmark = pytest.mark.skipif(
    not (SHARED / "data" / "unpack").is_file(), reason="the shared reference material is not beside the repository"
)
TUMOUR_C3N = (-81.0, -190.0, -193.0)
"""data/README.md: a spiculated tumour of the right lung."""
CARINA = {"c3n-00247": (-2.0, -132.0, -100.0), "lung-dx-a0001": (-8.0, 165.0, -247.0)}
"""The septum between both main bronchi in the first slice that shows it."""

Scan = tuple[LoadedSeries, Lungs]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    names = ["c3n-00247", "lung-dx-a0001", "lung-dx-a0001-boxes"]
    subprocess.run([SHARED / "data" / "unpack", folder, *names], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def scans(data: Path) -> dict[str, Scan]:
    return {name: scan(data / name) for name in CARINA}


def scan(folder: Path) -> Scan:
    series = load(sorted(path for path in folder.rglob("*") if path.is_file()))
    lungs = outline_lungs(find_lung_air(series.volume))
    assert lungs is not None
    return series, lungs


def index(lungs: Lungs, lps_mm: tuple[float, ...]) -> tuple[int, ...]:
    return tuple(round(float(one)) for one in (np.linalg.inv(lungs.affine) @ [*lps_mm, 1])[:3])


@pytest.mark.parametrize("name", CARINA)
def test_the_carina_agrees_with_the_reading_by_eye(scans: dict[str, Scan], name: str) -> None:
    carina_mm = scans[name][1].carina_mm

    assert carina_mm is not None
    assert np.linalg.norm(np.subtract(carina_mm, CARINA[name])) < 8


def test_the_tumour_of_the_right_lung_is_inside_it(scans: dict[str, Scan]) -> None:
    lungs = scans["c3n-00247"][1]
    lobe = Lobe(lungs.lobes[index(lungs, TUMOUR_C3N)])

    assert lobe in {Lobe.RIGHT_LOWER, Lobe.RIGHT_MIDDLE}  # at the base, in front


def test_the_boxes_of_the_left_tumour_are_in_the_left_upper_lobe_or_at_its_edge(
    scans: dict[str, Scan], data: Path
) -> None:
    series, lungs = scans["lung-dx-a0001"]
    found = []
    for file in (data / "lung-dx-a0001-boxes").rglob("*.xml"):
        if file.stem not in series.sop_instance_uids:
            continue
        slice_ = series.sop_instance_uids.index(file.stem)
        for box in ElementTree.parse(file).iter("bndbox"):
            x0, y0, x1, y1 = (float(box.findtext(key, "nan")) for key in ("xmin", "ymin", "xmax", "ymax"))
            lps = series.volume.affine @ [slice_, (y0 + y1) / 2, (x0 + x1) / 2, 1]
            found.append(int(lungs.lobes[index(lungs, tuple(lps[:3]))]))

    assert len(found) >= 8
    assert set(found) <= {0, Lobe.LEFT_UPPER}
    assert found.count(Lobe.LEFT_UPPER) >= len(found) / 2


@pytest.mark.parametrize("name", CARINA)
def test_the_lungs_contain_no_gas_and_no_bone_and_are_complete(scans: dict[str, Scan], name: str) -> None:
    series, lungs = scans[name]
    inside = lungs.lobes > 0
    corners = np.argwhere(inside)
    to_scan = np.linalg.inv(series.volume.affine) @ lungs.affine
    places = np.rint(corners @ to_scan[:3, :3].T + to_scan[:3, 3]).astype(int)
    hu = series.volume.hu[tuple(places.T)]

    assert (hu > 250).mean() < 0.005
    assert (hu < -400).mean() > 0.9
    assert 0.8 < lungs_ml(lungs, right=True) / lungs_ml(lungs, right=False) < 1.6


def lungs_ml(lungs: Lungs, *, right: bool) -> float:
    return sum(lungs.volume_ml(lobe) for lobe in Lobe if lobe.is_right == right)


def test_a_feet_first_scan_with_exchanged_axes_gives_the_same_lungs(scans: dict[str, Scan]) -> None:
    series, lungs = scans["lung-dx-a0001"]
    axes, flipped = (0, 2, 1), (0, 2)
    other = outline_lungs(find_lung_air(stored(series.volume, axes, flipped)))

    assert other is not None
    np.testing.assert_array_equal(np.flip(other.lobes.transpose(np.argsort(axes)), flipped), lungs.lobes)
