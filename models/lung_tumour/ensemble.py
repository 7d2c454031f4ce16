"""An ensemble of networks: the mean of their logits for the chest as it is and, optionally, mirrored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from models.engines.engine import Engine


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One network on the image as it is, or mirrored left to right."""

    network: int
    mirrored: bool


class Ensemble:
    """The networks of a model, each run by an engine.

    members: all predictions that are averaged, in the order of the cascade: first all networks on the chest as it is,
    then all on the mirrored chest.
    """

    def __init__(self, engines: Sequence[Engine], *, flip_tta: bool) -> None:
        self._engines = engines
        self.members = tuple(
            Member(network=number, mirrored=mirrored) for mirrored in ((False, True) if flip_tta else (False,))
            for number in range(len(engines))
        )  # fmt: skip

    @property
    def device(self) -> torch.device:
        """The device of the input images."""
        return self._engines[0].device

    @property
    def description(self) -> str:
        """The engine with its precision."""
        return self._engines[0].description

    def logits(self, images: torch.Tensor, member: Member) -> torch.Tensor:
        """Return float32 logits (n, 1, ...) of images (n, channel, ...) whose last axis runs to the left."""
        engine = self._engines[member.network]
        return engine.logits(images.flip(-1)).flip(-1) if member.mirrored else engine.logits(images)

    def sum_of_logits(self, images: torch.Tensor, members: Sequence[Member]) -> torch.Tensor:
        """Return the sum of the logits of these members."""
        return torch.stack([self.logits(images, member) for member in members]).sum(0)

    def mean_logits(self, images: torch.Tensor) -> torch.Tensor:
        """Return the mean of the logits of all members, as nnU-Net averages its folds."""
        return self.sum_of_logits(images, self.members) / len(self.members)
