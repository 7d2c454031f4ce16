"""The networks on a GPU, eager and as chosen: python -m benchmarks.gpu [--side 416] [--batch 8] [--out FILE].

Prints for each network milliseconds a slice and the share of the device's peak that its operations reach: float32 as
torch does it, half precision in channels-last layout (what TorchEngine runs), and that with torch.compile, whose CUDA
graphs save launching kernels. Then seconds for a generated chest of 300 slices by the released model. Without a GPU
the same runs on the CPU, so that the script itself is checked.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.cascade import phantom
from benchmarks.row import Row, row_of, write_rows
from models.devices import choose_dtype
from models.lung_tumour.stored_networks import trained_networks
from models.lung_tumour.transforms import SLICES
from models.registry import load_model, model_card, model_folder
from models.segmenter import InferenceSettings
from models.store.weights import verified_weights

PEAK_TFLOPS = {"H200": 989.0, "H100": 989.0, "A100": 312.0, "L4": 121.0, "T4": 65.0}
"""Dense half precision, from NVIDIA's data sheets, by a part of the device's name."""

Predict = Callable[[Tensor], Tensor]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=416, help="pixels of a slice's sides, a multiple of 32")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    print(torch.cuda.get_device_name() if device.type == "cuda" else "no GPU: on the CPU")
    card = model_card("lung_tumour")
    networks = trained_networks(card, verified_weights(model_folder("lung_tumour"), card)).build()
    images = torch.rand(options.batch, SLICES, options.side, options.side, device=device) * 2 - 1
    rows = [
        _row(f"network {number}, {name}", predict, images, network, options.rounds)
        for number, network in enumerate(networks[:2])
        for name, predict in _ways(network.to(device).eval(), device).items()
    ]
    write_rows([*rows, _series(device, options.rounds)], options.out)


def _ways(network: nn.Module, device: torch.device) -> dict[str, Predict]:
    dtype = choose_dtype(device)
    last = copy.deepcopy(network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    compiled = torch.compile(last, mode="reduce-overhead")

    def half(one: Predict) -> Predict:
        def predict(images: Tensor) -> Tensor:
            with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
                return one(images.contiguous(memory_format=torch.channels_last))

        return predict

    name = str(dtype).removeprefix("torch.")
    return {"float32": network, f"{name}, channels-last": half(last), f"{name}, compiled": half(compiled)}


@torch.inference_mode()
def _row(name: str, predict: Predict, images: Tensor, network: nn.Module, rounds: int) -> Row:
    with FlopCounterMode(display=False) as counter:
        network(images)
    for _ in range(3):
        predict(images)
    times = [_seconds(lambda: predict(images)) for _ in range(rounds)]
    tflops = counter.get_total_flops() / statistics.median(times) / 1e12
    peak = next((peak for part, peak in PEAK_TFLOPS.items() if part in _device_name(images.device)), None)
    print(f"{name}: {tflops:.2f} TFLOP/s" + (f", {100 * tflops / peak:.1f} % of the peak" if peak else ""))
    return row_of(name, "ms", [1000 * each / len(images) for each in times], None)


def _series(device: torch.device, rounds: int) -> Row:
    scan, model = phantom(), load_model("lung_tumour", InferenceSettings(device=device.type))
    model.segment(scan, lambda _: None)
    times = [_seconds(lambda: model.segment(scan, lambda _: None)) for _ in range(rounds)]
    return row_of(f"segment 300 slices, {model.card.engine}", "s", times, None)


def _seconds(work: Callable[[], object]) -> float:
    _wait()
    begin = time.perf_counter()
    work()
    _wait()
    return time.perf_counter() - begin


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name() if device.type == "cuda" else ""


if __name__ == "__main__":
    main()
