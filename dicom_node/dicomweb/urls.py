"""The URLs of the DICOMweb server's resources."""

from __future__ import annotations

from pydicom import Dataset
from starlette.requests import Request

from dicom_node.dicomweb.attributes import Level

ROOT = "/dicom-web"


def service_url(request: Request, public_url: str) -> str:
    """Return the URL of the service: the configured one, or by the name that the request has for the host."""
    return (public_url or f"{request.base_url}{ROOT[1:]}").rstrip("/")


def retrieve_url(header: Dataset, service: str, level: Level = Level.INSTANCES) -> str:
    """Return the URL by which WADO-RS retrieves an instance, or the series or study that it belongs to."""
    url = f"{service}/studies/{header.StudyInstanceUID}"
    if level is not Level.STUDIES:
        url += f"/series/{header.SeriesInstanceUID}"
    return f"{url}/instances/{header.SOPInstanceUID}" if level is Level.INSTANCES else url
