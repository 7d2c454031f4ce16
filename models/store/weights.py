"""Verifies weights against their model card by SHA-256."""

from __future__ import annotations

import hashlib
from pathlib import Path

from models.segmenter import ModelCard, ModelError


def verified_weights(folder: Path, card: ModelCard) -> Path:
    """Return the path of the card's weights. Raises ModelError if they are missing or do not match the card."""
    weights = _verify(folder / card.weights_file, card.weights_sha256, card)
    if card.candidate_file:
        _verify(folder / card.candidate_file, card.candidate_sha256, card)
    return weights


def _verify(path: Path, sha256: str, card: ModelCard) -> Path:
    if not path.is_file():
        raise ModelError(f"model {card.name} {card.version}: weights {path.name} are missing")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != sha256:
        raise ModelError(
            f"model {card.name} {card.version}: the SHA-256 of {path.name} is {digest[:12]}..., "
            f"the card says {sha256[:12]}..."
        )
    return path
