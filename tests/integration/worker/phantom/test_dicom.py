from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from worker.ct.reader import load
from worker.phantom.chest import Phantom, PhantomSpec, chest_phantom
from worker.phantom.dicom import write_series

SPEC = PhantomSpec(shape=(6, 48, 40), spacing_mm=(20.0, 8.0, 9.0), lesions=(), vessels_per_lung=0)


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return chest_phantom(SPEC)


def test_the_loaded_volume_equals_the_generated_one(phantom: Phantom, tmp_path: Path) -> None:
    volume = load(write_series(tmp_path, phantom)).volume

    assert np.array_equal(volume.hu, phantom.hu)
    assert volume.affine == pytest.approx(phantom.affine, abs=1e-3)


def test_dciodvfy_finds_no_error(phantom: Phantom, tmp_path: Path) -> None:
    if shutil.which("dciodvfy") is None:
        pytest.skip("dicom3tools is not installed")
    for file in write_series(tmp_path, phantom)[::5]:
        done = subprocess.run(["dciodvfy", str(file)], capture_output=True, text=True, check=False)

        assert done.returncode == 0
        assert "Error" not in done.stderr + done.stdout


def test_the_same_phantom_is_written_with_the_same_bytes(phantom: Phantom, tmp_path: Path) -> None:
    first, second = (write_series(tmp_path / name, phantom) for name in ("first", "second"))

    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in second]


def test_a_different_seed_or_name_gives_a_different_series_of_the_same_patient(
    phantom: Phantom, tmp_path: Path
) -> None:
    other = chest_phantom(replace(SPEC, seed=2))
    first_images = [
        pydicom.dcmread(files[0])
        for files in (
            write_series(tmp_path / "a", phantom),
            write_series(tmp_path / "b", phantom, "follow-up"),
            write_series(tmp_path / "c", other),
        )
    ]

    assert len({image.StudyInstanceUID for image in first_images}) == 3
    assert len({image.SeriesInstanceUID for image in first_images}) == 3
    assert len({image.SOPInstanceUID for image in first_images}) == 3
    assert {str(image.PatientName) for image in first_images} == {"PHANTOM^LUNG"}
    assert {image.PatientID for image in first_images} == {"PH-0001"}
