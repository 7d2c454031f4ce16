"""Writes trained weights into a model folder: safetensors and model.toml."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from models.lung_tumour.network import build_networks
from models.lung_tumour.stored_networks import named_tensors
from training.evaluation.predict import OperatingPoint

CARD = """\
# The model card as programs read it; README.md is the card for people.
[model]
name = {name}
version = {version}
weights_file = "{weights_file}"
weights_sha256 = "{sha256}"
licence = {licence}
# Probability above which a voxel belongs to a lesion; score (peak, corrected for volume) that a lesion needs.
threshold = {threshold}
peak_threshold = {peak_threshold}
# A ball of about 6 mm; smaller components are not reported.
smallest_lesion_ml = {smallest_lesion_ml}
# Kind (models/lung_tumour/network.py), several in turn, and number of networks in the weights' file; they are averaged.
network = "{network}"
networks = {networks}
"""
SMALLEST_LESION_ML = 0.1
WEIGHTS_FILE = "lung_tumour.safetensors"
DIGITS_OF_VERSION = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """Name, version and licence of a model. version: "" for the first digits of the weights' SHA-256."""

    name: str = "lung_tumour"
    version: str = ""
    licence: str = "CC-BY-SA-4.0"
    network: str = "2.5d"


def export(checkpoints: Sequence[Path], folder: Path, facts: ModelFacts, point: OperatingPoint) -> str:
    """Write the weights as safetensors and model.toml, and return the weights' SHA-256.

    For several networks, as in cross-validation, the kernels are stored in half precision, but not the variances of
    normalisation, which exceed its range.
    """
    weights = folder / WEIGHTS_FILE
    tensors = named_tensors(_trained(checkpoints, facts.network))
    save_file({name: _stored(one.detach(), halved=len(checkpoints) > 1) for name, one in tensors.items()}, weights)
    weights.chmod(0o644)
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    card = CARD.format(
        name=json.dumps(facts.name),  # TOML's basic strings are written as JSON's
        version=json.dumps(facts.version or digest[:DIGITS_OF_VERSION]),
        weights_file=WEIGHTS_FILE,
        sha256=digest,
        licence=json.dumps(facts.licence),
        threshold=point.threshold,
        peak_threshold=point.peak_threshold,
        smallest_lesion_ml=SMALLEST_LESION_ML,
        network=facts.network,
        networks=len(checkpoints),
    )
    (folder / "model.toml").write_text(card, encoding="utf-8")
    return digest


def _trained(checkpoints: Sequence[Path], network: str) -> list[nn.Module]:
    networks = build_networks(network, len(checkpoints))
    for one, path in zip(networks, checkpoints, strict=True):
        one.load_state_dict(torch.load(path, weights_only=True, map_location="cpu"))
    return networks


def _stored(tensor: Tensor, *, halved: bool) -> Tensor:
    return (tensor.half() if halved and tensor.ndim > 1 else tensor).contiguous()
