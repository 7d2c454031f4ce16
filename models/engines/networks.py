"""Trained networks, as what an engine is built of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedNetworks:
    """Networks that engines can be built of.

    key: identifies what each of them computes, as a file name; "" if nothing does. image_shape: (channel, ...) of the
    smallest image that they take. build: returns the networks in evaluation mode; called only if an engine needs them.
    """

    key: str
    count: int
    image_shape: tuple[int, ...]
    build: Callable[[], Sequence[nn.Module]]
