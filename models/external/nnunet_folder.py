"""A trained nnU-Net v2 folder, read without nnU-Net: card, tumour label, files.

nnU-Net writes it to nnUNet_results/DATASET: `TRAINER__PLANS__CONFIGURATION` with plans.json, dataset.json and
fold_*/checkpoint_final.pth. Isensee 2021, https://doi.org/10.1038/s41592-020-01008-z.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator

from models.external.folder import FolderOptions, every_file, folder_card, read_json, read_options, tumour_label
from models.segmenter import ModelCard, ModelError

_CLASSES_FROM = ("dynamic_network_architectures.", "torch.nn.")
"""plans.json names Python classes to build the network; classes from other packages are rejected."""
_FOLD_OF_ALL = "fold_all"
"""The fold trained on all cases: used on request, or if there is no other fold."""


def _is_orientation(letters: str) -> str:
    if len(letters) != 3 or any(not set(letters) & set(pair) for pair in ("LR", "AP", "SI")):
        raise ValueError("three letters, one each of L or R, A or P, S or I")
    return letters


class NnunetOptions(FolderOptions):
    """The keys of `lungspread.json` for an nnU-Net folder."""

    orientation: Annotated[str, AfterValidator(_is_orientation)] | None = None
    """Where x, y and z of the training images run to, in SimpleITK's notation: LAS for MSD Task06_Lung."""
    folds: tuple[str, ...] | None = None
    """The folds to average, such as ["0", "3"] or ["all"]; by default every numbered one."""
    checkpoint: str = "checkpoint_final.pth"
    mirroring: bool = True
    """Whether to average over mirrored inputs, nnU-Net's default: eight times the work in 3D."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NnunetFolder:
    """A trained folder, without its weights.

    predicted: a prediction of the trainer's validation, whose header shows the orientation of the training images; None
    if there is none, or if the options state the orientation.
    """

    path: Path
    options: NnunetOptions
    plans: dict[str, Any]
    dataset: dict[str, Any]
    checkpoints: tuple[Path, ...]
    predicted: Path | None

    @property
    def tumour(self) -> list[int]:
        """The values of a segmentation that mean tumour: several if the label is a region."""
        labels = {name: value for name, value in self.dataset["labels"].items() if name not in {"background", "ignore"}}
        value = labels[tumour_label(list(labels), self.options, self.path)]
        return [int(one) for one in (value if isinstance(value, list) else [value])]


def read_nnunet(path: Path) -> NnunetFolder:
    """Read a trained folder, without its weights. Raises ModelError if it is not one, or needs more input than a CT."""
    every_file(path)  # refuses pickles
    options = read_options(path, NnunetOptions)
    plans, dataset = read_json(path / "plans.json"), read_json(path / "dataset.json")
    if not isinstance(dataset.get("labels"), dict) or not isinstance(plans.get("configurations"), dict):
        raise ModelError(
            f"{path}: dataset.json has no labels, or plans.json no configurations: not an nnU-Net v2 folder"
        )
    channels = dataset.get("channel_names", dataset.get("modality", {}))
    if len(channels) != 1:
        raise ModelError(f"{path}: the network needs {len(channels)} images of each patient; only the CT is available")
    return NnunetFolder(
        path=path,
        options=options,
        plans=plans,
        dataset=dataset,
        checkpoints=_checkpoints(path, options),
        predicted=None if options.orientation else next(iter(sorted(path.glob("fold_*/validation/*.nii.gz"))), None),
    )


def check_plans(folder: NnunetFolder) -> None:
    """Raise ModelError if a configuration of the plans builds its network from classes of other packages."""
    try:
        for configuration in folder.plans["configurations"].values():
            architecture = configuration.get("architecture", {})
            arguments = architecture.get("arch_kwargs", {})
            named = [arguments.get(key) for key in architecture.get("_kw_requires_import", ())]
            require_known_classes(folder.path, [architecture.get("network_class_name"), *named])
    except (AttributeError, TypeError):
        raise ModelError(f"{folder.path}: the configurations of plans.json are not as nnU-Net writes them") from None


def require_known_classes(path: Path, names: Iterable[str | None]) -> None:
    """Raise ModelError if one of the classes that plans.json names is of another package."""
    for name in names:
        if name is not None and not str(name).startswith(_CLASSES_FROM):
            raise ModelError(f"{path}: plans.json builds its network from {name}, which is not allowed")


def nnunet_card(folder: NnunetFolder) -> ModelCard:
    """Return the card of a trained folder; its hash covers checkpoints, plans, labels and options."""
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
        checkpoints = [path / f"fold_{fold}" / options.checkpoint for fold in options.folds]
    else:
        found = sorted(path.glob(f"fold_*/{options.checkpoint}"))
        checkpoints = [file for file in found if file.parent.name != _FOLD_OF_ALL] or found
    missing = [file.relative_to(path).as_posix() for file in checkpoints if not file.is_file()]
    if missing or not checkpoints:
        raise ModelError(f"{path}: missing {missing[0] if missing else 'fold_*/' + options.checkpoint}")
    return tuple(checkpoints)
