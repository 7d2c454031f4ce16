"""The training loop of the lung tumour networks.

A batch is determined by the seed and its step, so that an interrupted run continues on the same curve. Examples are
drawn by patient, not by slice, so that a large tumour does not count a hundred times. The loss is Dice over the batch
plus cross-entropy, in bfloat16 if the hardware supports it. The exponential moving average of the weights is exported.
No validation score influences the training.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import torch
from rich.progress import Progress, TextColumn
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset

from models.devices import choose_dtype
from models.lung_tumour.efficientnet import EfficientUNet
from models.lung_tumour.network import build_network
from training.data.datasets import Stack
from training.optimise.distributed import joined
from training.optimise.imagenet import begin_with_imagenet
from training.optimise.initial_weights import initial_weights
from training.optimise.settings import TrainingSettings
from training.run_folder import RunFolder
from training.sampling.batches import Batch, Batches

Seed = tuple[int, ...]
BatchesOf = Callable[[Seed], Dataset[Batch]]
LossOf = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(slots=True, kw_only=True)
class _State:
    """Everything that changes during training."""

    network: nn.Module
    average: AveragedModel
    optimiser: torch.optim.Optimizer
    step: int = 0
    loss: float = 1.0
    """Smoothed over about a hundred steps."""
    seconds: float = 0.0
    """Time of the steps over all starts of the run, for the budget in the model's card."""


def train(stacks: list[Stack], run: Path, settings: TrainingSettings) -> None:
    """Train on stacks and their masks, as `fit` does."""

    def batches_of(seed: Seed) -> Dataset[Batch]:
        return Batches(stacks, settings.recipe, settings.crop, seed, settings.network, settings.whole_slices)

    fit(batches_of, tumour_loss, run, settings)


def fit(batches_of: BatchesOf, loss_of: LossOf, run: Path, settings: TrainingSettings) -> None:
    """Train for `settings.steps` steps, on this process or all started by torchrun; `run` receives weights and curves.

    batches_of: returns the batches by number, for a seed. loss_of: of logits, target and known. If the run folder holds
    a checkpoint of the same settings, training continues from there.
    """
    with joined(settings.device) as processes, RunFolder(run, settings, is_writer=processes.rank == 0) as folder:
        state = _begin(settings, processes.device)
        _restore(state, folder.checkpoint(processes.device))
        network = processes.wrap(state.network)
        if settings.compile:
            network.compile()
        batches = iter(_loader(batches_of((settings.seed, processes.rank)), settings, state.step))
        with Progress(*Progress.get_default_columns(), TextColumn("{task.fields[loss]}")) as progress:
            task = progress.add_task("training", total=settings.steps, completed=state.step, loss="")
            before = perf_counter() - state.seconds
            while state.step < settings.steps:
                rate = _set_rate(state.optimiser, settings, state.step)
                loss = processes.mean(_update(network, state.optimiser, batches, settings.batches, loss_of))
                state.average.update_parameters(state.network)
                state.loss, state.step = 0.99 * state.loss + 0.01 * loss, state.step + 1
                state.seconds = perf_counter() - before
                folder.log(state.step, loss, rate)
                progress.update(task, completed=state.step, loss=f"step {state.step}, loss {state.loss:.3f}")
                if state.step % settings.checkpoint_every == 0 or state.step == settings.steps:
                    folder.save(_checkpoint(state), state.average.module.state_dict())
                    if not progress.console.is_terminal and processes.rank == 0:  # no progress bar, as in a notebook
                        progress.console.print(f"step {state.step} of {settings.steps}, loss {state.loss:.3f}")


def tumour_loss(logits: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Return soft Dice plus cross-entropy, both only where the stack has pixels (`known`).

    The Dice is the mean of two: over all examples together, including tumour-free ones, and the mean over examples with
    tumour, in which a nodule of 8 mm counts as much as a mass.
    """
    probability, truth = (torch.sigmoid(logits) * known).flatten(1), (target * known).flatten(1)
    overlap, size = (probability * truth).sum(1), probability.sum(1) + truth.sum(1)
    together = 1 - (2 * overlap.sum() + 1) / (size.sum() + 1)
    has_tumour = (truth.sum(1) > 0).float()
    each = ((1 - (2 * overlap + 1) / (size + 1)) * has_tumour).sum() / has_tumour.sum().clamp(min=1)
    entropy = nn.functional.binary_cross_entropy_with_logits(logits, target, weight=known)
    return (together + each) / 2 + 2 * entropy


def _begin(settings: TrainingSettings, device: torch.device) -> _State:
    torch.manual_seed(settings.seed)
    network = build_network(settings.network).to(device, memory_format=_layout(settings.network))  # type: ignore[call-overload]
    if settings.init_from is not None:
        network.load_state_dict(initial_weights(settings.init_from, settings.network))
    elif settings.imagenet and isinstance(network, EfficientUNet):
        begin_with_imagenet(network.encoder)
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(settings.ema_decay), use_buffers=True)  # type: ignore[no-untyped-call]
    optimiser = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=1e-2)
    return _State(network=network, average=average, optimiser=optimiser)


def _layout(network: str) -> torch.memory_format:
    return torch.channels_last_3d if network == "3d" else torch.channels_last


def _checkpoint(state: _State) -> dict[str, object]:
    return {
        "network": state.network.state_dict(),
        "average": state.average.state_dict(),
        "optimiser": state.optimiser.state_dict(),
        "step": state.step,
        "loss": state.loss,
        "seconds": state.seconds,
    }


def _restore(state: _State, checkpoint: dict[str, object] | None) -> None:
    if checkpoint is None:
        return
    state.network.load_state_dict(checkpoint["network"])  # type: ignore[arg-type]
    state.average.load_state_dict(checkpoint["average"])  # type: ignore[arg-type]
    state.optimiser.load_state_dict(checkpoint["optimiser"])  # type: ignore[arg-type]
    state.step, state.loss = int(str(checkpoint["step"])), float(str(checkpoint["loss"]))
    state.seconds = float(str(checkpoint.get("seconds", 0.0)))


def _loader(batches: Dataset[Batch], settings: TrainingSettings, step: int) -> DataLoader[Batch]:
    """Return the batches from `step` on."""
    order = range(step * settings.batches, settings.steps * settings.batches)
    return DataLoader(
        batches,
        batch_size=None,
        sampler=order,
        num_workers=settings.num_workers,
        prefetch_factor=8 if settings.num_workers else None,
    )


def _update(
    network: nn.Module, optimiser: torch.optim.Optimizer, batches: Iterator[Batch], count: int, loss_of: LossOf
) -> float:
    """Sum the gradients of `count` batches, update the weights once, and return the mean loss."""
    network.train()
    optimiser.zero_grad(set_to_none=True)
    total = 0.0
    for _ in range(count):
        loss = _loss(network, next(batches), loss_of) / count
        loss.backward()  # type: ignore[no-untyped-call]
        total += float(loss.detach())
    nn.utils.clip_grad_norm_(network.parameters(), 5.0)
    optimiser.step()
    return total


def _loss(network: nn.Module, batch: Batch, loss_of: LossOf) -> Tensor:
    device = next(network.parameters()).device
    image, target, known = (part.to(device, non_blocking=True) for part in batch)
    dtype = choose_dtype(device)
    with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        logits = network(image.contiguous(memory_format=_layout("2.5d" if image.ndim == 4 else "3d")))
    return loss_of(logits.float(), target, known)


def _set_rate(optimiser: torch.optim.Optimizer, settings: TrainingSettings, step: int) -> float:
    """Set and return the learning rate: linear warm-up, and cosine decay to zero at the last step."""
    share = step / settings.steps
    rate = settings.learning_rate * min(1.0, (step + 1) / settings.warmup_steps) * 0.5 * (1 + math.cos(math.pi * share))
    for group in optimiser.param_groups:
        group["lr"] = rate
    return rate
