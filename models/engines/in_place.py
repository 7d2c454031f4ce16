"""Engines in the place of another library's network: nnU-Net and MONAI call them like the network that they built."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import nn

from models.devices import choose_device
from models.engines.engine import Engine, build_engines, engine_kind
from models.engines.networks import TrainedNetworks
from models.segmenter import InferenceSettings, ModelError

log = logging.getLogger(__name__)


class EngineNetwork(nn.Module):
    """A network that is run by an engine; of several, the one with the weights that were loaded last."""

    def __init__(self, engines: Sequence[Engine]) -> None:
        super().__init__()
        self._engines = engines
        self._current = engines[0]

    @property
    def description(self) -> str:
        """Library, version and precision."""
        return self._current.description

    @property
    def weights(self) -> list[int]:
        """What `load_state_dict` takes in the place of weights, for each engine."""
        return list(range(len(self._engines)))

    def load_state_dict(self, number: int) -> None:  # type: ignore[override]
        """Run the engine of this number from now on: nnU-Net loads each fold's weights into one network."""
        self._current = self._engines[number]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logits (n, class, ...) of images (n, channel, ...)."""
        return self._current.logits(images)


def engine_network(networks: TrainedNetworks, settings: InferenceSettings) -> EngineNetwork | None:
    """Return the networks by OpenVINO, None where their library runs them: on a GPU, or with engine torch.

    With engine auto, a network that OpenVINO cannot convert is left to its library, too; else ModelError is raised.
    Precision auto is float32, in which these libraries compute on a CPU.
    """
    if engine_kind(settings.engine, choose_device(settings.device)) != "openvino":
        return None
    precision = "float32" if settings.precision == "auto" else settings.precision
    try:
        return EngineNetwork(build_engines(networks, replace(settings, precision=precision)))
    except ModelError as error:
        if settings.engine == "openvino":
            raise
        log.warning("the network is run by torch: %s", error)
        return None
