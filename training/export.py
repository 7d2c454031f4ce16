"""Writes trained weights and their facts into the model's folder. Judges nothing."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from safetensors.torch import save_file

from training.evaluate import OperatingPoint

CARD = """\
# The model card's facts, as the programs read them; README.md beside it is the card for people.
[model]
name = "lung_tumour"
version = "{version}"
weights_file = "lung_tumour.safetensors"
weights_sha256 = "{sha256}"
licence = "CC-BY-SA-4.0"
threshold = {threshold}                # of a voxel's probability; chosen on validation patients
peak_threshold = {peak_threshold}           # of a lesion's most probable voxel; chosen on validation patients
smallest_lesion_ml = {smallest_lesion_ml}        # a ball of about 6 mm; smaller components are not reported
"""
SMALLEST_LESION_ML = 0.1


def export(checkpoint: Path, folder: Path, version: str, point: OperatingPoint) -> str:
    """Write the weights as safetensors and model.toml, and return the weights' SHA-256."""
    state = torch.load(checkpoint, weights_only=True, map_location="cpu")
    weights = folder / "lung_tumour.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, weights)
    weights.chmod(0o644)
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    card = CARD.format(
        version=version,
        sha256=digest,
        threshold=point.threshold,
        peak_threshold=point.peak_threshold,
        smallest_lesion_ml=SMALLEST_LESION_ML,
    )
    (folder / "model.toml").write_text(card, encoding="utf-8")
    return digest
