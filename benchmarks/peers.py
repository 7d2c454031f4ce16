"""Segmenting a chest of 300 slices as others do, against ours: python -m benchmarks.peers [--rounds N] [--out FILE].

Two peers, by their own network (dynamic_network_architectures) and their own sliding window (nnunetv2), with random
weights, which serve for time: nnU-Net's 3d_fullres plan of Task06_Lung with five folds and mirroring, and one network
of the same kind at 1.5 mm without mirroring, as TotalSegmentator runs for one group of organs. Whole runs take hours:
one window is timed, and multiplied by the number of windows that nnU-Net's predictor takes.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import nn

from benchmarks.cascade import phantom
from benchmarks.row import Row, row_of, write_rows
from models.registry import load_model
from models.segmenter import ON_CPU

LIBRARIES = ("dynamic_network_architectures", "nnunetv2")
FEATURES = (32, 64, 128, 256, 320, 320)
STEP = 0.5
"""nnU-Net's default: windows overlap by half."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A plan: spacing (z, y, x) in mm, window in voxels, strides of each stage, and how often each window is seen."""

    name: str
    spacing_mm: tuple[float, float, float]
    window: tuple[int, int, int]
    strides: tuple[tuple[int, int, int], ...]
    passes: int
    goal: float

    def network(self) -> nn.Module:
        """Return nnU-Net's network for this plan, with random weights."""
        from dynamic_network_architectures.architectures.unet import PlainConvUNet

        network: nn.Module = PlainConvUNet(
            1, len(FEATURES), FEATURES, nn.Conv3d, [[3, 3, 3]] * len(FEATURES), [list(each) for each in self.strides],
            [2] * len(FEATURES), 2, [2] * (len(FEATURES) - 1), conv_bias=True, norm_op=nn.InstanceNorm3d,
            norm_op_kwargs={"eps": 1e-5, "affine": True}, nonlin=nn.LeakyReLU, nonlin_kwargs={"inplace": True},
        )  # fmt: skip
        return network.eval()

    def windows(self, shape: Sequence[int], spacing_mm: Sequence[float]) -> int:
        """Return how many windows nnU-Net takes of a scan of this shape and spacing."""
        from nnunetv2.inference.sliding_window_prediction import compute_steps_for_sliding_window

        image = [round(n * mm / own) for n, mm, own in zip(shape, spacing_mm, self.spacing_mm, strict=True)]
        padded = tuple(max(side, least) for side, least in zip(image, self.window, strict=True))
        return math.prod(map(len, compute_steps_for_sliding_window(padded, self.window, STEP)))


HALVED = (2, 2, 2)
PEERS = (
    Peer(
        name="nnU-Net 3d_fullres, 5 folds, mirrored",
        spacing_mm=(1.245, 0.785, 0.785),
        window=(80, 192, 160),
        strides=((1, 1, 1), HALVED, HALVED, HALVED, HALVED, (1, 2, 2)),
        passes=5 * 8,
        goal=20.0,
    ),
    Peer(
        name="one 3D network at 1.5 mm",
        spacing_mm=(1.5, 1.5, 1.5),
        window=(128, 128, 128),
        strides=((1, 1, 1), HALVED, HALVED, HALVED, HALVED, HALVED),
        passes=1,
        goal=2.0,
    ),
)


def main() -> None:
    """Print a row for each peer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    write_rows(compare(options.rounds), options.out)


def compare(rounds: int) -> list[Row]:
    """Time ours and one window of each peer in turn, in each round."""
    scan, model = phantom(), load_model("lung_tumour", ON_CPU)
    is_there = all(find_spec(library) for library in LIBRARIES)
    networks = [peer.network() if is_there else None for peer in PEERS]
    ours: list[float] = []
    theirs: list[list[float]] = [[] for _ in PEERS]
    for _ in range(rounds):
        begin = time.perf_counter()
        model.segment(scan, lambda _: None)
        ours.append(time.perf_counter() - begin)
        for peer, network, seconds in zip(PEERS, networks, theirs, strict=True):
            if network is not None:
                windows = peer.windows(scan.hu.shape, scan.spacing)
                seconds.append(_window_seconds(network, peer) * windows * peer.passes)
    return [_row(peer, ours, seconds) for peer, seconds in zip(PEERS, theirs, strict=True)]


@torch.inference_mode()
def _window_seconds(network: nn.Module, peer: Peer) -> float:
    image = torch.zeros(1, 1, *peer.window)
    begin = time.perf_counter()
    network(image)
    return time.perf_counter() - begin


def _row(peer: Peer, ours: Sequence[float], seconds: Sequence[float]) -> Row:
    name = f"segment 300 slices against {peer.name}"
    if not seconds:
        return row_of(name, "s", ours, None, {peer.name: None})
    ratios = [theirs / own for theirs, own in zip(seconds, ours, strict=True)]
    medians = {"ours": sorted(ours)[len(ours) // 2], peer.name: sorted(seconds)[len(seconds) // 2]}
    return row_of(name, "times", ratios, peer.goal, medians, at_least=True)


if __name__ == "__main__":
    main()
