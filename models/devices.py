"""Chooses the device and the precision of a network."""

from __future__ import annotations

import torch

from models.segmenter import ModelError


def choose_device(requested: str) -> torch.device:
    """Return the device for auto, cpu or cuda. Raises ModelError if it is not available."""
    if requested == "cpu":
        return torch.device("cpu")
    if torch.cuda.is_available():
        return torch.device("cuda")
    if requested == "auto":
        return torch.device("cpu")
    raise ModelError(f"device {requested} is not available on this machine; use auto or cpu")


def choose_dtype(device: torch.device) -> torch.dtype:
    """Return bfloat16 if the hardware supports it, else float16 on a GPU and float32 on a CPU."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    has_bfloat16 = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if has_bfloat16 else torch.float32
