"""Opens PyTorch checkpoints that contain only weights and plain values; code in a pickle is never executed."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.segmenter import ModelError

_NUMBER: Any = np.float64().__reduce__()[0]
_NUMPY_VALUES: list[Any] = [
    np.dtype,
    *(type(np.dtype(kind)) for kind in (np.float16, np.float32, np.float64, np.int32, np.int64, np.uint8, np.bool_)),
    (_NUMBER, "numpy._core.multiarray.scalar"),
    (_NUMBER, "numpy.core.multiarray.scalar"),  # as numpy 1 wrote it
]
"""Numbers of numpy, which trainers log into their checkpoints; unpickling them only creates numbers."""


def load_weights(path: Path) -> dict[str, Any]:
    """Return a checkpoint's content, on the CPU. Raises ModelError if it is missing, broken, or not weights-only."""
    try:
        with torch.serialization.safe_globals(_NUMPY_VALUES):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}") from None
    except pickle.UnpicklingError as rejected:
        raise ModelError(f"{path} is refused: it holds more than weights{_rejected_global(str(rejected))}") from None
    except (RuntimeError, EOFError, ValueError, KeyError):
        raise ModelError(f"{path} is not a PyTorch checkpoint, or is damaged") from None
    if not isinstance(content, dict):
        raise ModelError(f"{path} contains no dictionary of weights")
    return content


def _rejected_global(message: str) -> str:
    found = re.search(r"GLOBAL (\S+)", message)
    return f" ({found.group(1)})" if found else ""
