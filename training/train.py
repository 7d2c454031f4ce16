"""Trains the lung tumour network: one loop, read from top to bottom.

Notable decisions: a budget in minutes rather than epochs, so that a run is comparable on any machine; examples drawn by
patient, not by slice, so that one large tumour does not count a hundred times; Dice over the batch plus cross-entropy;
bfloat16; the exponential moving average of the weights is what is exported. No validation score steers anything here.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.progress import Progress, TextColumn
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, IterableDataset

from models.lung_tumour.network import build_network
from training.augment import Example, draw, lung_centre, tumour_centre
from training.datasets import Stack

# Examples of one batch: source, where the crop is centred, whether the slice has tumour (None: either), how many.
RECIPE = (
    ("msd", tumour_centre, True, 6),
    ("msd", lung_centre, None, 2),
    ("msd", lung_centre, False, 4),
    ("lidc", tumour_centre, True, 4),
    ("lidc-cube", tumour_centre, True, 1),
    ("phantom", tumour_centre, True, 1),
    ("phantom", lung_centre, None, 1),
)
Centre = Callable[[Stack, int, np.random.Generator], tuple[float, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """minutes: the budget of wall-clock time. learning_rate: the highest, after the warm-up."""

    minutes: float
    learning_rate: float = 2e-3
    warmup_steps: int = 100
    ema_decay: float = 0.998
    checkpoint_every_s: float = 240
    start: Path | None = None
    """Weights to go on from: the `average.pt` of an earlier run."""
    seed: int = 1


class Examples(IterableDataset[tuple[Tensor, Tensor, Tensor]]):
    """Batches drawn for ever from the stacks, as RECIPE says."""

    def __init__(self, stacks: list[Stack], seed: int) -> None:
        self.by_patient: dict[str, dict[str, list[Stack]]] = defaultdict(lambda: defaultdict(list))
        for stack in stacks:
            self.by_patient[stack.source][stack.patient].append(stack)
        self.by_patient = {source: dict(patients) for source, patients in self.by_patient.items()}
        self.seed = seed

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        worker = torch.utils.data.get_worker_info()
        rng = np.random.default_rng([self.seed, worker.id if worker else 0, time.time_ns()])
        while True:
            drawn = [
                self._example(source, centre, tumour, rng)
                for source, centre, tumour, count in RECIPE
                if source in self.by_patient
                for _ in range(count)
            ]
            yield (
                torch.from_numpy(np.stack([example.image for example in drawn])),
                torch.from_numpy(np.stack([example.target for example in drawn]))[:, None],
                torch.from_numpy(np.stack([example.known for example in drawn]))[:, None],
            )

    def _example(self, source: str, centre: Centre, tumour: bool | None, rng: np.random.Generator) -> Example:
        patients = self.by_patient[source]
        while True:
            stacks = patients[list(patients)[int(rng.integers(len(patients)))]]
            slices = [
                (stack, k)
                for stack in stacks
                for k in range(len(stack.hu))
                if tumour is None or bool(stack.mask[k].any()) is tumour
            ]
            if slices:
                stack, index = slices[int(rng.integers(len(slices)))]
                return draw(stack, index, centre(stack, index, rng), rng)


def train(stacks: list[Stack], run: Path, settings: TrainingSettings) -> nn.Module:
    """Train for the budget and return the averaged network; `run` receives a checkpoint and the curve."""
    torch.manual_seed(settings.seed)
    network = build_network().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if settings.start is not None:
        network.load_state_dict(torch.load(settings.start, weights_only=True))
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(settings.ema_decay), use_buffers=True)  # type: ignore[no-untyped-call]
    optimiser = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=1e-4)
    batches = iter(DataLoader(Examples(stacks, settings.seed), batch_size=None, num_workers=1, prefetch_factor=8))
    run.mkdir(parents=True, exist_ok=True)
    started, saved, step, smooth = time.monotonic(), time.monotonic(), 0, 1.0
    with Progress(*Progress.get_default_columns(), TextColumn("{task.fields[loss]}")) as progress:
        task = progress.add_task("training", total=settings.minutes * 60, loss="")
        while (elapsed := time.monotonic() - started) < settings.minutes * 60:
            _set_rate(optimiser, settings, step, elapsed / (settings.minutes * 60))
            loss = _step(network, optimiser, next(batches))
            average.update_parameters(network)
            smooth, step = 0.99 * smooth + 0.01 * loss, step + 1
            progress.update(task, completed=elapsed, loss=f"step {step}, loss {smooth:.3f}")
            if time.monotonic() - saved > settings.checkpoint_every_s:
                _save(average.module, run, step, elapsed, smooth)
                saved = time.monotonic()
    _save(average.module, run, step, settings.minutes * 60, smooth)
    averaged: nn.Module = average.module
    return averaged


def tumour_loss(logits: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Soft Dice over the whole batch plus cross-entropy, both only where the stack has pixels."""
    probability = torch.sigmoid(logits) * known
    overlap = (probability * target).sum()
    dice = 1 - (2 * overlap + 1) / (probability.sum() + (target * known).sum() + 1)
    entropy = nn.functional.binary_cross_entropy_with_logits(logits, target, weight=known)
    return dice + 2 * entropy


def _step(network: nn.Module, optimiser: torch.optim.Optimizer, batch: tuple[Tensor, Tensor, Tensor]) -> float:
    image, target, known = batch
    network.train()
    with torch.autocast("cpu", torch.bfloat16):
        logits = network(image.contiguous(memory_format=torch.channels_last))
    loss = tumour_loss(logits.float(), target, known)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(network.parameters(), 5.0)
    optimiser.step()
    return float(loss.detach())


def _set_rate(optimiser: torch.optim.Optimizer, settings: TrainingSettings, step: int, share: float) -> None:
    """Linear warm-up, then a cosine to zero at the end of the budget."""
    rate = settings.learning_rate * min(1.0, (step + 1) / settings.warmup_steps) * 0.5 * (1 + math.cos(math.pi * share))
    for group in optimiser.param_groups:
        group["lr"] = rate


def _save(network: nn.Module, run: Path, step: int, elapsed: float, loss: float) -> None:
    partial = run / "average.partial"
    torch.save(network.state_dict(), partial)
    partial.replace(run / "average.pt")
    with (run / "curve.csv").open("a", encoding="utf-8") as file:
        file.write(f"{step},{elapsed:.0f},{loss:.4f}\n")
