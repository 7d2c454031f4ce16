"""Trained networks, the input of the engines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedNetworks:
    """Networks from which engines can be built.

    key: identifies what the networks compute, used as a file name; "" if there is no such key. image_shape: (channel,
    ...) of the smallest valid image. build: returns the networks in evaluation mode; called only if an engine needs
    them.
    """

    key: str
    count: int
    image_shape: tuple[int, ...]
    build: Callable[[], Sequence[nn.Module]]
