"""A U-Net with an EfficientNet-lite0 encoder, which can start from ImageNet weights.

Tan and Le, EfficientNet, ICML 2019; lite: without squeeze-and-excitation, with ReLU6 instead of swish, as published by
TensorFlow's authors. Built from MONAI's blocks; MONAI's own networks have both.
"""

from __future__ import annotations

import torch
from monai.networks.nets.basic_unet import TwoConv
from monai.networks.nets.efficientnet import MBConvBlock
from torch import nn
from torch.nn import functional

STEM = 32
STAGES = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
"""Expansion, channels, blocks, stride of the first block, kernel."""
TAPPED = {0: 16, 2: 24, 4: 40, 10: 112, 15: 320}
"""Blocks whose output is a skip connection, and its channels: those before each further halving, and the last."""
FINE = 16
"""Channels of the skip connection at full size, which EfficientNet does not have."""
WIDTHS = (128, 64, 48, 32, 16)
"""Channels of the decoder."""
DROPPED = 0.2
"""Share of the examples for which the last block is skipped in training, less for earlier blocks: as published."""
NORM = ("batch", {"eps": 1e-3})


class EfficientUNet(nn.Module):
    """Maps float (n, planes, row, column), sides multiples of 32, to logits (n, 1, row, column)."""

    def __init__(self, planes: int) -> None:
        super().__init__()
        self.fine = nn.Sequential(
            nn.Conv2d(planes, FINE, 3, padding=1, bias=False), nn.BatchNorm2d(FINE, 1e-3), nn.ReLU(inplace=True)
        )
        self.encoder = Encoder(planes)
        across = [FINE, *TAPPED.values()]
        below = across.pop()
        self.up = nn.ModuleList()
        for width in WIDTHS:
            self.up.append(
                TwoConv(2, below + across.pop(), width, act=("relu", {"inplace": True}), norm=NORM, bias=False)
            )
            below = width
        self.last = nn.Conv2d(below, 1, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        across = [self.fine(images), *self.encoder(images)]
        below = across.pop()
        for up in self.up:
            beside = across.pop()
            below = up(torch.cat([functional.interpolate(below, beside.shape[2:], mode="nearest"), beside], 1))
        logits: torch.Tensor = self.last(below)
        return logits


class Encoder(nn.Module):
    """EfficientNet-lite0 up to its last block; its tensors have the names of the published weights."""

    def __init__(self, planes: int) -> None:
        super().__init__()
        self._conv_stem = nn.Conv2d(planes, STEM, 3, stride=2, bias=False)
        self._bn0 = nn.BatchNorm2d(STEM, 1e-3)
        self._blocks = nn.ModuleList()
        channels, count = STEM, sum(stage[2] for stage in STAGES)
        for expansion, wider, blocks, stride, kernel in STAGES:
            for number in range(blocks):
                block = MBConvBlock(
                    2, channels, wider, kernel, stride if number == 0 else 1, [32, 32], expansion, None,
                    norm=NORM, drop_connect_rate=DROPPED * len(self._blocks) / count,
                )  # fmt: skip
                block._swish = nn.ReLU6(inplace=True)
                block._depthwise_conv = Depthwise(channels * expansion, kernel, stride if number == 0 else 1)
                self._blocks.append(block)
                channels = wider

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Return the skip connections, the largest first."""
        # For stride 2, TensorFlow pads only after the last row and column.
        features = functional.relu6(self._bn0(self._conv_stem(functional.pad(images, (0, 1, 0, 1)))))
        across = []
        for number, block in enumerate(self._blocks):
            features = block(features)
            if number in TAPPED:
                across.append(features)
        return across


class Depthwise(nn.Conv2d):
    """A depthwise convolution without padding.

    In training on a CPU it computes in float32: in bfloat16 its gradient takes oneDNN two to eight times as long, half
    of a step.
    """

    def __init__(self, channels: int, kernel: int, stride: int) -> None:
        super().__init__(channels, channels, kernel, stride, groups=channels, bias=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the convolution of (n, channels, row, column), in the type of `images`."""
        if images.is_cuda or not self.training:
            return super().forward(images)
        with torch.autocast("cpu", enabled=False):
            return super().forward(images.float()).to(images.dtype)
