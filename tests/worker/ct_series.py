"""Builds small CT series whose every voxel is known from its place in space."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A CT series whose Hounsfield units are a slope through space, with noise where asked for."""

    slices: int = 6
    rows: int = 20
    columns: int = 16
    spacing_mm: tuple[float, float, float] = (2.5, 0.7, 0.8)
    orientation: tuple[float, ...] = (1, 0, 0, 0, 1, 0)
    step: tuple[float, float, float] | None = None
    """From slice to slice in LPS mm; along the normal when None."""
    signed: bool = False
    noise_hu: int = 0

    def hu_at(self, places_mm: Array) -> Array:
        """The Hounsfield units at LPS places, last axis x, y, z."""
        return np.asarray(places_mm @ (10.0, 7.0, 4.0) + 100.0)

    def images(self) -> list[Dataset]:
        """The data sets, along their normal."""
        row, column = np.array(self.orientation[:3], float), np.array(self.orientation[3:], float)
        step = np.cross(row, column) * self.spacing_mm[0] if self.step is None else np.array(self.step)
        first = np.array([-5.0, 4.0, -30.0])
        return [self._image(number, first + number * step, row, column) for number in range(self.slices)]

    def _image(self, number: int, position: Array, row: Array, column: Array) -> Dataset:
        image = _patient_and_study(number)
        image.ImagePositionPatient = [round(float(value), 6) for value in position]
        image.ImageOrientationPatient = [round(float(value), 8) for value in (*row, *column)]
        image.Rows, image.Columns, image.PixelSpacing = self.rows, self.columns, list(self.spacing_mm[1:])
        image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
        image.BitsAllocated, image.BitsStored, image.HighBit = 16, 12, 11
        image.PixelRepresentation = int(self.signed)
        image.RescaleSlope, image.RescaleIntercept, image.RescaleType = 1, 0 if self.signed else -1024, "HU"
        r, c = np.meshgrid(np.arange(self.rows), np.arange(self.columns), indexing="ij")
        places = position + r[..., None] * column * self.spacing_mm[1] + c[..., None] * row * self.spacing_mm[2]
        hu = np.rint(self.hu_at(places))
        if self.noise_hu:
            hu += np.random.default_rng(number).integers(-self.noise_hu, self.noise_hu, hu.shape) * 6
        hu = np.clip(hu, -1024, 2047)
        image.PixelData = (hu - image.RescaleIntercept).astype("<i2" if self.signed else "<u2").tobytes()
        image["PixelData"].VR = "OW"
        return image


def _patient_and_study(number: int) -> Dataset:
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.SOPClassUID, image.Modality, image.ImageType = CTImageStorage, "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
    image.StudyInstanceUID, image.SeriesInstanceUID, image.FrameOfReferenceUID = "1.2.1", "1.2.2", "1.2.3"
    image.SOPInstanceUID, image.InstanceNumber = f"1.2.4.{number + 1}", number + 1
    image.PatientName, image.PatientID, image.PatientBirthDate = "SECRET^NAME", "SECRET-ID", "19330303"
    image.StudyDescription = image.SeriesDescription = "SECRET CHEST"
    return image


def save(images: list[Dataset], folder: Path, *, shuffled: bool = False) -> list[Path]:
    """Write the images, and return their files in the order of the images, or in any other."""
    files = [folder / f"{number:04d}.dcm" for number in range(1, len(images) + 1)]
    if shuffled:
        random.Random(4).shuffle(files)
    for image, file in zip(images, files, strict=True):
        image.save_as(file, enforce_file_format=True)
    return sorted(files) if shuffled else files
