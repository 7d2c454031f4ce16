"""The interface of all segmentation models: the model card, the inference settings and the Segmenter protocol."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:  # numpy is not needed for the command line's help
    from models.volume import Mask, Volume

Progress = Callable[[float], None]
"""Called with the finished share of the work, 0 to 1."""


EngineName = Literal["auto", "openvino", "torch"]
PrecisionName = Literal["auto", "float32", "bfloat16", "float16"]

OPTIONAL = {"network", "networks", "candidate_file", "candidate_sha256", "engine"}
"""Optional fields of a model.toml."""


class ModelError(Exception):
    """The model cannot be used (weights missing, hash wrong, device lost); the worker accepts no more jobs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """The facts of a model that are quoted in reports and are part of a job's key."""

    name: str
    version: str
    weights_file: str
    weights_sha256: str
    licence: str
    threshold: float
    """Probability above which a voxel belongs to a lesion."""
    smallest_lesion_ml: float
    """Connected components below this volume are not reported."""
    peak_threshold: float = 0.0
    """Connected components with a lower score (highest probability, corrected for volume) are not reported."""
    network: str = "2.5d"
    """For a model of our own training: kind of its networks, or several kinds in turn (lung_tumour/network.py)."""
    networks: int = 1
    """Number of networks in the weights file: one, or one for each fold of a cross-validation."""
    candidate_file: str = ""
    """Weights of the network that finds the cascade's candidates; without it the first of the networks does."""
    candidate_sha256: str = ""
    engine: str = ""
    """Engine and precision ("OpenVINO 2026.4.1 bfloat16"); empty until the model is loaded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceSettings:
    """How a model runs. All except engine, device and precision apply to models of our own training only.

    Networks of other libraries run in float32 on a CPU if precision is auto.

    engine: auto is OpenVINO on a CPU if it is installed, else torch.
    device: auto, cpu, cuda or cuda:N; auto is a GPU if there is one.
    precision: auto is the fastest precision of the hardware (`models.devices.choose_dtype`).
    ensemble_size: number of the model's networks that are averaged, 0 for all.
    flip_tta: whether each network also predicts the chest mirrored left to right.
    cascade: whether one network runs on whole slices and all networks only on its candidates
    (`models.lung_tumour.cascade`); without it all networks run on whole slices.
    """

    engine: EngineName = "auto"
    device: str = "auto"
    precision: PrecisionName = "auto"
    ensemble_size: int = 0
    flip_tta: bool = True
    cascade: bool = True


DEFAULTS = InferenceSettings()
ON_CPU = InferenceSettings(device="cpu")


def require_networks(card: ModelCard, ensemble_size: int) -> None:
    """Raise ModelError if a model has fewer networks than `ensemble_size`."""
    if ensemble_size > card.networks:
        raise ModelError(
            f"model {card.name} {card.version}: worker.ensemble_size is {ensemble_size}, the model has {card.networks}"
        )


class Segmenter(Protocol):
    """Outlines lung tumours in a CT volume."""

    @property
    def card(self) -> ModelCard:
        """The model's card, with its engine."""
        ...

    def segment(self, volume: Volume, progress: Progress) -> Mask:
        """Return the mask of all tumours, on the volume's grid.

        Raises ModelError if the network cannot run any more, MemoryError if this volume needs too much memory.
        """
        ...


def read_card(model_toml: Path) -> ModelCard:
    """Read a `model.toml`. Raises ModelError if it is missing, not TOML, incomplete, or refers to another folder."""
    try:
        fields = tomllib.loads(model_toml.read_text(encoding="utf-8")).get("model", {})
    except OSError as error:
        raise ModelError(f"{model_toml}: {error.strerror}") from None
    except ValueError as error:
        raise ModelError(f"{model_toml}: not TOML: {error}") from None
    named = [name for name in ModelCard.__dataclass_fields__ if name not in OPTIONAL or name in fields]
    try:
        card = ModelCard(**{name: fields[name] for name in named})
    except KeyError as missing:
        raise ModelError(f"{model_toml.name}: no field {missing} in [model]") from missing
    for field in ("weights_file", "candidate_file"):
        if Path(fields.get(field, "")).name != fields.get(field, ""):
            raise ModelError(f"{model_toml}: {field} names a file in another folder")
    return card
