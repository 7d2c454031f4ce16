"""WADO-RS of our results, retrieved by dicomweb-client."""

from __future__ import annotations

from copy import deepcopy

import pytest
import requests
from pydicom import Dataset

from dicom_node.dicomweb.server import DicomwebServer
from dicom_node.errors import SettingsError
from dicom_node.settings import DicomwebSettings, NodeSettings
from tests.fixtures.dicom_node.dicomweb_site import READER_TOKEN, TOKEN, DicomwebSite
from tests.fixtures.dicom_node.results import ALL, FIRST, LATER

SEG, SR = ALL[FIRST.study_uid]
MULTIPART = 'multipart/related; type="application/dicom"'


def get(site: DicomwebSite, path: str, accept: str = "*/*", token: str = READER_TOKEN) -> requests.Response:
    headers = {"Authorization": f"Bearer {token}", "Accept": accept}
    return requests.get(f"{site.url}{path}", headers=headers, timeout=10)


def test_a_study_a_series_and_an_instance_are_retrieved_as_they_were_written(reading_site: DicomwebSite) -> None:
    client = reading_site.client(READER_TOKEN)

    assert client.retrieve_study(FIRST.study_uid) == [SEG, SR]
    assert list(client.iter_study(FIRST.study_uid)) == [SEG, SR]
    assert client.retrieve_series(FIRST.study_uid, SR.SeriesInstanceUID) == [SR]
    assert client.retrieve_instance(FIRST.study_uid, SEG.SeriesInstanceUID, SEG.SOPInstanceUID) == SEG


def test_the_bytes_of_a_file_are_one_part(reading_site: DicomwebSite) -> None:
    answer = get(reading_site, f"/studies/{FIRST.study_uid}/series/{SR.SeriesInstanceUID}")

    boundary = answer.headers["Content-Type"].partition("boundary=")[2].encode()
    assert answer.headers["Content-Type"].startswith(MULTIPART)
    (file,) = [
        path for path in reading_site.spool.outbox.rglob("1.dcm") if SR.SOPInstanceUID.encode() in path.read_bytes()
    ]
    start = b"--" + boundary + b"\r\nContent-Type: application/dicom\r\n\r\n"
    assert answer.content == start + file.read_bytes() + b"\r\n--" + boundary + b"--\r\n"


def test_metadata_have_every_element_and_a_uri_of_the_pixel_data(reading_site: DicomwebSite) -> None:
    client = reading_site.client(READER_TOKEN)
    of_study = client.retrieve_study_metadata(FIRST.study_uid)
    of_series = client.retrieve_series_metadata(FIRST.study_uid, SR.SeriesInstanceUID)
    of_instance = client.retrieve_instance_metadata(FIRST.study_uid, SEG.SeriesInstanceUID, SEG.SOPInstanceUID)

    assert of_study == [of_instance, *of_series]
    uri = of_instance.pop("7FE00010")["BulkDataURI"]
    without_pixels = deepcopy(SEG)
    del without_pixels.PixelData
    assert Dataset.from_json(of_instance) == without_pixels
    assert client.retrieve_bulkdata(uri) == [SEG.PixelData]


@pytest.mark.parametrize(
    "path",
    [
        "/studies/1.2.3",
        f"/studies/{LATER.study_uid}/series/{SEG.SeriesInstanceUID}",
        f"/studies/{FIRST.study_uid}/series/{SR.SeriesInstanceUID}/instances/{SEG.SOPInstanceUID}",
        "/studies/1.2.3/metadata",
        f"/studies/{FIRST.study_uid}/series/{SR.SeriesInstanceUID}/instances/{SR.SOPInstanceUID}/bulkdata/7FE00010",
        "/studies/..%2F..%2Fjournal.db",
        "/nothing",
    ],
)
def test_what_does_not_exist_is_answered_404(reading_site: DicomwebSite, path: str) -> None:
    assert get(reading_site, path).status_code == 404


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        (MULTIPART, 200),
        (f"image/jpeg, {MULTIPART}; transfer-syntax=*", 200),
        (f"{MULTIPART}; transfer-syntax=1.2.840.10008.1.2.1", 200),
        (f"{MULTIPART}; transfer-syntax=1.2.840.10008.1.2.4.50", 406),
        ("image/jpeg", 406),
    ],
)
def test_only_what_the_client_accepts_is_sent(reading_site: DicomwebSite, accept: str, status: int) -> None:
    assert get(reading_site, f"/studies/{FIRST.study_uid}", accept).status_code == status


def test_only_a_peer_that_may_retrieve_may_do_so(reading_site: DicomwebSite) -> None:
    for path in (f"/studies/{FIRST.study_uid}", f"/studies/{FIRST.study_uid}/metadata"):
        assert get(reading_site, path, token=TOKEN).status_code == 403
        assert get(reading_site, path, token="token-of-nobody-at-all").status_code == 401


def test_a_port_that_is_taken_is_a_wrong_setting(reading_site: DicomwebSite) -> None:
    port = int(reading_site.url.split(":")[2].split("/")[0])
    taken = DicomwebServer(
        settings=DicomwebSettings(port=port),
        node=NodeSettings(),
        peers=[],
        receiver=reading_site.receiver,
        documents=reading_site.opened.documents,
        spool=reading_site.spool,
    )
    with pytest.raises(SettingsError, match=r"dicomweb\.host and dicomweb\.port: cannot listen"):
        taken.open()
