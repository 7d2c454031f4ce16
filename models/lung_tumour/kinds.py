"""The kinds of networks by name; `network.py` builds them. A model's kind is stated in its model.toml."""

from __future__ import annotations

from typing import Literal, get_args

from models.segmenter import ModelError

NetworkKind = Literal["2.5d", "2.5d-residual", "2.5d-efficientnet", "3d"]
NETWORKS: tuple[NetworkKind, ...] = get_args(NetworkKind)
RELEASED: NetworkKind = "2.5d-residual"
"""Default kind of network for training."""
IN_TURN = " + "
"""Separator between the kinds of a model whose networks are of several kinds in turn."""
SIDES = {"2.5d": 16, "2.5d-residual": 32, "2.5d-efficientnet": 32, "3d": 16}
"""The sides of a window are multiples of this, because of the network's downsampling."""
MULTIPLE = max(SIDES.values())
"""The sides of a training example are multiples of this."""

CANDIDATE_NETWORK: NetworkKind = "2.5d-efficientnet"
CANDIDATE_PIXELS, CANDIDATE_SIDE = 2, 160
"""Kind of the candidate network (`candidates.py`), side of its pixels in pixels of PIXEL_MM, and side in its pixels of
the crops that it is trained on.
"""


def kinds_of(network: str, count: int) -> list[str]:
    """Return the kind of each of `count` networks, from a card's `network`: several kinds are joined by IN_TURN.

    Raises ModelError for a kind that is not in NETWORKS, and if 3D and 2.5D networks would be averaged.
    """
    kinds = network.split(IN_TURN)
    for kind in kinds:
        require_kind(kind)
    if "3d" in kinds and len(set(kinds)) > 1:
        raise ModelError(f"{network}: a 3D network is not averaged with others")
    return [kinds[number % len(kinds)] for number in range(count)]


def require_kind(kind: str) -> None:
    """Raise ModelError for a kind that is not in NETWORKS."""
    if kind not in NETWORKS:
        raise ModelError(f"no network is called {kind}; there are: {', '.join(NETWORKS)}")
