from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from pydantic import ValidationError

from dicom_node.settings import DicomwebSettings, JournalSettings, Peer, QueueSettings
from worker.settings import Settings, load_settings

SECRET = "a-secret-of-24-characters"
REDIS, POSTGRESQL = f"redis://:{SECRET}@redis:6379/0", f"postgresql+psycopg://me:{SECRET}@host/journal"
ARCHIVE = {"name": "archive", "ae_title": "ARCHIVE", "dicomweb_url": "https://archive/dicom-web"}


def written(folder: Path, content: str) -> str:
    (folder / "secret").write_text(content)
    return str(folder / "secret")


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_secret_may_be_in_a_file_of_its_own(tmp_path: Path, end: str) -> None:
    file = written(tmp_path, SECRET + end)
    peer = Peer.model_validate(ARCHIVE | {"dicomweb_token_file": file, "dicomweb_authorization_file": file})

    assert peer.dicomweb_token.get_secret_value() == peer.dicomweb_authorization.get_secret_value() == SECRET
    assert QueueSettings.model_validate({"url_file": written(tmp_path, REDIS + end)}).url == REDIS
    assert JournalSettings.model_validate({"url_file": written(tmp_path, POSTGRESQL + end)}).url == POSTGRESQL


def test_the_secrets_are_these() -> None:
    assert Peer.secrets() == ["dicomweb_authorization", "dicomweb_key_passphrase", "dicomweb_token"]
    assert (QueueSettings.secrets(), JournalSettings.secrets()) == (["url"], ["url"])
    assert DicomwebSettings.secrets() == ["tls_key_passphrase"]


def test_a_file_may_be_named_in_the_configuration_or_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, file = tmp_path / "lungspread.toml", written(tmp_path, REDIS)
    config.write_text(f'[queue]\nurl_file = "{file}"\nmax_attempts = 7\n')
    assert load_settings(config).queue == QueueSettings(url=REDIS, max_attempts=7)

    config.write_text("[queue]\nmax_attempts = 7\n")
    monkeypatch.setenv("LUNGSPREAD_QUEUE__URL_FILE", file)
    assert load_settings(config).queue == QueueSettings(url=REDIS, max_attempts=7)
    assert load_settings(None).queue.url == REDIS


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"url_file": "/nowhere/secret"}, "url_file: /nowhere/secret: No such file or directory"),
        ({"url_file": "/"}, "url_file: /: Is a directory"),
        ({"url_file": "/dev/zero"}, "url_file: the file has more than 65536 bytes"),
        ({"url_file": "/dev/null", "url": REDIS}, "url and url_file are both set"),
        ({"lease_s_file": "/dev/null"}, "lease_s_file\n  Extra inputs"),
    ],
)
def test_a_file_that_cannot_be_the_secret_is_refused(given: dict[str, str], message: str) -> None:
    with pytest.raises(ValidationError, match=message) as refused:
        QueueSettings.model_validate(given)
    assert SECRET not in str(refused.value)


def test_what_a_file_holds_is_checked_and_never_shown(tmp_path: Path) -> None:
    with pytest.raises(ValidationError) as refused:
        QueueSettings.model_validate({"url_file": written(tmp_path, f"amqp://{SECRET}")})
    assert SECRET not in str(refused.value)


def test_a_password_with_a_slash_is_refused_and_not_quoted() -> None:
    with pytest.raises(ValidationError, match="not a URL; a password in it is percent-encoded") as refused:
        QueueSettings(url=f"redis://:{SECRET}/of@redis:6379/0")
    assert "secret" not in str(refused.value)


def test_no_secret_is_shown() -> None:
    web = {"enabled": True, "tls_certificate": "a", "tls_key": "b", "tls_key_passphrase": SECRET}
    peer = ARCHIVE | {"dicomweb_token": SECRET, "dicomweb_authorization": f"Bearer {SECRET}"}
    known = {"dicomweb": web, "peers": [peer], "queue": {"url": REDIS}, "journal": {"url": POSTGRESQL}}
    settings = Settings.model_validate(known)

    assert SECRET not in f"{settings!r} {settings} {settings.queue!r} {settings.peers[0]!r} {settings.journal}"
    assert SECRET.encode() in pickle.dumps(settings)  # it is there


@pytest.mark.parametrize("url", ["http://archive/dicom-web", "http://192.0.2.1/dicom-web", "http://localhost.example/"])
def test_a_token_goes_over_plain_http_only_if_the_configuration_says_so(url: str) -> None:
    known = ARCHIVE | {"dicomweb_url": url, "dicomweb_authorization": "Bearer token"}
    with pytest.raises(ValidationError, match="dicomweb_authorization would go without TLS"):
        Peer.model_validate(known)
    assert Peer.model_validate(known | {"dicomweb_plain_http": True}).dicomweb_url == url
    assert Peer.model_validate(known | {"dicomweb_authorization": ""}).dicomweb_url == url


@pytest.mark.parametrize("url", ["http://127.0.0.1:80/", "http://localhost/", "http://[::1]:8042/", "https://archive/"])
def test_a_token_goes_to_this_machine_or_over_https(url: str) -> None:
    known = ARCHIVE | {"dicomweb_url": url, "dicomweb_authorization": "Bearer token"}
    assert Peer.model_validate(known).dicomweb_url == url


@pytest.mark.parametrize(
    "wrong",
    [
        {"dicomweb_authorization": "Bearer a\r\nX-Other: b"},
        {"dicomweb_certificate": "certificate.pem"},
        {"dicomweb_key": "key.pem"},
        {"dicomweb_url": "https://archive/dicom-web?token=secret"},
    ],
)
def test_what_cannot_be_sent_safely_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        Peer.model_validate(ARCHIVE | wrong)
