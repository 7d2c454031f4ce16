import io
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from models.segmenter import ModelError
from models.store.archives import MAX_BYTES, MAX_MEMBERS, is_archive, unpack


def write_zip(path: Path, *names: str) -> None:
    with zipfile.ZipFile(path, "w") as packed:
        for name in names:
            packed.writestr(name, f"content of {name}")


def write_tar(path: Path, *names: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> None:
    with tarfile.open(path, "w:gz") as tar:
        for name in names:
            item = tarfile.TarInfo(name)
            item.type, item.linkname, item.size, item.mode = kind, target, 0, 0o4777
            content = f"content of {name}".encode() if kind == tarfile.REGTYPE else b""
            item.size = len(content)
            tar.addfile(item, io.BytesIO(content))


@pytest.mark.parametrize(("name", "write"), [("x.zip", write_zip), ("x.tar.gz", write_tar)])
def test_files_are_unpacked_unchanged(tmp_path: Path, name: str, write: Callable[..., None]) -> None:
    write(tmp_path / name, "a/b/c.json", "d.txt")

    unpack(tmp_path / name, tmp_path / "out")

    files = {path.relative_to(tmp_path / "out").as_posix(): path for path in (tmp_path / "out").rglob("*.*")}
    assert {name: path.read_text() for name, path in files.items()} == {
        "a/b/c.json": "content of a/b/c.json",
        "d.txt": "content of d.txt",
    }
    assert not any(path.stat().st_mode & (stat.S_ISUID | stat.S_IWGRP | stat.S_IWOTH) for path in files.values())


@pytest.mark.parametrize(("name", "write"), [("x.zip", write_zip), ("x.tgz", write_tar)])
@pytest.mark.parametrize("bad", ["../out-there", "a/../../out-there", "/../out-there"])
def test_a_member_outside_the_folder_is_rejected_and_nothing_is_written(
    tmp_path: Path, name: str, write: Callable[..., None], bad: str
) -> None:
    write(tmp_path / name, "good", bad)

    with pytest.raises(ModelError, match=f"^{name}: cannot be unpacked: .* outside the destination$"):
        unpack(tmp_path / name, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(("name", "write"), [("x.zip", write_zip), ("x.tgz", write_tar)])
@pytest.mark.parametrize("absolute", ["/tmp/out-there", "..\\out-there", "C:out-there"])
def test_an_absolute_path_is_taken_as_one_below_the_folder(
    tmp_path: Path, name: str, write: Callable[..., None], absolute: str
) -> None:
    write(tmp_path / name, absolute)

    unpack(tmp_path / name, tmp_path / "out")

    assert (tmp_path / "out" / absolute.lstrip("/")).read_text() == f"content of {absolute}"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", name]


def test_an_archive_of_too_many_bytes_is_rejected(tmp_path: Path) -> None:
    large = tarfile.TarInfo("weights")
    large.size = MAX_BYTES + 1
    (tmp_path / "x.tar").write_bytes(large.tobuf())  # its header alone

    with pytest.raises(ModelError, match=r"x.tar: contains more than .* bytes"):
        unpack(tmp_path / "x.tar", tmp_path / "out")


def test_an_archive_of_too_many_members_is_rejected(tmp_path: Path) -> None:
    write_zip(tmp_path / "x.zip", *(str(number) for number in range(MAX_MEMBERS + 1)))

    with pytest.raises(ModelError, match=r"x.zip: contains more than 10000 members"):
        unpack(tmp_path / "x.zip", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_rejected(tmp_path: Path, kind: bytes) -> None:
    write_tar(tmp_path / "x.tar.gz", "weights", kind=kind, target="/etc/passwd")

    with pytest.raises(ModelError, match="weights is neither a file nor a folder"):
        unpack(tmp_path / "x.tar.gz", tmp_path / "out")


def test_a_link_in_a_zip_is_rejected(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("weights")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as packed:
        packed.writestr(link, "/etc/passwd")

    with pytest.raises(ModelError, match="weights is neither a file nor a folder"):
        unpack(tmp_path / "x.zip", tmp_path / "out")


@pytest.mark.parametrize("names", [("a", "./a"), ("a", "a/b"), ("a/b", "a")])
def test_two_members_with_the_same_path_are_rejected(tmp_path: Path, names: tuple[str, str]) -> None:
    write_tar(tmp_path / "x.tar.gz", *names)

    with pytest.raises(ModelError, match="two members have the same path"):
        unpack(tmp_path / "x.tar.gz", tmp_path / "out")


@pytest.mark.parametrize("name", ["x.zip", "x.tar.gz", "x.tar"])
def test_a_file_that_is_not_an_archive_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"a photograph")

    with pytest.raises(ModelError, match=f"{name}: cannot be unpacked"):
        unpack(tmp_path / name, tmp_path / "out")


def test_a_truncated_archive_is_named(tmp_path: Path) -> None:
    write_tar(tmp_path / "x.tar.gz", *(f"file-{n}" for n in range(500)))
    (tmp_path / "x.tar.gz").write_bytes((tmp_path / "x.tar.gz").read_bytes()[:-200])

    with pytest.raises(ModelError, match="cannot be unpacked"):
        unpack(tmp_path / "x.tar.gz", tmp_path / "out")


def test_a_python_without_extraction_filters_unpacks_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(tarfile, "data_filter")  # as Python 3.11.2 of Debian 12
    write_zip(tmp_path / "x.zip", "a")

    with pytest.raises(ModelError, match=r"x.zip: Python 3.11.4 or later is needed"):
        unpack(tmp_path / "x.zip", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_archive_is_recognised_by_its_name() -> None:
    assert all(map(is_archive, ("model.zip", "m.TAR.GZ", "m.tgz", "m.tar.xz")))
    assert not any(map(is_archive, ("weights.pt", "m.safetensors", "zip", "m.gz")))
