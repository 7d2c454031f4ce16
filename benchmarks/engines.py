"""OpenVINO against torch on the released networks: python -m benchmarks.engines [--side 416] [--rounds 5].

Prints for each network, engine and precision: milliseconds a slice (median, lowest and highest of the rounds), how many
times as fast as torch in the same precision, and the largest difference of a logit from torch in float32.
"""

from __future__ import annotations

import argparse
import time
from statistics import median

import torch

from models.engines.engine import Engine, build_engines
from models.engines.networks import TrainedNetworks
from models.lung_tumour.stored_networks import trained_networks
from models.lung_tumour.transforms import SLICES
from models.registry import model_card, model_folder
from models.segmenter import EngineName, InferenceSettings, ModelError, PrecisionName
from models.store.weights import verified_weights

PRECISIONS: tuple[PrecisionName, ...] = ("float32", "bfloat16")
ENGINES: tuple[EngineName, ...] = ("torch", "openvino")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=416, help="pixels of a slice's sides, a multiple of 32")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", default="lung_tumour")
    options = parser.parse_args()
    card = model_card(options.model)
    networks = trained_networks(card, verified_weights(model_folder(options.model), card))
    torch.manual_seed(1)
    images = torch.rand(1, SLICES, options.side, options.side) * 2 - 1
    exact = [engine.logits(images) for engine in _engines(networks, "torch", "float32")]
    print(f"{torch.get_num_threads()} threads, {options.side} x {options.side} pixels")
    for precision in PRECISIONS:
        by_torch: list[float] = []
        for name in ENGINES:
            for number, engine in enumerate(_engines(networks, name, precision)):
                times = _milliseconds(engine, images, options.rounds)
                if name == "torch":
                    by_torch.append(median(times))
                off = float((engine.logits(images) - exact[number]).abs().max())
                spent = f"{median(times):.1f} ms ({min(times):.1f} to {max(times):.1f})"
                ratio = f"{by_torch[number] / median(times):.2f} times torch"
                print(f"network {number}, {engine.description}: {spent}, {ratio}, logits up to {off:.3f} off")


def _engines(networks: TrainedNetworks, name: EngineName, precision: PrecisionName) -> list[Engine]:
    try:
        return build_engines(networks, InferenceSettings(device="cpu", engine=name, precision=precision))
    except ModelError as error:
        print(f"{name} {precision}: {error}")
        return []


def _milliseconds(engine: Engine, images: torch.Tensor, rounds: int) -> list[float]:
    engine.logits(images)
    times = []
    for _ in range(rounds):
        begin = time.perf_counter()
        engine.logits(images)
        times.append(1000 * (time.perf_counter() - begin))
    return times


if __name__ == "__main__":
    main()
