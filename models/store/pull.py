"""Downloads a model into a folder: verified, unpacked, checked, and complete or absent.

No downloaded code is executed. Files that cannot be opened as weights only are rejected (models/store/checkpoints.py).
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
"""TorchScript: compiled code, opened only by torch; models/README.md says what to trust."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadRequest:
    """The model to download. folder: receives the files of an archive, or the single file."""

    url: str
    sha256: str
    folder: Path

    @property
    def file(self) -> str:
        """The name of the file at the URL."""
        return PurePosixPath(unquote(urlsplit(self.url).path)).name or "model"


def pull(request: DownloadRequest, progress_callback: ProgressCallback) -> list[str]:
    """Download a model and return the names to use in the configuration; none for a single file of weights.

    Raises DownloadInterrupted if the same call can resume, and ModelError if the model is rejected: then nothing is
    kept.
    """
    target = request.folder if is_archive(request.file) else request.folder / request.file
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ModelError(f"{target} already exists; give another folder")
    work = request.folder.absolute().parent / f".{request.folder.name}.pull"
    try:
        fetched = _fetched(request, work, progress_callback)
        _reject_code(fetched)
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


def _fetched(request: DownloadRequest, work: Path, progress_callback: ProgressCallback) -> Path:
    """Return the verified file, or the folder that it was unpacked into."""
    file, unpacked = work / request.file, work / "unpacked"
    shutil.rmtree(unpacked, ignore_errors=True)
    download(request.url, request.sha256.lower(), file, progress_callback)
    if not is_archive(request.file):
        return file
    unpacked.mkdir()
    unpack(file, unpacked)
    return unpacked


def _reject_code(fetched: Path) -> None:
    """Open every checkpoint as weights only. Raises ModelError if one contains anything else."""
    for path in [fetched] if fetched.is_file() else sorted(fetched.rglob("*")):
        if path.is_file() and _is_pickle(path):
            from models.store.checkpoints import load_weights

            try:
                load_weights(path)
            except ModelError as rejected:
                raise ModelError(str(rejected).replace(str(path), path.name)) from None


def _is_pickle(path: Path) -> bool:
    """Return whether a file is a pickle, by its name or its first bytes."""
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
    """Yield kind and path of every model below the folder, its card read and its files verified."""
    places = [place for place in (folder, *sorted(folder.rglob("*"))) if place.is_dir() and kind_of(place)]
    if not places:
        raise ModelError("the archive contains no model: no model.toml, plans.json or configs/metadata.json")
    for place in places:
        name = f"{kind_of(place)}:{place}"
        verify_files(name, model_card(name))
        yield kind_of(place), place.relative_to(folder)
