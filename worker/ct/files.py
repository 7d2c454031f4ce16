"""The files of a folder that are, or should be, DICOM."""

from __future__ import annotations

from pathlib import Path

_FOREIGN = {
    ".bmp", ".cfg", ".csv", ".db", ".dll", ".exe", ".gif", ".gz", ".htm", ".html", ".ini", ".jpeg", ".jpg", ".json",
    ".log", ".md", ".mha", ".mhd", ".nii", ".npy", ".npz", ".nrrd", ".pdf", ".png", ".rtf", ".tif", ".tiff", ".toml",
    ".tsv", ".txt", ".xlsx", ".xml", ".yaml", ".yml", ".zip",
}  # fmt: skip
_DIRECTORY = b"1.2.840.10008.1.3.10"
"""Media Storage Directory Storage, a DICOMDIR under any name (Philips writes DIRFILE)."""
_BEGINNING = 1024


def dicom_files(folder: Path) -> list[Path]:
    """Return the files below the folder that are, or should be, DICOM, sorted.

    Only what is known not to be DICOM is left out: hidden files, other formats by their suffix, texts, a DICOMDIR. An
    empty file, or one without preamble, is a slice that would be missing without a word: `load` refuses it.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return [path for path in files if path.suffix.lower() not in _FOREIGN and not _is_other(path)]


def _is_other(path: Path) -> bool:
    """Whether a file is a text, or the directory of a medium."""
    with path.open("rb") as file:
        beginning = file.read(_BEGINNING)
    if beginning[128:132] == b"DICM":
        return _DIRECTORY in beginning
    return bool(beginning) and all(byte in b"\t\n\r" or byte >= 0x20 for byte in beginning)
