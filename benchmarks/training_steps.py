"""Steps of training a second, ours and plainly: python -m benchmarks.training_steps [--steps 12] [--out FILE].

The same batches (generated chests), network and loss. Plainly: torch's defaults - float32, contiguous images, AdamW as
it is, batches drawn between the steps. Ours: `training.optimise.train`, with everything that a run has (average of the
weights, log, checkpoint). The rounds alternate; the first step of each, which allocates, is not counted.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.row import row_of, write_rows
from models.lung_tumour.network import build_network
from training.data.datasets import phantoms
from training.optimise.settings import TrainingSettings
from training.optimise.train import fit, tumour_loss
from training.sampling.batches import Batches, recipe_for

NETWORKS = ("2.5d-residual", "2.5d-efficientnet")


def main() -> None:
    """Print a row for each network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    stacks = list(phantoms(2, 1))
    rows = []
    for network in NETWORKS:
        settings = TrainingSettings(steps=options.steps, recipe=recipe_for(stacks), network=network, imagenet=False)
        batches = Batches(stacks, settings.recipe, settings.crop, (1,), network)
        plain, ours = [], []
        for _ in range(options.rounds):
            plain.append(plain_steps(batches, settings))
            ours.append(our_steps(batches, settings))
        ratios = [own / other for own, other in zip(ours, plain, strict=True)]
        print(f"{network}: {max(ours):.2f} steps a second, plainly {max(plain):.2f}")
        rows.append(row_of(f"training steps, {network}, over plain torch", "times", ratios, None, at_least=True))
    write_rows(rows, options.out)


def plain_steps(batches: Batches, settings: TrainingSettings) -> float:
    """Return the steps a second of a plain loop."""
    torch.manual_seed(1)
    network = build_network(settings.network).train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=1e-2)
    begin = 0.0
    for number in range(settings.steps):
        if number == 1:
            begin = time.perf_counter()
        image, target, known = batches[number]
        optimiser.zero_grad()
        tumour_loss(network(image), target, known).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
    return (settings.steps - 1) / (time.perf_counter() - begin)


def our_steps(batches: Batches, settings: TrainingSettings) -> float:
    """Return the steps a second of `fit`, from the times at which it asks for the loss."""
    times: list[float] = []

    def loss(logits: torch.Tensor, target: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        times.append(time.perf_counter())
        return tumour_loss(logits, target, known)

    with tempfile.TemporaryDirectory() as folder:
        fit(lambda _: batches, loss, Path(folder) / "run", settings)
    return (settings.steps - 1) / (times[-1] - times[0])


if __name__ == "__main__":
    main()
