"""What every model is to the worker: a card that says what it is, and one call. Knows no network."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from models.volume import Mask, Volume

Progress = Callable[[float], None]
"""Called with the share of the work that is done, 0 to 1."""


OPTIONAL = {"network", "networks"}
"""Fields of a model.toml that one written earlier may lack."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Averaging:
    """What is averaged, of a model of our own training.

    networks: how many of the model's networks, 0 for all. mirrored: what each says of the mirrored chest, too.
    Operating points are chosen with all of it.
    """

    networks: int = 0
    mirrored: bool = True


def require_networks(card: ModelCard, wanted: int) -> None:
    """Raise ModelError where a model has fewer networks than `worker.networks` wants."""
    if wanted > card.networks:
        raise ModelError(
            f"model {card.name} {card.version}: worker.networks is {wanted}, the model has {card.networks}"
        )


class Segmenter(Protocol):
    """Outlines lung tumours in a CT volume."""

    @property
    def card(self) -> ModelCard:
        """The model's card."""
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
