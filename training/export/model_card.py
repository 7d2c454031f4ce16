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
    parts = (_head, _data, _splits, _figures, _limits, _budget)
    return "\n".join(line for part in parts for line in (*part(content), ""))


def _head(content: CardContent) -> Iterator[str]:
    card = content.card
    yield f"# Model card: {card.name} {card.version}"
    yield ""
    yield "Research use only; every mark is a proposal that a radiologist accepts or rejects."
    yield ""
    yield "| | |"
    yield "| --- | --- |"
    size = f"{content.parameters / 1e6:.2f} million parameters"
    yield f"| weights | `{card.weights_file}`, {size}, SHA-256 `{card.weights_sha256}` |"
    yield f"| licence of the weights | {card.licence} |"
    yield "| input | chest CT in HU, any spacing, upright or not; window -1000 to 400 HU |"
    yield (
        f"| output | probability of tumour; a voxel counts above {card.threshold}, a component of at least "
        f"{card.smallest_lesion_ml} ml with a score of at least {card.peak_threshold} |"
    )
    yield f"| network | {NETWORKS[card.network]} |"
    yield '| use | `model = "lung_tumour:THIS FOLDER"` in lungspread.toml |'


def _data(content: CardContent) -> Iterator[str]:
    yield "## Data"
    yield ""
    yield "| source | licence | patients | stacks | slices | with tumour | tumour ml | slice spacing mm |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    for source in sorted({entry.source for entry in content.entries}):
        own = [entry for entry in content.entries if entry.source == source]
        numbers = (
            len({entry.patient for entry in own}),
            len(own),
            sum(entry.shape[0] for entry in own),
            sum(entry.tumour_slices for entry in own),
            f"{sum(entry.tumour_ml for entry in own):.1f}",
            _span([entry.spacing_mm[0] for entry in own]),
        )
        yield f"| {source} | {content.data_licence} | {' | '.join(map(str, numbers))} |"


def _splits(content: CardContent) -> Iterator[str]:
    yield "## Splits"
    yield ""
    yield (
        "By patient, before training. Weights were trained on `train`, the operating point was chosen on `validation`, "
        f"`test` was only evaluated. SHA-256 of the file: `{content.splits_sha256}`."
    )
    for collection, split in sorted(content.splits.items()):
        site = any(entry.source in NAMED_BY_THE_SITE for entry in content.entries if _in(entry, collection))
        for part in PARTS:
            names = [_hashed(collection, name) if site else name for name in split[part]]
            yield ""
            yield f"* {collection}, {part}: {len(names)}{': ' if names else ''}{', '.join(names)}"


def _figures(content: CardContent) -> Iterator[str]:
    yield "## Figures on held-back patients"
    yield ""
    if content.evaluation is None:
        yield "Not evaluated: `python -m training evaluate --model run` was not run with these weights."
        return
    yield "| source | what | value (95 % interval over patients) | cases | patients |"
    yield "| --- | --- | --- | --- | --- |"
    for source, numbers in content.evaluation["sources"].items():
        for name, estimate in _estimates(numbers):
            yield f"| {source} | {name} | {_interval(estimate)} | {estimate['cases']} | {estimate['patients']} |"
    yield ""
    yield "How each number is computed:"
    yield ""
    yield from (f"* {rule}" for rule in content.evaluation["rules"])


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


def _limits(content: CardContent) -> Iterator[str]:
    trained = [entry for entry in content.entries if entry.patient in _patients(content, "train")]
    tested = _patients(content, "test")
    yield "## Limits"
    yield ""
    yield f"* Evaluated on {len(tested)} patients of the training sources, not on scans of other hospitals."
    if len(tested) < 20:
        yield "* Below 20 patients the intervals are too narrow, and only a hint."
    yield f"* Trained on slices of {_span([entry.spacing_mm[0] for entry in trained])} mm; not tested on others."
    yield "* It does badly on what is rare in its data: read the figures by size, and test on your own scans first."
    yield "* It outlines possible tumour. It does not distinguish benign from malignant, and is no diagnostic device."


def _budget(content: CardContent) -> Iterator[str]:
    settings, run = content.run["settings"], content.run
    where = ", ".join(run["gpus"]) or f"CPU ({run['machine']}), {run['threads']} threads"
    yield "## Budget"
    yield ""
    yield f"* {settings['steps']} steps in {_duration(content.seconds)} on {where}; crops of {settings['crop']} pixels."
    yield f"* Initial weights: {_initial_weights(settings)}."
    yield f"* Code: {run['git_revision'] or 'revision not known'}. Python {run['python']}."
    yield f"* Libraries: {', '.join(f'{name} {version}' for name, version in sorted(run['libraries'].items()))}."
    yield "* Dice + cross-entropy, AdamW, moving average of the weights; no early stopping."


def _initial_weights(settings: Mapping[str, Any]) -> str:
    if settings.get("init_from"):
        is_run = str(settings["init_from"]).endswith(".pt")
        return "those of another run" if is_run else "those of another model, whose data and licence also apply"
    if settings.get("imagenet") and settings["network"] == "2.5d-efficientnet":
        return "EfficientNet-lite0 trained on ImageNet (weights: Apache-2.0)"
    return "random"


def _patients(content: CardContent, part: str) -> set[str]:
    return {patient for split in content.splits.values() for patient in split[part]}


def _in(entry: Entry, collection: str) -> bool:
    return collection_of(entry.source) == collection


def _hashed(collection: str, name: str) -> str:
    return hashlib.sha256(f"{collection}/{name}".encode()).hexdigest()[:12]


def _interval(estimate: Mapping[str, Any]) -> str:
    if estimate["low"] is None:
        return f"{estimate['value']} (no interval)"
    return f"{estimate['value']} ({estimate['low']} to {estimate['high']})"


def _span(values: Sequence[float]) -> str:
    low, high = min(values, default=0.0), max(values, default=0.0)
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 180 else f"{seconds / 60:.0f} min"
