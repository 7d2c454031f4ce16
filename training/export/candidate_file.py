"""Adds a candidate network to a model folder."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import torch
from safetensors.torch import save_file

CANDIDATE_FILE = "candidates.safetensors"
FIELDS = """\
# The network that finds the cascade's candidates on whole slices (models/lung_tumour/candidates.py).
candidate_file = "{file}"
candidate_sha256 = "{sha256}"
"""


def add_candidate_network(weights: Path, folder: Path) -> str:
    """Write a run's average.pt into a model folder, kernels in half precision, and name it in model.toml.

    Returns the SHA-256 of the file. A candidate network that was there is replaced.
    """
    tensors = torch.load(weights, weights_only=True, map_location="cpu")
    stored = {name: (one.half() if one.ndim > 1 else one).contiguous() for name, one in tensors.items()}
    path = folder / CANDIDATE_FILE
    save_file(stored, path)
    path.chmod(0o644)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    card = folder / "model.toml"
    without = re.sub(r"(# The network that finds.*\n)?candidate_\w+ = .*\n", "", card.read_text(encoding="utf-8"))
    card.write_text(without + FIELDS.format(file=CANDIDATE_FILE, sha256=digest), encoding="utf-8")
    return digest
