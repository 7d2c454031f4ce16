"""Inference engines: their interface, and the choice of engine for a machine.

Figures: `python -m benchmarks.engines`, models/README.md.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Protocol

import torch

from models.devices import choose_device, choose_dtype
from models.engines.networks import TrainedNetworks
from models.segmenter import EngineName, InferenceSettings, ModelError

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Engine(Protocol):
    """One network, ready to run."""

    @property
    def description(self) -> str:
        """Library, version and precision, as quoted in reports: "OpenVINO 2026.4.1 bfloat16"."""
        ...

    @property
    def device(self) -> torch.device:
        """The device of the input images."""
        ...

    def logits(self, images: torch.Tensor) -> torch.Tensor:
        """Return float32 logits (n, class, ...) of float32 images (n, channel, ...), both on `device`.

        Raises RuntimeError if the device fails.
        """
        ...


def build_engines(networks: TrainedNetworks, settings: InferenceSettings) -> list[Engine]:
    """Return an engine for each network, all of one kind.

    Raises ModelError if the engine, the device or the precision is not available.
    """
    device = choose_device(settings.device)
    dtype = choose_dtype(device) if settings.precision == "auto" else _DTYPES[settings.precision]
    if engine_kind(settings.engine, device) == "openvino":
        from models.engines.openvino_engine import openvino_engines

        return [*openvino_engines(networks, dtype)]
    from models.engines.torch_engine import TorchEngine

    return [TorchEngine(network, device, dtype) for network in networks.build()]


def engine_kind(name: EngineName, device: torch.device) -> EngineName:
    """Return openvino or torch. Raises ModelError if OpenVINO is requested and cannot be used."""
    is_installed = find_spec("openvino") is not None
    if name == "auto":
        return "openvino" if is_installed and device.type == "cpu" else "torch"
    if name == "openvino" and not is_installed:
        raise ModelError("worker.engine is openvino, which is not installed: pip install openvino, or set it to torch")
    if name == "openvino" and device.type != "cpu":
        raise ModelError(f"worker.engine is openvino, which runs on a CPU only; worker.device gives {device.type}")
    return name
