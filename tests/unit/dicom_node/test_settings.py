from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from dicom_node.settings import DicomwebSettings, JournalSettings, NodeSettings, Peer, QueueSettings


@pytest.mark.parametrize("ae_title", ["LUNGSPREAD", "A", "SIXTEEN-LETTERS.", "WITH SPACE"])
def test_an_ae_title_that_the_standard_allows_is_accepted(ae_title: str) -> None:
    assert NodeSettings(ae_title=ae_title).ae_title == ae_title


@pytest.mark.parametrize("ae_title", ["", "   ", "SEVENTEEN LETTERS", "BACK\\SLASH", "TAB\tTAB", "ÜMLAUT"])
def test_an_ae_title_that_the_standard_forbids_is_refused(ae_title: str) -> None:
    with pytest.raises(ValidationError, match="1 to 16 printable ASCII characters"):
        NodeSettings(ae_title=ae_title)


def test_spaces_around_an_ae_title_are_removed() -> None:
    assert NodeSettings(ae_title=" PACS ").ae_title == "PACS"  # PS3.5 table 6.2-1


def test_settings_do_not_change_once_they_are_read() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        NodeSettings().port = 104


@pytest.mark.parametrize(
    ("field", "value"),
    [("port", 65536), ("quiet_period_s", 0), ("min_free_mb", -1), ("retry_backoff_max_s", float("inf"))],
)
def test_a_number_out_of_range_is_refused(field: str, value: float) -> None:
    with pytest.raises(ValidationError):
        NodeSettings.model_validate({field: value})


def test_a_peer_has_no_permissions_by_default() -> None:
    peer = Peer(name="pacs", ae_title="ORTHANC", host="127.0.0.1", port=4242)

    assert not any([peer.may_send, peer.send_results, peer.query_priors, peer.storage_commitment])


@pytest.mark.parametrize("url", ["embedded", "redis://host:6379/0", "rediss://:secret@host", "redis+socket:///run/r"])
def test_a_queue_is_embedded_or_a_redis_url(url: str) -> None:
    assert QueueSettings(url=url).url == url


@pytest.mark.parametrize("url", ["", "embedded ", "amqp://host", "memory://"])
def test_a_queue_url_that_is_not_redis_is_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        QueueSettings(url=url)


def test_the_journal_is_in_the_data_directory_unless_it_has_a_url() -> None:
    assert JournalSettings().url_in(Path("/data")) == "sqlite:////data/journal.db"
    url = "postgresql+psycopg://host/journal"
    assert JournalSettings(url=url).url_in(Path("/data")) == url


WEB = {"name": "archive", "ae_title": "ARCHIVE", "dicomweb_url": "https://archive/dicom-web"}


def test_a_peer_that_is_reached_by_dicomweb_alone_needs_no_address() -> None:
    services = {"send_results": True, "deliver": "stow", "query_priors": True, "retrieve": "wado", "may_send": True}

    assert not Peer.model_validate(WEB | services).has_address


@pytest.mark.parametrize(
    ("service", "message"),
    [
        ({"send_results": True}, 'send_results by deliver = "store" needs host and port'),
        ({"query_priors": True}, 'query_priors by retrieve = "move" needs host and port'),
        ({"query_priors": True, "retrieve": "get"}, 'query_priors by retrieve = "get" needs host and port'),
        ({"storage_commitment": True}, "storage_commitment needs host and port"),
        ({"host": "archive"}, "both needed, or neither"),
        ({"port": 104}, "both needed, or neither"),
        ({"deliver": "stow", "dicomweb_url": ""}, 'deliver = "stow" needs a dicomweb_url'),
    ],
)
def test_a_peer_without_the_address_that_a_service_needs_is_refused(service: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Peer.model_validate(WEB | service)


@pytest.mark.parametrize("token", ["", "0123456789abcdef", "a.b_c-d~e+f/ghijk=="])
def test_a_token_of_rfc_6750_is_accepted_and_not_printed(token: str) -> None:
    peer = Peer.model_validate(WEB | {"dicomweb_token": token})

    assert peer.dicomweb_token.get_secret_value() == token
    assert not token or token not in f"{peer!r} {peer} {peer.model_dump_json()}"


@pytest.mark.parametrize("token", ["short", "with a space 0123", "ümlaut-0123456789", "line\n0123456789abc"])
def test_a_token_that_is_short_or_has_other_characters_is_refused(token: str) -> None:
    with pytest.raises(ValidationError, match="at least 16 letters"):
        Peer.model_validate(WEB | {"dicomweb_token": token})


def test_a_certificate_needs_its_key() -> None:
    with pytest.raises(ValidationError, match="both needed, or neither"):
        DicomwebSettings(tls_certificate="certificate.pem")
