"""Fetches a model into a folder of yours: verified, unpacked, looked through, and there as a whole or not at all.

Runs nothing of what it fetches. What cannot be opened as weights alone is refused (models/store/checkpoints.py).
"""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from models.registry import kind_of, model_card, verify_files
from models.segmenter import ModelError
from models.store.archives import is_archive, unpack
from models.store.downloads import DownloadInterrupted, ProgressCallback, download

PICKLES = {".pt", ".pth", ".ckpt", ".bin", ".pkl", ".pickle"}
COMPILED = ".ts"
"""TorchScript: compiled code, opened by torch alone; models/README.md says what to trust."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to fetch. folder: receives an archive's files as they lie in it, or the one file."""

    url: str
    sha256: str
    folder: Path

    @property
    def file(self) -> str:
        """The name of the file at the URL."""
        return PurePosixPath(unquote(urlsplit(self.url).path)).name or "model"


def pull(wanted: Wanted, told: ProgressCallback) -> list[str]:
    """Fetch a model and return the names that the configuration knows what came by; none for a lone file of weights.

    Raises DownloadInterrupted when the same call may go on, and ModelError when the model is refused: then nothing
    of it is kept.
    """
    target = wanted.folder if is_archive(wanted.file) else wanted.folder / wanted.file
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ModelError(f"{target} is there already; give another folder")
    work = wanted.folder.absolute().parent / f".{wanted.folder.name}.pull"
    try:
        fetched = _fetched(wanted, work, told)
        _refuse_code(fetched)
        names = list(_models(fetched)) if fetched.is_dir() else []
    except DownloadInterrupted:
        raise
    except ModelError:
        shutil.rmtree(work, ignore_errors=True)
        raise
    target.parent.mkdir(parents=True, exist_ok=True)
    fetched.replace(target)
    shutil.rmtree(work)
    return [f"{kind}:{target / below}" if below != Path() else f"{kind}:{target}" for kind, below in names]


def _fetched(wanted: Wanted, work: Path, told: ProgressCallback) -> Path:
    """Return the verified file, or the folder that it was unpacked into."""
    file, unpacked = work / wanted.file, work / "unpacked"
    shutil.rmtree(unpacked, ignore_errors=True)
    download(wanted.url, wanted.sha256.lower(), file, told)
    if not is_archive(wanted.file):
        return file
    unpacked.mkdir()
    unpack(file, unpacked)
    return unpacked


def _refuse_code(fetched: Path) -> None:
    """Open every checkpoint as weights alone. Raises ModelError for one that holds anything else."""
    for path in [fetched] if fetched.is_file() else sorted(fetched.rglob("*")):
        if path.is_file() and _is_pickle(path):
            from models.store.checkpoints import load_weights

            try:
                load_weights(path)
            except ModelError as refused:
                raise ModelError(str(refused).replace(str(path), path.name)) from None


def _is_pickle(path: Path) -> bool:
    """Whether a file would be unpickled by whoever opens it, by its name or by its first bytes."""
    if path.suffix.lower() in PICKLES:
        return True
    if path.suffix.lower() == COMPILED:
        return False
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as packed:
            return any(name.endswith(".pkl") for name in packed.namelist())
    with path.open("rb") as file:
        first = file.read(2)
    return len(first) == 2 and first[0] == 0x80 and 2 <= first[1] <= 5  # the PROTO opcode of pickle


def _models(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield kind and place of every model below the folder, its card read and its files verified."""
    places = [place for place in (folder, *sorted(folder.rglob("*"))) if place.is_dir() and kind_of(place)]
    if not places:
        raise ModelError("the archive holds no model: no model.toml, plans.json or configs/metadata.json")
    for place in places:
        name = f"{kind_of(place)}:{place}"
        verify_files(name, model_card(name))
        yield kind_of(place), place.relative_to(folder)
