"""Verifies weights against their model card by SHA-256."""

from __future__ import annotations

import hashlib
from pathlib import Path

from models.segmenter import ModelCard, ModelError


def verified_weights(folder: Path, card: ModelCard) -> Path:
    """Return the path of the card's weights. Raises ModelError if they are missing or do not match the card."""
    path = folder / card.weights_file
    if not path.is_file():
        raise ModelError(f"model {card.name} {card.version}: weights {card.weights_file} are missing")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != card.weights_sha256:
        raise ModelError(
            f"model {card.name} {card.version}: the weights' SHA-256 is {digest[:12]}..., "
            f"the card says {card.weights_sha256[:12]}..."
        )
    return path
