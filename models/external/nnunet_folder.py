"""What a trained nnU-Net v2 folder is, read without nnU-Net: its card, its label of tumours, its files. Runs nothing.

A folder is what nnU-Net leaves in nnUNet_results/DATASET: `TRAINER__PLANS__CONFIGURATION` with plans.json, dataset.json
and fold_*/checkpoint_final.pth. Isensee 2021, https://doi.org/10.1038/s41592-020-01008-z.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator

from models.external.folder import FolderOptions, folder_card, read_json, read_options, tumour_label
from models.segmenter import ModelCard, ModelError

_FOLD_OF_ALL = "fold_all"
"""The fold that trains on everything: taken when asked for, or where there is no other."""


def _is_orientation(letters: str) -> str:
    if len(letters) != 3 or any(not set(letters) & set(pair) for pair in ("LR", "AP", "SI")):
        raise ValueError("three letters, one each of L or R, A or P, S or I")
    return letters


class NnunetOptions(FolderOptions):
    """What may be said in `lungspread.json` of an nnU-Net folder."""

    orientation: Annotated[str, AfterValidator(_is_orientation)] | None = None
    """Where x, y and z of the training images run to, as SimpleITK names it: LAS for MSD Task06_Lung."""
    folds: tuple[str, ...] | None = None
    """The folds to average, such as ["0", "3"] or ["all"]; every numbered one when left out."""
    checkpoint: str = "checkpoint_final.pth"
    mirroring: bool = True
    """Whether to average over mirrored inputs, as nnU-Net does by default: eight times the work in 3D."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NnunetFolder:
    """A trained folder, without its weights.

    predicted: a case as the trainer wrote it in its validation, whose header shows how the training images lie; None
    when there is none, or when the options say how.
    """

    path: Path
    options: NnunetOptions
    plans: dict[str, Any]
    dataset: dict[str, Any]
    checkpoints: tuple[Path, ...]
    predicted: Path | None

    @property
    def tumour(self) -> list[int]:
        """The values in a segmentation that mean tumour: several where the label is a region."""
        labels = {name: value for name, value in self.dataset["labels"].items() if name not in {"background", "ignore"}}
        value = labels[tumour_label(list(labels), self.options, self.path)]
        return [int(one) for one in (value if isinstance(value, list) else [value])]


def read_nnunet(path: Path) -> NnunetFolder:
    """Read a trained folder, without its weights. Raises ModelError when it is not one, or needs more than a CT."""
    options = read_options(path, NnunetOptions)
    plans, dataset = read_json(path / "plans.json"), read_json(path / "dataset.json")
    if not isinstance(dataset.get("labels"), dict) or not isinstance(plans.get("configurations"), dict):
        raise ModelError(f"{path}: dataset.json has no labels, or plans.json no configurations: not of nnU-Net v2")
    channels = dataset.get("channel_names", dataset.get("modality", {}))
    if len(channels) != 1:
        raise ModelError(f"{path}: the network wants {len(channels)} images of each patient; there is one, the CT")
    return NnunetFolder(
        path=path,
        options=options,
        plans=plans,
        dataset=dataset,
        checkpoints=_checkpoints(path, options),
        predicted=None if options.orientation else next(iter(sorted(path.glob("fold_*/validation/*.nii.gz"))), None),
    )


def nnunet_card(folder: NnunetFolder) -> ModelCard:
    """Return the card of a trained folder; its hash covers all that decides: checkpoints, plans, labels, options."""
    facts = {
        "name": " ".join(
            [str(folder.plans.get("dataset_name", "nnU-Net")), *folder.path.resolve().name.split("__")[2:]]
        ),
        "licence": str(folder.dataset.get("licence", "")),
        "weights_file": ", ".join(file.relative_to(folder.path).as_posix() for file in folder.checkpoints),
    }
    files = [folder.path / "plans.json", folder.path / "dataset.json", *folder.checkpoints]
    if folder.predicted is not None:
        files.append(folder.predicted)
    return folder_card(folder.path, files, folder.options, facts)


def _checkpoints(path: Path, options: NnunetOptions) -> tuple[Path, ...]:
    if options.folds is not None:
        wanted = [path / f"fold_{fold}" / options.checkpoint for fold in options.folds]
    else:
        there = sorted(path.glob(f"fold_*/{options.checkpoint}"))
        wanted = [file for file in there if file.parent.name != _FOLD_OF_ALL] or there
    missing = [file.relative_to(path).as_posix() for file in wanted if not file.is_file()]
    if missing or not wanted:
        raise ModelError(f"{path}: there is no {missing[0] if missing else 'fold_*/' + options.checkpoint}")
    return tuple(wanted)
