"""Answers in the DICOM JSON model (PS3.18 Annex F), as pydicom encodes it."""

from __future__ import annotations

from typing import Any

from pydicom import Dataset
from starlette.responses import JSONResponse


class DicomJsonResponse(JSONResponse):
    """A data set or an array of data sets, encoded by `encode`."""

    media_type = "application/dicom+json"


def encode(dataset: Dataset) -> dict[str, Any]:
    """Return a data set in the JSON model; values that are not valid are left out."""
    return dataset.to_json_dict(suppress_invalid_tags=True)
