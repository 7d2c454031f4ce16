"""Every series of tests/fixtures/awkward_series.py has its right outcome: the same tumour, or a reason in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from models.lungs.outline import find_lung_air
from models.volume import Volume, voxel_volume_ml
from tests.fixtures.awkward_series import SERIES, Awkward
from tests.fixtures.small_site import LUNG_HU, TUMOUR, TUMOUR_HU, TUMOUR_ML
from worker.ct.chest import require_lungs
from worker.ct.files import dicom_files
from worker.ct.plausibility import require_hounsfield
from worker.ct.reader import load

CENTRE_MM = [5.0 * (TUMOUR[2].start + TUMOUR[2].stop - 1) / 2, 5.0 * (TUMOUR[1].start + TUMOUR[1].stop - 1) / 2,
             5.0 * (1 + (TUMOUR[0].start + TUMOUR[0].stop - 1) / 2)]  # fmt: skip
"""Of the tumour, LPS: the first pixel is at 0, the first slice at 5 mm."""


def read(folder: Path) -> Volume:
    """What the pipeline does before the network."""
    series = load(dicom_files(folder))
    require_hounsfield(series)
    require_lungs(series, find_lung_air(series.volume), whole=False)
    return series.volume


def tumour_of(volume: Volume) -> tuple[float, list[float]]:
    """Volume in ml and centroid in LPS mm of the tumour: dense, and with lung around it."""
    labels, count = ndimage.label(volume.hu > (LUNG_HU + TUMOUR_HU) / 2)
    assert count == 2  # the body and the tumour
    inside = np.argwhere(labels == np.bincount(labels.ravel())[1:].argmin() + 1)
    centre = volume.affine[:3, :3] @ inside.mean(0) + volume.affine[:3, 3]
    return len(inside) * voxel_volume_ml(volume.affine), centre.tolist()


@pytest.mark.parametrize("awkward", SERIES, ids=lambda awkward: awkward.what)
def test_an_awkward_series_has_its_right_outcome(awkward: Awkward, tmp_path: Path) -> None:
    awkward.write(tmp_path)

    if awkward.rejection is not None:
        with pytest.raises(awkward.rejection) as refused:
            read(tmp_path)
        assert not {"\n", "SECRET"} & {*str(refused.value), *str(refused.value).split()}
        return
    ml, centre_mm = tumour_of(read(tmp_path))
    assert ml == pytest.approx(TUMOUR_ML * awkward.share, rel=1e-6)
    assert awkward.is_moved or centre_mm == pytest.approx(CENTRE_MM, abs=0.01)
