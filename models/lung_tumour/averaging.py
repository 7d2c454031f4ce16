"""The mean of several networks, and of what each says of the mirrored chest: as one network. Knows no files."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


class Averaged(nn.Module):
    """Mean logit of its networks, as nnU-Net averages its folds."""

    def __init__(self, networks: Sequence[nn.Module], *, mirrored: bool) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.mirrored = mirrored

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return parameters and buffers by name, each once: a DynUNet has every layer under two names.

        Of several networks each name begins with `networks.NUMBER.`.
        """
        named = self if len(self.networks) > 1 else self.networks[0]
        return {**dict(named.named_parameters()), **dict(named.named_buffers())}

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits (n, 1, ...) of images (n, channel, ...), the last axis of which runs to the patient's left."""
        logits = [network(images) for network in self.networks]
        if self.mirrored:
            logits += [network(images.flip(-1)).flip(-1) for network in self.networks]
        return torch.stack(logits).mean(0)
