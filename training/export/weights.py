"""Writes trained weights and their facts into a model's folder: safetensors and model.toml. Judges nothing."""

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
# The model card's facts, as the programs read them; README.md beside it is the card for people.
[model]
name = {name}
version = {version}
weights_file = "{weights_file}"
weights_sha256 = "{sha256}"
licence = {licence}
# From which probability a voxel belongs to a lesion, and from which score (its peak, corrected for volume) that is one.
threshold = {threshold}
peak_threshold = {peak_threshold}
# A ball of about 6 mm; smaller components are not reported.
smallest_lesion_ml = {smallest_lesion_ml}
# Which of models/lung_tumour/network.py, several in turn, and how many the weights' file holds; they are averaged.
network = "{network}"
networks = {networks}
"""
SMALLEST_LESION_ML = 0.1
WEIGHTS_FILE = "lung_tumour.safetensors"
DIGITS_OF_VERSION = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """What a model is called. version: "" for the first digits of its weights' SHA-256. licence: of the weights."""

    name: str = "lung_tumour"
    version: str = ""
    licence: str = "CC-BY-SA-4.0"
    network: str = "2.5d"


def export(checkpoints: Sequence[Path], folder: Path, facts: ModelFacts, point: OperatingPoint) -> str:
    """Write the weights as safetensors and model.toml, and return the weights' SHA-256.

    Of several networks, as cross-validation makes them, the kernels are stored in half precision: not the variances of
    normalisation, which grow beyond its range.
    """
    weights = folder / WEIGHTS_FILE
    tensors = named_tensors(_trained(checkpoints, facts.network))
    save_file({name: _stored(one.detach(), halved=len(checkpoints) > 1) for name, one in tensors.items()}, weights)
    weights.chmod(0o644)
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    card = CARD.format(
        name=json.dumps(facts.name),  # a basic string of TOML is written as one of JSON
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
