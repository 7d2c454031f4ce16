"""Chooses the device and the precision of a network, and tells what its failure means."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from models.segmenter import ModelError

_NO_MEMORY = re.compile("out of memory|alloc|memory object", re.IGNORECASE)
"""Of torch's allocators, of OpenVINO (std::bad_alloc), and of oneDNN."""
_DEVICE_LOST = re.compile("CUDA error|CUDA driver|CUBLAS_STATUS|cuDNN error|device lost", re.IGNORECASE)


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


@contextmanager
def failures_told_apart(model: str) -> Iterator[None]:
    """Raise MemoryError if a volume needs too much memory, and ModelError if the device is lost, in the with block.

    Any other error is of this volume, and is raised as it is. model: name and engine, for the message.
    """
    try:
        yield
    except RuntimeError as error:  # torch.OutOfMemoryError and AcceleratorError are RuntimeErrors
        if isinstance(error.__cause__, MemoryError) or _NO_MEMORY.search(str(error)):
            raise MemoryError(f"{model}: out of memory") from error
        if _DEVICE_LOST.search(str(error)):
            raise ModelError(f"{model}: the device is lost") from error
        raise
