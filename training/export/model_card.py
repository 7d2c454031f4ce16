"""The model card for people, filled: data, licences, case lists, splits, figures with intervals, limits, budget.

Mitchell et al., "Model cards for model reporting", FAT* 2019. Everything in it was written by an earlier step, nothing
is computed here. Folders of DICOM may be called after their patients: of those the card lists hashes.
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
"""Sources whose patients are called what their keeper called a folder."""
NETWORKS = {
    "2.5d": "MONAI BasicUNet in 2D over five planes 2.5 mm apart with pixels of 1 mm, batch normalisation",
    "2.5d-residual": "MONAI DynUNet in 2D over five planes 2.5 mm apart with pixels of 1 mm, residual blocks",
    "2.5d-efficientnet": "U-Net around EfficientNet-lite0 over five planes 2.5 mm apart with pixels of 1 mm",
    "3d": "MONAI BasicUNet in 3D over slices of 2.5 mm with pixels of 1 mm, batch normalisation",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """What a card is filled with.

    evaluation: of the test part, None where it was not judged. run: the content of run.json. seconds: of training.
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


def card_text(filled: Filled) -> str:
    """Return the card as Markdown."""
    parts = (_head, _data, _splits, _figures, _limits, _budget)
    return "\n".join(line for part in parts for line in (*part(filled), ""))


def _head(filled: Filled) -> Iterator[str]:
    card = filled.card
    yield f"# Model card: {card.name} {card.version}"
    yield ""
    yield "Research use only; every mark is a proposal that a radiologist accepts or not."
    yield ""
    yield "| | |"
    yield "| --- | --- |"
    size = f"{filled.parameters / 1e6:.2f} million parameters"
    yield f"| weights | `{card.weights_file}`, {size}, SHA-256 `{card.weights_sha256}` |"
    yield f"| licence of the weights | {card.licence} |"
    yield "| input | chest CT in HU, any spacing, upright or not; window -1000 to 400 HU |"
    yield (
        f"| output | probability of tumour; a voxel counts above {card.threshold}, a component from "
        f"{card.smallest_lesion_ml} ml on, and only with a score of {card.peak_threshold} |"
    )
    yield f"| network | {NETWORKS[card.network]} |"
    yield '| use | `model = "lung_tumour:THIS FOLDER"` in lungspread.toml |'


def _data(filled: Filled) -> Iterator[str]:
    yield "## Data"
    yield ""
    yield "| source | licence | patients | stacks | slices | with tumour | tumour ml | slice spacing mm |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    for source in sorted({entry.source for entry in filled.entries}):
        own = [entry for entry in filled.entries if entry.source == source]
        numbers = (
            len({entry.patient for entry in own}),
            len(own),
            sum(entry.shape[0] for entry in own),
            sum(entry.tumour_slices for entry in own),
            f"{sum(entry.tumour_ml for entry in own):.1f}",
            _span([entry.spacing_mm[0] for entry in own]),
        )
        yield f"| {source} | {filled.data_licence} | {' | '.join(map(str, numbers))} |"


def _splits(filled: Filled) -> Iterator[str]:
    yield "## Splits"
    yield ""
    yield (
        "By patient, before training. Weights were learnt on `train`, the operating point was chosen on `validation`, "
        f"`test` was only judged. SHA-256 of the file: `{filled.splits_sha256}`."
    )
    for collection, split in sorted(filled.splits.items()):
        site = any(entry.source in NAMED_BY_THE_SITE for entry in filled.entries if _in(entry, collection))
        for part in PARTS:
            names = [_hashed(collection, name) if site else name for name in split[part]]
            yield ""
            yield f"* {collection}, {part}: {len(names)}{': ' if names else ''}{', '.join(names)}"


def _figures(filled: Filled) -> Iterator[str]:
    yield "## Figures on held-back patients"
    yield ""
    if filled.evaluation is None:
        yield "Not judged: `python -m training evaluate --model run` was not run with these weights."
        return
    yield "| source | what | value (95 % interval over patients) | cases | patients |"
    yield "| --- | --- | --- | --- | --- |"
    for source, numbers in filled.evaluation["sources"].items():
        for name, estimate in _estimates(numbers):
            yield f"| {source} | {name} | {_interval(estimate)} | {estimate['cases']} | {estimate['patients']} |"
    yield ""
    yield "How each number is made:"
    yield ""
    yield from (f"* {rule}" for rule in filled.evaluation["rules"])


def _estimates(numbers: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the numbers of one source that a card names; those that are not defined are left out."""
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


def _limits(filled: Filled) -> Iterator[str]:
    trained = [entry for entry in filled.entries if entry.patient in _patients(filled, "train")]
    tested = _patients(filled, "test")
    yield "## Limits"
    yield ""
    yield f"* Judged on {len(tested)} patients of the same sources as it was trained on, on no other hospital's scans."
    if len(tested) < 20:
        yield "* Below 20 patients the intervals are a hint: they are too narrow."
    yield f"* Trained on slices of {_span([entry.spacing_mm[0] for entry in trained])} mm; others are not known."
    yield "* What its data has few of, it does badly: read the figures by size, and look at your own scans first."
    yield "* It outlines what may be tumour. It does not tell benign from malignant, and is no device for diagnosis."


def _budget(filled: Filled) -> Iterator[str]:
    settings, run = filled.run["settings"], filled.run
    where = ", ".join(run["gpus"]) or f"CPU ({run['machine']}), {run['threads']} threads"
    yield "## Budget"
    yield ""
    yield f"* {settings['steps']} steps in {_duration(filled.seconds)} on {where}; crops of {settings['crop']} pixels."
    yield f"* It began with {_beginning(settings)}."
    yield f"* Code: {run['git_revision'] or 'revision not known'}. Python {run['python']}."
    yield f"* Libraries: {', '.join(f'{name} {version}' for name, version in sorted(run['libraries'].items()))}."
    yield "* Dice + cross-entropy, AdamW, moving average of the weights; nothing was stopped early by a score."


def _beginning(settings: Mapping[str, Any]) -> str:
    if settings.get("init_from"):
        is_run = str(settings["init_from"]).endswith(".pt")
        return "the weights of another run" if is_run else "those of another model, whose data and licence go on in it"
    if settings.get("imagenet") and settings["network"] == "2.5d-efficientnet":
        return "what EfficientNet-lite0 learned on ImageNet's photographs (weights: Apache-2.0)"
    return "weights drawn at random"


def _patients(filled: Filled, part: str) -> set[str]:
    return {patient for split in filled.splits.values() for patient in split[part]}


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
