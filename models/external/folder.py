"""Folders of models trained elsewhere: options, tumour label, model card.

In addition to its own files, a folder may contain `lungspread.json`; models/README.md lists the keys.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.segmenter import ModelCard, ModelError, Progress

OPTIONS_FILE = "lungspread.json"
SMALLEST_LESION_ML = 0.1
"""Fleischner 2017, table 1: solid nodules below 100 mm3 (about 6 mm) need no routine follow-up."""
ARGMAX_THRESHOLD = 0.5
"""The card's threshold for a network whose most probable label is used: one half for two labels."""
TUMOUR_WORDS = ("tumour", "tumor", "cancer", "lesion", "nodule", "gtv")
MISMATCH_ERRORS = (
    RuntimeError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    IndexError,
    AssertionError,
    ImportError,
)
"""Raised by MONAI and nnU-Net if configuration, weights and input do not match, or a library is missing."""
_PICKLES = {".pkl", ".pickle"}
_MAX_NAME_LENGTH, _MAX_VERSION_LENGTH = 40, 20  # together in one LO of the reports: 64 characters (PS3.5, table 6.2-1)

Options = TypeVar("Options", bound="FolderOptions")


class FolderOptions(BaseModel):
    """The keys of `lungspread.json` for any model; all are optional."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tumour: str | None = None
    """Name of the tumour label; needed only if the folder's labels are ambiguous."""
    name: str | None = None
    version: str | None = None
    licence: str | None = None
    smallest_lesion_ml: Annotated[float, Field(ge=0)] = SMALLEST_LESION_ML


def read_options(folder: Path, kind: type[Options]) -> Options:
    """Return the folder's options, or the defaults if it has none. Raises ModelError for an unknown key."""
    if not (folder / OPTIONS_FILE).is_file():
        return kind()
    try:
        return kind(**read_json(folder / OPTIONS_FILE))
    except ValidationError as invalid:
        first = invalid.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ModelError(f"{folder / OPTIONS_FILE}: {place}: {first['msg']}") from None


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file. Raises ModelError if it is missing or contains anything else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}") from None
    except ValueError:
        raise ModelError(f"{path}: not JSON") from None
    if not isinstance(content, dict):
        raise ModelError(f"{path}: not a JSON object")
    return content


def every_file(folder: Path) -> list[Path]:
    """Return all files below a folder. Raises ModelError for a pickle, or a link to a folder, which would be left out.

    We open no pickle, but the model's own library may, and a pickle runs code.
    """
    found = sorted(folder.rglob("*"))
    for path in found:
        if path.suffix.lower() in _PICKLES:
            raise ModelError(f"{path}: a pickle may run code: remove it, the model does not need it")
        if path.is_symlink() and path.is_dir():
            raise ModelError(f"{path}: is a link to a folder, whose files the hash would not cover")
    return [path for path in found if path.is_file()]


def tumour_label(labels: Sequence[str], options: FolderOptions, where: Path) -> str:
    """Return the tumour label among the labels, which exclude the background. Raises ModelError if it is ambiguous.

    It is the label named in the options; else the only label; else the only one with a word of TUMOUR_WORDS.
    """
    if options.tumour is not None:
        matching = [label for label in labels if label == options.tumour]
    elif len(labels) == 1:
        matching = list(labels)
    else:
        matching = [label for label in labels if any(word in label.lower() for word in TUMOUR_WORDS)]
    if len(matching) != 1:
        raise ModelError(
            f"{where}: the tumour label is ambiguous; "
            f'set it in {OPTIONS_FILE} as {{"tumour": "NAME"}}; labels: {", ".join(labels)}'
        )
    return matching[0]


def folder_card(folder: Path, files: Sequence[Path], options: FolderOptions, defaults: Mapping[str, str]) -> ModelCard:
    """Return the card of a folder, with a hash over `files` and the options' file.

    Its version is the beginning of the hash, unless the folder states one.
    """
    digest = _digest(folder, [*files, folder / OPTIONS_FILE])
    version = options.version or defaults.get("version") or digest[:12]
    return ModelCard(
        name=_plain(options.name or defaults["name"])[:_MAX_NAME_LENGTH],
        version=_plain(version)[:_MAX_VERSION_LENGTH],
        weights_file=defaults["weights_file"],
        weights_sha256=digest,
        licence=options.licence or defaults.get("licence") or "not stated",
        threshold=ARGMAX_THRESHOLD,
        smallest_lesion_ml=options.smallest_lesion_ml,
    )


def _digest(folder: Path, files: Sequence[Path]) -> str:
    """Return the SHA-256 over names and contents, independent of the order of the files."""
    whole = hashlib.sha256()
    for path in sorted(path for path in files if path.is_file()):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        whole.update(f"{path.relative_to(folder).as_posix()}\0{content}\n".encode())
    return whole.hexdigest()


def _plain(text: str) -> str:
    """Return the text with only characters that every DICOM string may contain."""
    return re.sub(r"[^A-Za-z0-9_ .+-]", "_", text).strip()


def one_line(error: Exception) -> str:
    """Return type and first line of the original cause of another library's error, at most 200 characters."""
    while isinstance(error.__cause__, Exception):
        error = error.__cause__
    return f"{type(error).__name__}: {str(error).strip()}".splitlines()[0][:200]


class PassProgress:
    """Forward hook that reports a network's forward passes as progress."""

    def __init__(self, progress: Progress, expected: int) -> None:
        self._progress = progress
        self._expected = max(1, expected)
        self._done = 0

    def __call__(self, *_: object) -> None:
        """Report one more pass."""
        self._done += 1
        self._progress(min(1.0, self._done / self._expected))
