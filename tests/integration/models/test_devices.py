from __future__ import annotations

import pytest
import torch

from models.devices import failures_told_apart
from models.segmenter import ModelError


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("Exception from src/inference/src/cpp/infer_request.cpp:79: std::bad_alloc"),
        RuntimeError("could not create a memory object"),
    ],
)
def test_a_volume_that_needs_too_much_memory_is_told_from_a_lost_device(error: RuntimeError) -> None:
    with pytest.raises(MemoryError, match="model x"), failures_told_apart("model x"):
        raise error


def test_what_torch_itself_raises_for_too_much_memory_is_known() -> None:
    with pytest.raises(MemoryError), failures_told_apart("model x"):
        torch.empty(1 << 60, dtype=torch.uint8)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: unspecified launch failure"),
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
        RuntimeError("CUBLAS_STATUS_EXECUTION_FAILED when calling cublasSgemm"),
    ],
)
def test_a_lost_device_ends_the_worker(error: RuntimeError) -> None:
    with pytest.raises(ModelError, match="the device is lost"), failures_told_apart("model x"):
        raise error


def test_another_failure_is_the_volumes_own() -> None:
    with pytest.raises(RuntimeError, match=r"^shape$"), failures_told_apart("model x"):
        raise RuntimeError("shape")
