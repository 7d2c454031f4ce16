"""Initial weights of a run: those of another run, or one network of a model, such as the released one."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from models.lung_tumour.kinds import kinds_of
from models.lung_tumour.stored_networks import stored_networks
from models.segmenter import ModelError, read_card
from models.store.weights import verified_weights
from training.readers.case import DataRefused

INIT_FROM_HELP = (
    "Initial weights: average.pt of another run, or a model's folder, with :NUMBER if it has several networks."
)


def initial_weights(init_from: Path, network: str) -> dict[str, Tensor]:
    """Return the initial weights for a network of this kind.

    init_from: the `average.pt` of a run; or the folder of a model, followed by `:NUMBER` if it has several networks,
    counted from 0. Raises DataRefused if there are no weights, or weights of another kind of network.
    """
    if init_from.is_file():
        weights: dict[str, Tensor] = torch.load(init_from, weights_only=True, map_location="cpu")
        return weights
    folder, colon, digits = str(init_from).rpartition(":")
    if not colon or not digits.isdecimal():
        folder, digits = str(init_from), "0"
    try:
        return _of_model(Path(folder), int(digits), network)
    except ModelError as error:
        raise DataRefused(f"--init-from {init_from}: {error}") from None


def _of_model(folder: Path, number: int, network: str) -> dict[str, Tensor]:
    if not (folder / "model.toml").is_file():
        raise ModelError("neither a run's average.pt nor a model's folder")
    card = read_card(folder / "model.toml")
    kinds = kinds_of(card.network, card.networks)
    if number >= len(kinds):
        raise ModelError(f"it has {len(kinds)} networks, counted from 0")
    if kinds[number] != network:
        raise ModelError(f"network {number} is of kind {kinds[number]}, the run trains {network}")
    return stored_networks(card, verified_weights(folder, card))[number].state_dict()
