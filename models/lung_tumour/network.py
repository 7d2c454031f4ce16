"""The networks: 2.5D U-Nets, from five neighbouring axial slices to the middle one's logits, and a 3D U-Net for blocks.

`kinds.py` names them.
"""

from __future__ import annotations

from monai.networks.nets.basic_unet import BasicUNet
from monai.networks.nets.dynunet import DynUNet
from torch import nn

from models.lung_tumour.efficientnet import EfficientUNet
from models.lung_tumour.kinds import kinds_of, require_kind
from models.lung_tumour.transforms import SLICES

FEATURES = (32, 32, 64, 128, 256, 32)
FEATURES_3D = (16, 16, 32, 64, 128, 16)
"""Half as wide: a block has as many voxels as about thirty slices have pixels."""
FILTERS = (16, 32, 64, 128, 192, 256)
"""Channels of the residual network: few at full resolution, where a layer is limited by memory, not by arithmetic."""


def build_network(kind: str = "2.5d") -> nn.Module:
    """Return an untrained network. Raises ModelError for a kind that is not in NETWORKS.

    2.5d, 2.5d-residual, 2.5d-efficientnet: float (n, SLICES, row, column) to logits (n, 1, row, column). 3d: (n, 1,
    slice, row, column) to the same shape. Sides, except SLICES, are multiples of SIDES. Batch normalisation, so that a
    prediction does not depend on the size of the input.
    """
    require_kind(kind)
    if kind == "2.5d-residual":
        return _residual()
    return EfficientUNet(SLICES) if kind == "2.5d-efficientnet" else _basic(flat=kind == "2.5d")


def build_networks(network: str, count: int) -> list[nn.Module]:
    """Return untrained networks of the kinds that `kinds_of` returns."""
    return [build_network(kind) for kind in kinds_of(network, count)]


def _basic(*, flat: bool) -> nn.Module:
    network: nn.Module = BasicUNet(
        spatial_dims=2 if flat else 3,
        in_channels=SLICES if flat else 1,
        out_channels=1,
        features=FEATURES if flat else FEATURES_3D,
        act=("LeakyReLU", {"negative_slope": 0.1, "inplace": True}),
        norm=("batch", {"eps": 1e-3}),
        upsample="nontrainable",
    )
    return network


def _residual() -> nn.Module:
    """Return nnU-Net's network as built by MONAI, with residual blocks: twice the parameters in half the time."""
    strides = [1] + [2] * (len(FILTERS) - 1)
    network: nn.Module = DynUNet(
        spatial_dims=2,
        in_channels=SLICES,
        out_channels=1,
        kernel_size=[3] * len(FILTERS),
        strides=strides,
        upsample_kernel_size=strides[1:],
        filters=FILTERS,
        norm_name=("batch", {"eps": 1e-3}),
        res_block=True,
    )
    return network
