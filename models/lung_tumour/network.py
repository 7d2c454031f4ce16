"""The U-Net: five neighbouring axial slices in, the logit of the middle one out. Knows no HU and no files."""

from __future__ import annotations

from monai.networks.nets.basic_unet import BasicUNet
from torch import nn

from models.lung_tumour.transforms import SLICES

FEATURES = (32, 32, 64, 128, 256, 32)


def build_network() -> nn.Module:
    """Return an untrained network: float (n, SLICES, row, column) to logits (n, 1, row, column).

    Rows and columns are multiples of 16. Batch normalisation, so that a prediction does not depend on how much
    of the slice is looked at.
    """
    network: nn.Module = BasicUNet(
        spatial_dims=2,
        in_channels=SLICES,
        out_channels=1,
        features=FEATURES,
        act=("LeakyReLU", {"negative_slope": 0.1, "inplace": True}),
        norm=("batch", {"eps": 1e-3}),
        upsample="nontrainable",
    )
    return network
