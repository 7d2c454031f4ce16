"""Runs a network with torch, on a GPU or a CPU."""

from __future__ import annotations

import torch
from torch import nn


def by_torch(precision: str) -> str:
    """Return what torch is called in reports: library, version and precision."""
    return f"torch {torch.__version__.partition('+')[0]} {precision}"


class TorchEngine:
    """A network on a device, in the given precision; 2D networks use channels-last memory layout."""

    def __init__(self, network: nn.Module, device: torch.device, dtype: torch.dtype) -> None:
        self._network = network.to(device).eval()
        self._device, self._dtype = device, dtype

    @property
    def description(self) -> str:
        """Library, version and precision."""
        return by_torch(str(self._dtype).removeprefix("torch."))

    @property
    def device(self) -> torch.device:
        """The device of the input images."""
        return self._device

    @torch.inference_mode()
    def logits(self, images: torch.Tensor) -> torch.Tensor:
        """Return float32 logits (n, class, ...) of images (n, channel, ...)."""
        if images.ndim == 4:
            images = images.contiguous(memory_format=torch.channels_last)
            self._network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        with torch.autocast(self._device.type, self._dtype, enabled=self._dtype != torch.float32):
            logits: torch.Tensor = self._network(images)
        return logits.float()
