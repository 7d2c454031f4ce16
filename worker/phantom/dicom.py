"""Writes a phantom as a CT series."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from worker.phantom.chest import Phantom
from worker.uids import derived_uid

WHEN = datetime(2026, 5, 4, 9, 30, 0)
OFFSET = -1024
PATIENT_POSITIONS = {(1, 1): "HFS", (-1, -1): "HFP", (-1, 1): "FFS", (1, -1): "FFP"}
"""Patient Position (PS3.3 C.7.3.1.1.2) by the signs of row and column direction in LPS, as scanners store it."""


def write_series(folder: Path, phantom: Phantom, name: str = "baseline", when: datetime = WHEN) -> list[Path]:
    """Write one file per slice and return their paths, in the order of the phantom's slices.

    The UIDs are derived from the phantom's spec and the name: equal input gives equal UIDs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    key = f"phantom {phantom.spec} {name}"
    paths = []
    for index in range(len(phantom.hu)):
        image = _patient_and_study(key, when)
        _set_plane(image, key, phantom, index)
        _set_pixels(image, phantom, index)
        path = folder / f"{index + 1:04d}.dcm"
        image.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def with_reversed_axes(phantom: Phantom, *flipped: int) -> Phantom:
    """Return the same scan with these axes (0 slice, 1 row, 2 column) stored in reverse order."""
    affine = phantom.affine.copy()
    for axis in flipped:
        affine[:3, 3] += affine[:3, axis] * (phantom.hu.shape[axis] - 1)
        affine[:3, axis] *= -1
    return replace(phantom, hu=np.ascontiguousarray(np.flip(phantom.hu, flipped)), affine=affine)


def _patient_and_study(key: str, when: datetime) -> Dataset:
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.SpecificCharacterSet = "ISO_IR 192"
    image.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    image.SOPClassUID = CTImageStorage
    image.StudyDate = image.SeriesDate = image.AcquisitionDate = image.ContentDate = f"{when:%Y%m%d}"
    image.StudyTime = image.SeriesTime = image.AcquisitionTime = image.ContentTime = f"{when:%H%M%S}"
    image.AccessionNumber = "PH0001"
    image.Modality = "CT"
    image.Manufacturer, image.ManufacturerModelName = "LungSpread", "Phantom"
    image.DeviceSerialNumber, image.SoftwareVersions = "1", "1"
    image.ReferringPhysicianName = ""
    image.StudyDescription, image.SeriesDescription = "CT THORAX", "PHANTOM"
    image.PatientName, image.PatientID = "PHANTOM^LUNG", "PH-0001"
    image.PatientBirthDate, image.PatientSex = "19500101", "O"
    image.BodyPartExamined = "CHEST"
    image.KVP, image.ConvolutionKernel = 120, "NONE"
    image.StudyInstanceUID = derived_uid(key, "study")
    image.SeriesInstanceUID = derived_uid(key, "series")
    image.FrameOfReferenceUID = derived_uid(key, "frame")
    image.StudyID, image.SeriesNumber, image.AcquisitionNumber = "1", 2, 1
    image.PositionReferenceIndicator = ""
    return image


def _set_plane(image: Dataset, key: str, phantom: Phantom, index: int) -> None:
    x, y, z = phantom.affine[:3, 3] + index * phantom.affine[:3, 0]
    image.SOPInstanceUID = derived_uid(key, "instance", str(index + 1))
    image.InstanceNumber = index + 1
    image.ImagePositionPatient = [round(float(value), 4) for value in (x, y, z)]
    row_sign, column_sign = (int(np.sign(phantom.affine[axis, 2 - axis])) for axis in (0, 1))
    image.PatientPosition = PATIENT_POSITIONS[row_sign, column_sign]
    image.ImageOrientationPatient = [row_sign, 0, 0, 0, column_sign, 0]
    image.SliceLocation = round(float(z), 4)
    image.SliceThickness = phantom.spec.spacing_mm[0]
    image.PixelSpacing = list(phantom.spec.spacing_mm[1:])


def _set_pixels(image: Dataset, phantom: Phantom, index: int) -> None:
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.Rows, image.Columns = phantom.hu.shape[1:]
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 12, 11, 0
    image.RescaleIntercept, image.RescaleSlope, image.RescaleType = OFFSET, 1, "HU"
    image.WindowCenter, image.WindowWidth = -400, 1500
    image.PixelData = (np.rint(phantom.hu[index]).astype(np.int32) - OFFSET).astype("<u2").tobytes()
    image["PixelData"].VR = "OW"
