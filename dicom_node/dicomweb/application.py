"""The resources of the DICOMweb server, and its answers to errors."""

from __future__ import annotations

import asyncio
import logging

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from dicom_node.dicomweb.retrieve import PIXEL_DATA, RetrieveService
from dicom_node.dicomweb.search_service import SearchService
from dicom_node.dicomweb.store import StoreService
from dicom_node.dicomweb.urls import ROOT
from dicom_node.errors import JournalUnavailable
from dicom_node.loop import where

log = logging.getLogger(__name__)

_FAILED_LOGIN_PAUSE_S = 0.5
"""The answer to a wrong token is held back, so that tokens cannot be tried quickly."""

_STUDIES, _STUDY = f"{ROOT}/studies", f"{ROOT}/studies/{{study}}"
_SERIES = f"{_STUDY}/series/{{series}}"
_INSTANCE = f"{_SERIES}/instances/{{instance}}"


def make_application(storing: StoreService, searching: SearchService, retrieving: RetrieveService) -> Starlette:
    """Return the ASGI application of the three services."""
    searched = (
        f"{ROOT}/series",
        f"{ROOT}/instances",
        f"{_STUDY}/series",
        f"{_STUDY}/instances",
        f"{_SERIES}/instances",
    )
    retrieved = (_STUDY, _SERIES, _INSTANCE)
    routes = [
        *(Route(path, storing.store, methods=["POST"]) for path in (_STUDIES, _STUDY)),
        *(Route(path, searching.search) for path in (_STUDIES, *searched)),
        *(Route(path, retrieving.retrieve) for path in retrieved),
        *(Route(f"{path}/metadata", retrieving.metadata) for path in retrieved),
        Route(f"{_INSTANCE}/bulkdata/{PIXEL_DATA}", retrieving.pixel_data),
    ]
    return Starlette(
        routes=routes,
        exception_handlers={
            HTTPException: _on_refused,
            JournalUnavailable: _on_journal_unavailable,
            Exception: _on_unexpected,
        },
    )


async def _on_refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  (it is registered for these)
    if error.status_code == 401:
        await asyncio.sleep(_FAILED_LOGIN_PAUSE_S)
    return PlainTextResponse(error.detail, error.status_code, error.headers)


def _on_journal_unavailable(_: Request, error: Exception) -> Response:
    log.error("DICOMweb request answered 503: %s", error)
    return PlainTextResponse("the journal does not respond", 503)


def _on_unexpected(_: Request, error: Exception) -> Response:
    # Neither the error's text nor the URL: both may quote patient data.
    log.error("DICOMweb request answered 500: unexpected %s", where(error))
    return PlainTextResponse("internal error", 500)
