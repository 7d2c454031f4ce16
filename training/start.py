"""The weights that a run begins with: those of another run, or one network of a model, as the released one is."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from models.lung_tumour.network import kinds_of
from models.lung_tumour.segmenter import stored_networks
from models.segmenter import ModelError, read_card
from models.weights import verified_weights
from training.layouts.case import DataRefused

START = "What to begin with: average.pt of another run, or a model's folder, with :NUMBER of several networks."


def start_weights(start: Path, network: str) -> dict[str, Tensor]:
    """Return what a network of this kind begins with.

    start: the `average.pt` of a run; or the folder of a model, with `:NUMBER` behind it where it has several networks,
    the first of which is 0. Raises DataRefused where there are no weights, or those of another kind of network.
    """
    if start.is_file():
        weights: dict[str, Tensor] = torch.load(start, weights_only=True, map_location="cpu")
        return weights
    folder, colon, digits = str(start).rpartition(":")
    if not colon or not digits.isdecimal():
        folder, digits = str(start), "0"
    try:
        return _of_model(Path(folder), int(digits), network)
    except ModelError as error:
        raise DataRefused(f"--start {start}: {error}") from None


def networks_of(folder: Path) -> list[tuple[str, nn.Module]]:
    """Return the networks of a model's folder, each with its kind. Raises ModelError for what is no such folder."""
    card = read_card(folder / "model.toml")
    networks = stored_networks(card, verified_weights(folder, card))
    return list(zip(kinds_of(card.network, card.networks), networks, strict=True))


def _of_model(folder: Path, number: int, network: str) -> dict[str, Tensor]:
    if not (folder / "model.toml").is_file():
        raise ModelError("neither a run's average.pt nor the folder of a model")
    networks = networks_of(folder)
    if number >= len(networks):
        raise ModelError(f"it has {len(networks)} networks, the first of which is 0")
    kind, found = networks[number]
    if kind != network:
        raise ModelError(f"network {number} is a {kind} one, {network} is to be trained")
    return found.state_dict()
