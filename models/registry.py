"""MODELS: a written dict from the name in the configuration to a model's folder. Nothing is scanned."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from models.segmenter import ModelCard, ModelError, Segmenter, read_card
from models.weights import verified_weights

MODELS: dict[str, Path] = {"lung_tumour": Path(__file__).parent / "lung_tumour"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCheck:
    """What `doctor` reports of a model whose weights are those of its card."""

    card: ModelCard
    device: str


def model_card(name: str) -> ModelCard:
    """Return the card of a model by its name, without loading it. Raises ModelError for an unknown name."""
    return read_card(_folder(name) / "model.toml")


def load_model(name: str, device: str) -> Segmenter:
    """Load a model, its weights verified. `device`: auto, cpu or cuda. Raises ModelError."""
    from models.lung_tumour.segmenter import LungTumourSegmenter

    card = model_card(name)
    return LungTumourSegmenter(card, verified_weights(_folder(name), card), device)


def check_model(name: str, device: str) -> ModelCheck:
    """Verify a model's weights and name the device it would run on. Raises ModelError."""
    from models.devices import choose_device

    card = model_card(name)
    verified_weights(_folder(name), card)
    return ModelCheck(card=card, device=str(choose_device(device)))


def _folder(name: str) -> Path:
    if name not in MODELS:
        raise ModelError(f"no model is called {name}; there are: {', '.join(sorted(MODELS))}")
    return MODELS[name]
