import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.segmenter import ModelError
from models.store.downloads import DownloadInterrupted, download
from tests.fixtures.models.range_server import Served, serving

CONTENT = bytes(range(256)) * 4000  # 1 MB
WANTED = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server() -> Iterator[Served]:
    with serving(Served(content=CONTENT)) as served:
        yield served


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def fetch(server: Served, path: Path, wanted: str = WANTED) -> list[tuple[int, int | None]]:
    reported: list[tuple[int, int | None]] = []
    download(server.url("weights.bin"), wanted, path, lambda received, total: reported.append((received, total)))

    return reported


def test_a_file_is_downloaded_and_its_progress_reported(server: Served, tmp_path: Path) -> None:
    reported = fetch(server, tmp_path / "new" / "x")

    assert (tmp_path / "new" / "x").read_bytes() == CONTENT
    assert reported[-1] == (len(CONTENT), len(CONTENT))
    assert names_in(tmp_path / "new") == ["x"]
    assert server.asked == [""]


def test_an_interrupted_connection_resumes(server: Served, tmp_path: Path) -> None:
    server.cuts = [300_000, 200_000]

    fetch(server, tmp_path / "x")

    assert (tmp_path / "x").read_bytes() == CONTENT
    assert server.asked == ["", "bytes=300000-", "bytes=500000-"]


def test_received_bytes_are_kept_and_the_same_call_resumes(server: Served, tmp_path: Path) -> None:
    server.cuts = [400_000, 0]
    with pytest.raises(DownloadInterrupted, match="400000 bytes are kept, the same command goes on"):
        fetch(server, tmp_path / "x")
    assert not (tmp_path / "x").exists()
    server.asked.clear()

    fetch(server, tmp_path / "x")

    assert server.asked == ["bytes=400000-"]
    assert (tmp_path / "x").read_bytes() == CONTENT
    assert names_in(tmp_path) == ["x"]


def test_an_unreachable_server_is_an_interruption(server: Served, tmp_path: Path) -> None:
    with serving(Served(content=b"")) as gone:
        pass

    with pytest.raises(DownloadInterrupted, match="Connection refused; 0 bytes are kept"):
        fetch(gone, tmp_path / "x")


def test_a_download_without_range_support_starts_again(server: Served, tmp_path: Path) -> None:
    server.cuts, server.supports_range = [300_000], False

    fetch(server, tmp_path / "x")

    assert server.asked == ["", "bytes=300000-"]
    assert (tmp_path / "x").read_bytes() == CONTENT


def test_a_file_with_another_hash_is_rejected_and_nothing_is_kept(server: Served, tmp_path: Path) -> None:
    server.content = CONTENT[:-1] + b"!"

    with pytest.raises(
        ModelError, match=f"its SHA-256 is {hashlib.sha256(server.content).hexdigest()}, expected {WANTED}"
    ):
        fetch(server, tmp_path / "x")
    assert names_in(tmp_path) == []


def test_a_partial_file_of_another_content_is_discarded(server: Served, tmp_path: Path) -> None:
    server.cuts = [300_000, 0]
    server.content = b"\0" * len(CONTENT)
    with pytest.raises(DownloadInterrupted):
        fetch(server, tmp_path / "x")
    server.content = CONTENT

    fetch(server, tmp_path / "x")

    assert (tmp_path / "x").read_bytes() == CONTENT
    assert server.asked[-2:] == ["bytes=300000-", ""]


def test_a_complete_partial_file_is_used(server: Served, tmp_path: Path) -> None:
    (tmp_path / f"x.{WANTED[:12]}.part").write_bytes(CONTENT)

    fetch(server, tmp_path / "x")

    assert (tmp_path / "x").read_bytes() == CONTENT
    assert server.asked == [f"bytes={len(CONTENT)}-"]


@pytest.mark.parametrize(("status", "kind"), [(404, ModelError), (403, ModelError), (503, DownloadInterrupted)])
def test_an_error_status_is_reported_and_only_server_errors_can_be_retried(
    server: Served, tmp_path: Path, status: int, kind: type[ModelError]
) -> None:
    server.status = status

    with pytest.raises(ModelError, match=f"the server returned {status}") as failed:
        fetch(server, tmp_path / "x")
    assert type(failed.value) is kind


def test_secrets_in_a_url_are_not_in_the_message(server: Served, tmp_path: Path) -> None:
    server.status = 404
    url = f"http://127.0.0.1:{server.port}/x.zip?token=secret"

    with pytest.raises(ModelError) as failed:
        download(url, WANTED, tmp_path / "x", lambda *_: None)
    assert str(failed.value).startswith(f"http://127.0.0.1:{server.port}/x.zip: ")
    assert "secret" not in str(failed.value)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/x", "weights.bin"])
def test_only_http_is_supported(url: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="only http and https"):
        download(url, WANTED, tmp_path / "x", lambda *_: None)


def test_an_invalid_hash_is_rejected_before_any_request(server: Served, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="a SHA-256 has 64 digits"):
        fetch(server, tmp_path / "x", hashlib.md5(CONTENT).hexdigest())
    assert server.asked == []
