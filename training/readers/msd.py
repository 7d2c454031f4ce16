"""Reader of data sets in the Medical Segmentation Decathlon's layout: dataset.json, imagesTr, labelsTr.

Antonelli et al., Nature Communications 2022;13:4128. Images without a label (imagesTs) are ignored.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

from training.data.volume import Stack, upright_stack
from training.readers.case import Case, DataRefused, FoundCases, attempt
from training.readers.nifti import check_same_grid, read_ct, read_label

Entry = dict[str, str]


def msd(folder: Path) -> FoundCases:
    """Return the training cases listed in dataset.json."""
    problems: list[str] = []
    entries = attempt("dataset.json", lambda: _entries(folder / "dataset.json"), problems) or []
    cases = [case for entry in entries if (case := _case(folder, entry, problems))]
    listed = {Path(entry["image"]).name for entry in entries}
    others = [path for path in (folder / "imagesTr").glob("[!.]*.nii.gz") if path.name not in listed]
    notes = (f"{len(others)} image(s) in imagesTr are not in dataset.json and are left out",) if others else ()
    return FoundCases(cases=tuple(cases), problems=tuple(problems), notes=notes)


def _entries(path: Path) -> list[Entry]:
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))["training"]
    except OSError as error:
        raise DataRefused(f"cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise DataRefused("is not JSON") from error
    except (KeyError, TypeError) as error:
        raise DataRefused('has no list "training"') from error
    if not isinstance(listed, list) or not listed:
        raise DataRefused('its list "training" is empty')
    for number, entry in enumerate(listed, start=1):
        if not isinstance(entry, dict) or not all(isinstance(entry.get(key), str) for key in ("image", "label")):
            raise DataRefused(f'entry {number} of "training" does not name an image and a label')
    return listed


def _case(folder: Path, entry: Entry, problems: list[str]) -> Case | None:
    """Return the case of an entry, or None after adding its problems."""
    files = {str(Path(entry[key])): folder / entry[key] for key in ("image", "label")}
    before = len(problems)
    for name, path in files.items():
        if not path.resolve().is_relative_to(folder.resolve()):
            problems.append(f"{name}: dataset.json refers to a file outside its folder")
        elif not path.is_file():
            problems.append(f"{name}: listed in dataset.json, but missing")
    if len(files) < 2:
        problems.append(f"{entry['image']}: image and label are the same file")
    if len(problems) > before:
        return None
    patient = Path(entry["image"]).name.removesuffix(".gz").removesuffix(".nii")
    image, label = files
    return Case(
        source="msd",
        patient=patient,
        name=patient,
        files=files,
        image=image,
        recipe="msd 1",
        read=partial(_read, patient, (image, files[image]), (label, files[label])),
    )


def _read(patient: str, image: tuple[str, Path], label: tuple[str, Path]) -> Stack:
    problems: list[str] = []
    ct = attempt(image[0], lambda: read_ct(image[1]), problems)
    tumour = attempt(label[0], lambda: read_label(label[1]), problems)
    if ct is not None and tumour is not None:
        attempt(label[0], lambda: check_same_grid(ct, tumour), problems)
    if ct is None or tumour is None or problems:
        raise DataRefused(*problems)
    return upright_stack(ct.voxels, tumour.voxels, ct.affine, source="msd", patient=patient, name=patient)
