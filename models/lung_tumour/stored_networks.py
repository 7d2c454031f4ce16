"""The networks of a weights file: names of their tensors, and how the networks are built from them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from models.engines.networks import TrainedNetworks
from models.lung_tumour.kinds import SIDES, kinds_of
from models.lung_tumour.transforms import SLICES
from models.segmenter import ModelCard, ModelError


def named_tensors(networks: Sequence[nn.Module]) -> dict[str, torch.Tensor]:
    """Return parameters and buffers by their names in a weights file, each once: a DynUNet has every layer twice.

    With several networks each name begins with `networks.NUMBER.`.
    """
    named = nn.ModuleDict({"networks": nn.ModuleList(networks)}) if len(networks) > 1 else networks[0]
    return {**dict(named.named_parameters()), **dict(named.named_buffers())}


def stored_networks(card: ModelCard, weights: Path) -> list[nn.Module]:
    """Return all networks of a file. Raises ModelError if its tensors do not match the card."""
    from models.lung_tumour.network import build_networks  # imports MONAI, which takes seconds

    networks = build_networks(card.network, card.networks)
    stored, own = load_file(weights), named_tensors(networks)
    if {name: one.shape for name, one in stored.items()} != {name: one.shape for name, one in own.items()}:
        what = f"a {card.network} network" if card.networks == 1 else f"{card.networks} {card.network} networks"
        raise ModelError(f"model {card.name} {card.version}: not the weights of {what}")
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(stored[name])
    return networks


def trained_networks(card: ModelCard, weights: Path, ensemble_size: int = 0) -> TrainedNetworks:
    """Return the first `ensemble_size` networks of a file, 0 for all, for the engines."""
    count = ensemble_size or card.networks
    smallest = max(SIDES[kind] for kind in kinds_of(card.network, card.networks))
    return TrainedNetworks(
        key=_key(card),
        count=count,
        image_shape=(1, *[2 * smallest] * 3) if card.network == "3d" else (SLICES, 2 * smallest, 2 * smallest),
        build=lambda: stored_networks(card, weights)[:count],
    )


def _key(card: ModelCard) -> str:
    """Return the SHA-256 of everything that decides what the networks compute: weights, code and library versions."""
    if not card.weights_sha256:
        return ""
    code = [Path(__file__).with_name(name).read_bytes() for name in ("network.py", "efficientnet.py")]
    facts = [card.weights_sha256, card.network, str(card.networks), version("torch"), version("monai")]
    return hashlib.sha256(b"\0".join([*code, *(fact.encode() for fact in facts)])).hexdigest()
