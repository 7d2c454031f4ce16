"""What every model is to the worker: a card that says what it is, and one call. Knows no network."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from models.volume import Mask, Volume

Progress = Callable[[float], None]
"""Called with the share of the work that is done, 0 to 1."""


EngineName = Literal["auto", "openvino", "torch"]
PrecisionName = Literal["auto", "float32", "bfloat16", "float16"]

OPTIONAL = {"network", "networks", "first_network", "engine"}
"""Fields of a model.toml that may be left out."""


class ModelError(Exception):
    """The model cannot be used (weights missing, hash wrong, device lost); the worker takes no more jobs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """The facts of a model that a report quotes and that a job's key depends on."""

    name: str
    version: str
    weights_file: str
    weights_sha256: str
    licence: str
    threshold: float
    """Probability from which a voxel belongs to a lesion."""
    smallest_lesion_ml: float
    """Connected components below this volume are not reported."""
    peak_threshold: float = 0.0
    """Connected components with a lower score, their highest probability corrected for volume, are not reported."""
    network: str = "2.5d"
    """Of a model of our own training: which network its weights are for, or several in turn: lung_tumour/network.py."""
    networks: int = 1
    """How many of them the file holds: one, or those of all folds of a cross-validation."""
    first_network: int = 0
    """Number of the network that looks at whole slices for the cascade: the one with the fewest false candidates."""
    engine: str = ""
    """What runs it, with its precision ("OpenVINO 2026.4.1 bfloat16"); empty until the model is loaded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceSettings:
    """How a model runs. All but engine, device and precision are for models of our own training.

    engine: auto is OpenVINO on a CPU where it is installed, else torch.
    device: auto, cpu, cuda or cuda:N; auto is a GPU if there is one.
    precision: auto is what the hardware computes fastest in (`models.devices.choose_dtype`).
    ensemble_size: how many of the model's networks are averaged, 0 for all.
    flip_tta: whether each network also sees the chest mirrored left to right.
    cascade: whether one network looks at whole slices, and all of them only where that one sees something
    (`models.lung_tumour.cascade`); without it all look at everything.
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
        """The model's card, with the engine that runs it."""
        ...

    def segment(self, volume: Volume, progress: Progress) -> Mask:
        """Return the mask of all tumours, on the volume's grid.

        Raises ModelError when the network cannot run.
        """
        ...


def read_card(model_toml: Path) -> ModelCard:
    """Read a `model.toml`. Raises ModelError when it is missing, no TOML, or lacks a field."""
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
    if Path(card.weights_file).name != card.weights_file:
        raise ModelError(f"{model_toml}: weights_file names a file of another folder")
    return card
