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
    told: list[tuple[int, int | None]] = []
    download(server.url("weights.bin"), wanted, path, lambda there, total: told.append((there, total)))
    return told


def test_a_file_is_fetched_whole_and_its_progress_told(server: Served, tmp_path: Path) -> None:
    told = fetch(server, tmp_path / "new" / "x")

    assert (tmp_path / "new" / "x").read_bytes() == CONTENT
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert names_in(tmp_path / "new") == ["x"]
    assert server.asked == [""]


def test_a_connection_that_is_cut_in_the_middle_goes_on_from_there(server: Served, tmp_path: Path) -> None:
    server.cuts = [300_000, 200_000]

    fetch(server, tmp_path / "x")

    assert (tmp_path / "x").read_bytes() == CONTENT
    assert server.asked == ["", "bytes=300000-", "bytes=500000-"]


def test_what_came_before_the_server_went_down_is_kept_and_the_same_call_goes_on(
    server: Served, tmp_path: Path
) -> None:
    server.cuts = [400_000, 0]
    with pytest.raises(DownloadInterrupted, match="400000 bytes are kept, the same command goes on"):
        fetch(server, tmp_path / "x")
    assert not (tmp_path / "x").exists()
    server.asked.clear()

    fetch(server, tmp_path / "x")

    assert server.asked == ["bytes=400000-"]
    assert (tmp_path / "x").read_bytes() == CONTENT
    assert names_in(tmp_path) == ["x"]


def test_a_server_that_is_not_there_is_no_refusal_for_good(server: Served, tmp_path: Path) -> None:
    with serving(Served(content=b"")) as gone:
        pass

    with pytest.raises(DownloadInterrupted, match="Connection refused; 0 bytes are kept"):
        fetch(gone, tmp_path / "x")


def test_a_server_without_range_starts_again(server: Served, tmp_path: Path) -> None:
    server.cuts, server.knows_range = [300_000], False

    fetch(server, tmp_path / "x")

    assert server.asked == ["", "bytes=300000-"]
    assert (tmp_path / "x").read_bytes() == CONTENT


def test_another_file_than_the_hash_says_is_refused_and_nothing_is_kept(server: Served, tmp_path: Path) -> None:
    server.content = CONTENT[:-1] + b"!"

    with pytest.raises(ModelError, match=f"its SHA-256 is {hashlib.sha256(server.content).hexdigest()}, {WANTED} was"):
        fetch(server, tmp_path / "x")
    assert names_in(tmp_path) == []


def test_a_beginning_of_another_file_is_thrown_away(server: Served, tmp_path: Path) -> None:
    server.cuts = [300_000, 0]
    server.content = b"\0" * len(CONTENT)
    with pytest.raises(DownloadInterrupted):
        fetch(server, tmp_path / "x")
    server.content = CONTENT

    fetch(server, tmp_path / "x")

    assert (tmp_path / "x").read_bytes() == CONTENT
    assert server.asked[-2:] == ["bytes=300000-", ""]


def test_a_part_that_was_whole_already_is_taken(server: Served, tmp_path: Path) -> None:
    (tmp_path / f"x.{WANTED[:12]}.part").write_bytes(CONTENT)

    fetch(server, tmp_path / "x")

    assert (tmp_path / "x").read_bytes() == CONTENT
    assert server.asked == [f"bytes={len(CONTENT)}-"]


@pytest.mark.parametrize(("status", "kind"), [(404, ModelError), (403, ModelError), (503, DownloadInterrupted)])
def test_a_refusal_of_the_server_is_told_and_only_its_own_trouble_is_retried(
    server: Served, tmp_path: Path, status: int, kind: type[ModelError]
) -> None:
    server.status = status

    with pytest.raises(ModelError, match=f"the server answers {status}") as told:
        fetch(server, tmp_path / "x")
    assert type(told.value) is kind


def test_what_may_be_secret_in_a_url_is_not_told(server: Served, tmp_path: Path) -> None:
    server.status = 404
    url = f"http://127.0.0.1:{server.port}/x.zip?token=secret"

    with pytest.raises(ModelError) as told:
        download(url, WANTED, tmp_path / "x", lambda *_: None)
    assert str(told.value).startswith(f"http://127.0.0.1:{server.port}/x.zip: ")
    assert "secret" not in str(told.value)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/x", "weights.bin"])
def test_only_http_is_fetched(url: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="only http and https"):
        download(url, WANTED, tmp_path / "x", lambda *_: None)


def test_a_hash_of_another_kind_is_refused_before_anything_is_asked(server: Served, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="a SHA-256 has 64 digits"):
        fetch(server, tmp_path / "x", hashlib.md5(CONTENT).hexdigest())
    assert server.asked == []
