"""The settings of a training run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from training.sampling.batches import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """steps: updates of the weights. accumulate: batches that each of them sums up. learning_rate: the highest."""

    steps: int
    recipe: Recipe
    crop: int = 128
    """Side of an example in pixels of the network, a multiple of 32."""
    accumulate: int = 1
    whole_slices: Recipe = ()
    """Of whole slices, a batch of which goes with each batch of crops; both count alike. Empty: crops alone."""
    learning_rate: float = 2e-3
    warmup_steps: int = 100
    ema_decay: float = 0.998
    checkpoint_every: int = 500
    device: str = "auto"
    num_workers: int = 1
    """Processes that draw examples, for each process that trains."""
    init_from: Path | None = None
    """Weights to begin with, as `initial_weights.py` takes them."""
    imagenet: bool = True
    """Where no other weights are named, a network that can begins with what was learned on ImageNet."""
    seed: int = 1
    network: str = "2.5d"
    """One of models/lung_tumour/network.py."""
    fold: int | None = None
    """Of cross-validation, whose patients were held back; None: no fold."""
    compile: bool = False
    """Whether torch.compile makes one kernel of many: faster after a minute or so, and needs a C++ compiler."""
    data: str = ""
    """SHA-256 of the prepared data: a run goes on with what it began with. "" where the data has none."""

    @property
    def batches(self) -> int:
        """Of which each update sums the gradients."""
        return self.accumulate * (2 if self.whole_slices else 1)
