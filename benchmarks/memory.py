"""Peak memory of a scan of 600 slices, ours and nnU-Net's: python -m benchmarks.memory [--slices 600] [--out FILE].

Ours: `lungspread run` on a DICOM series, to SEG, SR and page. nnU-Net's: its own predictor on the same scan (plan of
3d_fullres, `benchmarks.peers`), then the logits on the scan's grid. Only its first window is
computed by its network; the others return zeros at once, so that the arrays are the same and hours are saved. Loading
and saving are left out in its favour. Each runs in a process of its own (`benchmarks.peak`).
"""

from __future__ import annotations

import argparse
import tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.growth import in_slices
from benchmarks.load import with_highdicom, with_lungspread
from benchmarks.peak import peak_mb
from benchmarks.peers import LIBRARIES, PEERS
from benchmarks.row import Row, row_of, write_rows
from benchmarks.step import chest
from worker.phantom.dicom import write_series

MOST_MB, MOST_OF_NNUNET, MOST_OF_VOLUME = 3000.0, 0.5, 2.2
SPACING_MM = (0.8, 0.7, 0.7)
"""Of the scan that nnU-Net's predictor gets."""
LESIONS = 2


class FirstWindow(nn.Module):
    """A network of which only the first call is computed; later ones return its shape in zeros."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.zeros: torch.Tensor | None = None

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits (n, class, slice, row, column)."""
        if self.zeros is None:
            self.zeros = torch.zeros_like(self.network(images))
        return self.zeros


def nnunet(slices: int) -> None:
    """Predict a scan as nnU-Net does, in this process."""
    from acvl_utils.cropping_and_padding.padding import pad_nd_image
    from nnunetv2.inference.sliding_window_prediction import compute_gaussian, compute_steps_for_sliding_window

    peer, shape = PEERS[0], (slices, 512, 512)
    at_plan = tuple(round(n * mm / own) for n, mm, own in zip(shape, SPACING_MM, peer.spacing_mm, strict=True))
    image = torch.from_numpy(np.random.default_rng(1).normal(size=(1, *at_plan)).astype(np.float32))
    network = FirstWindow(peer.network())
    with (
        torch.inference_mode()
    ):  # nnUNetPredictor.predict_sliding_window_return_logits, whose imports need its training
        data, to_original = pad_nd_image(image, peer.window, "constant", {"value": 0}, True, None)
        logits = torch.zeros((2, *data.shape[1:]), dtype=torch.half)
        counted = torch.zeros(data.shape[1:], dtype=torch.half)
        gaussian = compute_gaussian(
            peer.window, sigma_scale=1.0 / 8, value_scaling_factor=10, device=torch.device("cpu")
        )
        steps = compute_steps_for_sliding_window(tuple(data.shape[1:]), peer.window, 0.5)
        for z, y, x in np.stack(np.meshgrid(*steps, indexing="ij"), -1).reshape(-1, 3):
            at = tuple(slice(a, a + n) for a, n in zip((z, y, x), peer.window, strict=True))
            logits[(slice(None), *at)] += network(data[(slice(None), *at)][None])[0] * gaussian
            counted[at] += gaussian
        logits /= counted
        logits = logits[(slice(None), *to_original[1:])]
        functional.interpolate(logits[None].float(), shape, mode="trilinear")


def rows(slices: int, folder: Path) -> list[Row]:
    """Measure everything once; memory hardly varies."""
    files = write_series(folder / "ct", in_slices(chest(300, LESIONS), slices))
    ours = peak_mb("worker.cli", "run", str(folder / "ct"), "--out", str(folder / "out"))
    kind = f"{slices} slices"
    found = [row_of(f"peak memory, run, {kind}", "MB", [ours], MOST_MB)]
    volume_mb = slices * 512 * 512 * 4 / 2**20
    for name in (with_lungspread, with_highdicom):
        of_reader = peak_mb("benchmarks.memory", "--reader", name.__name__, str(files[0].parent))
        without = peak_mb("benchmarks.memory", "--reader", name.__name__, "")
        goal = MOST_OF_VOLUME if name is with_lungspread else None
        title = f"peak memory, load {name.__name__}, over the volume's {volume_mb:.0f} MB"
        found.append(row_of(title, "times", [(of_reader - without) / volume_mb], goal))
    if all(find_spec(library) for library in LIBRARIES):
        theirs = peak_mb("benchmarks.memory", "--nnunet", str(slices))
        found.append(row_of(f"peak memory, {kind}, nnU-Net", "MB", [theirs], None))
        found.append(row_of(f"peak memory, {kind}, over nnU-Net", "times", [ours / theirs], MOST_OF_NNUNET))
    else:
        print("nnU-Net is not installed")
    return found


def main() -> None:
    """Print the rows, and write them as JSON if a file is given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=600)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--nnunet", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--reader", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.nnunet:
        nnunet(options.nnunet)
    elif options.reader:
        name, folder = options.reader
        files = sorted(Path(folder).glob("*.dcm")) if folder else []
        if files:
            {each.__name__: each for each in (with_lungspread, with_highdicom)}[name](files)
    else:
        with tempfile.TemporaryDirectory() as folder:
            write_rows(rows(options.slices, Path(folder)), options.out)


if __name__ == "__main__":
    main()
