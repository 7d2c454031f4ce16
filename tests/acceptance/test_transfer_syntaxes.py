"""Other software sends a series in every transfer syntax that it can send: the SR always has the same volume."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pydicom
import pynetdicom
import pytest
import requests
from pydicom.dataset import Dataset
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)
from pynetdicom import evt
from pynetdicom.presentation import build_context

from dicom_node.identifiers import CT_IMAGES
from dicom_node.network.association import NodeAE, on_connected
from dicom_node.transfer_syntaxes import (
    DEFLATED_FRAMES,
    ENCAPSULATED_UNCOMPRESSED,
    JPEG_XL,
    JPEG_XL_LOSSLESS,
    JPEG_XL_RECOMPRESSION,
)
from tests.conftest import CLOSES_ITS_SOCKET
from tests.fixtures.dicom_node.orthanc import running_orthanc
from tests.fixtures.encoded_ct import ENCODINGS, Encoding, dcmtk
from tests.fixtures.small_site import AE_TITLE, SENDER, TUMOUR_ML, SmallSite, chest
from tests.fixtures.worker.multi_frame import converted, enhanced
from tests.fixtures.worker.reading import everything

# Options of storescu, for the transfer syntaxes that it proposes alone.
STORESCU = {
    ExplicitVRLittleEndian: "-xe", ImplicitVRLittleEndian: "-xi", ExplicitVRBigEndian: "-xb",
    DeflatedExplicitVRLittleEndian: "-xd", JPEGLosslessSV1: "-xs", JPEGBaseline8Bit: "-xy", JPEGExtended12Bit: "-xx",
    JPEGLSLossless: "-xt", JPEGLSNearLossless: "-xu", JPEG2000Lossless: "-xv", JPEG2000: "-xw", RLELossless: "-xr",
}  # fmt: skip
BY_SYNTAX: dict[UID, Encoding] = {encoding.syntax: encoding for encoding in reversed(ENCODINGS)}
NEWER_THAN_DCMTK_3_6_7 = {
    ENCAPSULATED_UNCOMPRESSED, DEFLATED_FRAMES, JPEG_XL_LOSSLESS, JPEG_XL_RECOMPRESSION, JPEG_XL, HTJ2KLossless,
    HTJ2KLosslessRPCL, HTJ2K,
}  # fmt: skip
"""Orthanc 1.10 stores them, and cannot send them."""
FROM_ORTHANC = [syntax for syntax in BY_SYNTAX if syntax not in NEWER_THAN_DCMTK_3_6_7]
VOLUME = "118565006"
NUMBERS = itertools.count(1)
"""Of the series."""

Send = Callable[[SmallSite, list[Path], UID], None]
Kind = Callable[[list[Dataset]], list[Dataset]]
"""Makes single-frame images of one series into images of another SOP class."""
KINDS: dict[str, Kind] = {
    "Enhanced CT": lambda images: [enhanced(images, uid=f"{images[0].SeriesInstanceUID}.99")],
    "Legacy Converted Enhanced CT": lambda images: [converted(images, uid=f"{images[0].SeriesInstanceUID}.99")],
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallSite]:
    with SmallSite(folder=tmp_path_factory.mktemp("site")) as running:
        yield running


@pytest.fixture(scope="module")
def orthanc_url(tmp_path_factory: pytest.TempPathFactory, site: SmallSite) -> Iterator[str]:
    """Start an Orthanc that knows the site as its modality `node`."""
    with running_orthanc(tmp_path_factory.mktemp("orthanc"), node_port=site.port) as (_, http):
        yield f"http://127.0.0.1:{http}"


def write_chest(folder: Path, encoding: Encoding, series_uid: str, kind: Kind = list) -> list[Path]:
    files = []
    for image in kind(chest(series_uid)):
        files.append(folder / f"{image.InstanceNumber}.dcm")
        image.save_as(files[-1], enforce_file_format=True)
        encoding.encode(files[-1])
    return files


def by_storescu(site: SmallSite, files: list[Path], syntax: UID) -> None:
    command = [dcmtk("storescu"), STORESCU[syntax], "-R", "-aet", SENDER, "-aec", AE_TITLE, "127.0.0.1", str(site.port)]
    subprocess.run([*command, *map(str, files)], check=True, env=os.environ | {"TCP_NODELAY": "1"})


def by_dcmsend(site: SmallSite, files: list[Path], _syntax: UID) -> None:
    command = [dcmtk("dcmsend"), "-dn", "-aet", SENDER, "-aec", AE_TITLE, "127.0.0.1", str(site.port)]
    subprocess.run([*command, *map(str, files)], check=True, env=os.environ | {"TCP_NODELAY": "1"})


def by_pynetdicom(site: SmallSite, files: list[Path], syntax: UID) -> None:
    contexts = [build_context(sop_class, syntax) for sop_class in CT_IMAGES]
    handlers: list[Any] = [CLOSES_ITS_SOCKET, (evt.EVT_CONN_OPEN, on_connected, [10.0])]  # without a delay
    # Its own requestor may lose a response on a busy machine: its polling thread takes it.
    assoc = NodeAE(SENDER).associate("127.0.0.1", site.port, contexts, AE_TITLE, evt_handlers=handlers)
    assert assoc.is_established
    statuses = [assoc.send_c_store(file).Status for file in files]
    assoc.release()
    assert set(statuses) == {0x0000}


def by_stow(site: SmallSite, files: list[Path], _syntax: UID) -> None:
    """Send the files as they are; dicomweb-client would encode them again."""
    parts = [b"--x\r\nContent-Type: application/dicom\r\n\r\n" + file.read_bytes() + b"\r\n" for file in files]
    headers = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=x'}
    answer = requests.post(f"{site.url}/studies", b"".join([*parts, b"--x--"]), headers=headers, timeout=30)
    assert answer.status_code == 200, answer.text


def require_the_volume(site: SmallSite, series_uid: str, syntax: UID) -> None:
    kept = {
        pydicom.dcmread(file, stop_before_pixels=True).file_meta.TransferSyntaxUID for file in site.received(series_uid)
    }
    assert kept == {syntax}
    volumes = [
        float(item.MeasuredValueSequence[0].NumericValue)
        for item in everything(site.report_of(series_uid))
        if item.ValueType == "NUM" and item.ConceptNameCodeSequence[0].CodeValue == VOLUME
    ]
    assert volumes == [TUMOUR_ML]


CASES: list[tuple[str, Send, UID]] = [
    *(("storescu", by_storescu, syntax) for syntax in STORESCU),
    ("dcmsend", by_dcmsend, JPEGLossless),
    *(("pynetdicom", by_pynetdicom, syntax) for syntax in BY_SYNTAX),
    *(("STOW-RS", by_stow, syntax) for syntax in BY_SYNTAX),
]


@pytest.mark.parametrize(
    ("send", "syntax"),
    [pytest.param(send, syntax, id=f"{name}-{BY_SYNTAX[syntax].name}") for name, send, syntax in CASES],
)
def test_the_volume_is_the_same_in_every_transfer_syntax(
    send: Send, syntax: UID, site: SmallSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The data set as it is: pynetdicom cannot encode one in a transfer syntax that pydicom does not know.
    monkeypatch.setattr(pynetdicom._config, "STORE_SEND_CHUNKED_DATASET", True)
    series_uid = f"1.2.{next(NUMBERS)}"
    files = write_chest(tmp_path, BY_SYNTAX[syntax], series_uid)

    send(site, files, syntax)

    require_the_volume(site, series_uid, syntax)


@pytest.mark.parametrize("syntax", FROM_ORTHANC, ids=lambda syntax: BY_SYNTAX[syntax].name)
def test_the_volume_is_the_same_in_every_transfer_syntax_that_orthanc_sends(
    syntax: UID, site: SmallSite, orthanc_url: str, tmp_path: Path
) -> None:
    series_uid = f"1.2.{next(NUMBERS)}"
    files = write_chest(tmp_path, BY_SYNTAX[syntax], series_uid)
    instances = [post(f"{orthanc_url}/instances", file.read_bytes())["ID"] for file in files]

    post(f"{orthanc_url}/modalities/node/store", json.dumps({"Resources": instances, "Synchronous": True}).encode())

    require_the_volume(site, series_uid, syntax)


@pytest.mark.parametrize("kind", KINDS)
def test_the_volume_of_a_multi_frame_image_that_orthanc_sends_is_the_same(
    kind: str, site: SmallSite, orthanc_url: str, tmp_path: Path
) -> None:
    series_uid = f"1.2.{next(NUMBERS)}"
    (file,) = write_chest(tmp_path, BY_SYNTAX[JPEGLSLossless], series_uid, KINDS[kind])
    stored = post(f"{orthanc_url}/instances", file.read_bytes())["ID"]

    post(f"{orthanc_url}/modalities/node/store", json.dumps({"Resources": [stored], "Synchronous": True}).encode())

    require_the_volume(site, series_uid, JPEGLSLossless)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("send", "syntax"),
    [
        (by_storescu, JPEGLSLossless),
        (by_pynetdicom, HTJ2KLossless),
        (by_pynetdicom, JPEG_XL_LOSSLESS),
        (by_stow, ExplicitVRLittleEndian),
        (by_stow, HTJ2KLossless),
    ],
)
def test_the_volume_of_a_multi_frame_image_is_the_same(
    kind: str, send: Send, syntax: UID, site: SmallSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pynetdicom._config, "STORE_SEND_CHUNKED_DATASET", True)
    series_uid = f"1.2.{next(NUMBERS)}"
    files = write_chest(tmp_path, BY_SYNTAX[syntax], series_uid, KINDS[kind])

    send(site, files, syntax)

    require_the_volume(site, series_uid, syntax)


def post(url: str, body: bytes) -> Any:  # noqa: ANN401 - JSON
    with urllib.request.urlopen(url, body, timeout=30) as answer:
        return json.loads(answer.read())
