"""The model card as Markdown: data, licences, case lists, splits, figures with intervals, limits, budget.

Mitchell et al., "Model cards for model reporting", FAT* 2019. All content was written by earlier steps. DICOM folders
may be named after their patients: the card lists hashes of these names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.segmenter import ModelCard
from training.data.cache import Entry
from training.data.splits import PARTS, Split, collection_of
from training.reporting.pages import templates_of

NAMED_BY_THE_SITE = ("dicom", "corrected")
"""Sources whose patient names are the folder names chosen by the site."""
NETWORKS = {
    "2.5d": "MONAI BasicUNet in 2D over five planes 2.5 mm apart with pixels of 1 mm, batch normalisation",
    "2.5d-residual": "MONAI DynUNet in 2D over five planes 2.5 mm apart with pixels of 1 mm, residual blocks",
    "2.5d-efficientnet": "U-Net around EfficientNet-lite0 over five planes 2.5 mm apart with pixels of 1 mm",
    "3d": "MONAI BasicUNet in 3D over slices of 2.5 mm with pixels of 1 mm, batch normalisation",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CardContent:
    """The content of a card.

    evaluation: of the test part, None if it was not evaluated. run: the content of run.json. seconds: training time.
    """

    card: ModelCard
    parameters: int
    data_licence: str
    entries: Sequence[Entry]
    splits: Mapping[str, Split]
    splits_sha256: str
    evaluation: Mapping[str, Any] | None
    run: Mapping[str, Any]
    seconds: float


def card_text(content: CardContent) -> str:
    """Return the card as Markdown."""
    environment = templates_of("training.export")
    environment.filters["span"] = _span
    named_by_the_site = {collection_of(each.source) for each in content.entries if each.source in NAMED_BY_THE_SITE}
    trained = _patients(content, "train")
    return environment.get_template("model_card.md.j2").render(
        content=content,
        card=content.card,
        run=content.run,
        network=NETWORKS[content.card.network],
        parts=PARTS,
        names=lambda collection, names: _hashed(collection, names) if collection in named_by_the_site else names,
        estimates=_estimates,
        tested=_patients(content, "test"),
        trained=[entry for entry in content.entries if entry.patient in trained],
        duration=_duration(content.seconds),
        initial_weights=_initial_weights(content.run["settings"]),
    )


def _estimates(numbers: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the estimates of one source that the card lists; undefined ones are left out."""
    named = {name.replace("_", " "): value for name, value in numbers["over_cases"].items()}
    if numbers["detection"] is not None:
        named["sensitivity by lesion"] = numbers["detection"]["sensitivity_at_operating_point"]
        named["false lesions per scan"] = numbers["detection"]["false_per_scan_at_operating_point"]
    for group in numbers["by_size"]:
        named[f"lesions {group['group']}: sensitivity"] = group["sensitivity"]
        named[f"lesions {group['group']}: Dice of those found"] = group["dice"]
        named[f"lesions {group['group']}: bias of volume mm3"] = group["volume_bias_mm3"]
    if numbers["calibration"] is not None:
        named["expected calibration error"] = numbers["calibration"]["expected_calibration_error"]
    if numbers["false_positives"] is not None:
        marks = numbers["false_positives"]
        named["false lesions per scan without a tumour"] = marks["false_lesions_per_tumour_free_scan"]
    yield from ((name, value) for name, value in named.items() if value["value"] is not None)


def _initial_weights(settings: Mapping[str, Any]) -> str:
    if settings.get("init_from"):
        is_run = str(settings["init_from"]).endswith(".pt")
        return "those of another run" if is_run else "those of another model, whose data and licence also apply"
    if settings.get("imagenet") and settings["network"] == "2.5d-efficientnet":
        return "EfficientNet-lite0 trained on ImageNet (weights: Apache-2.0)"
    return "random"


def _patients(content: CardContent, part: str) -> set[str]:
    return {patient for split in content.splits.values() for patient in split[part]}


def _hashed(collection: str, names: Sequence[str]) -> list[str]:
    return [hashlib.sha256(f"{collection}/{name}".encode()).hexdigest()[:12] for name in names]


def _span(entries: Sequence[Entry]) -> str:
    """Return the range of the slice spacings in mm."""
    values = [entry.spacing_mm[0] for entry in entries]
    low, high = min(values, default=0.0), max(values, default=0.0)
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 180 else f"{seconds / 60:.0f} min"
