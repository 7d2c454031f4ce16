"""The settings of a training run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from training.sampling.batches import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """steps: weight updates. accumulate: batches whose gradients each update sums. learning_rate: the peak."""

    steps: int
    recipe: Recipe
    crop: int = 128
    """Side of an example in pixels of the network, a multiple of 32."""
    accumulate: int = 1
    whole_slices: Recipe = ()
    """Recipe of a batch of whole slices after each batch of crops, both with equal weight. Empty: crops only."""
    learning_rate: float = 2e-3
    warmup_steps: int = 100
    ema_decay: float = 0.998
    checkpoint_every: int = 500
    device: str = "auto"
    num_workers: int = 1
    """Processes that load examples, for each training process."""
    init_from: Path | None = None
    """Initial weights, see `initial_weights.py`."""
    imagenet: bool = True
    """Whether a network that supports it starts from ImageNet weights if init_from is None."""
    seed: int = 1
    network: str = "2.5d"
    """A kind of models/lung_tumour/network.py."""
    fold: int | None = None
    """The fold of cross-validation whose patients are held back, or None."""
    compile: bool = False
    """Whether to use torch.compile: faster after about a minute, and needs a C++ compiler."""
    data: str = ""
    """SHA-256 of the prepared data: a run continues only with the same data. "" if the data has none."""

    @property
    def batches(self) -> int:
        """Number of batches whose gradients each update sums."""
        return self.accumulate * (2 if self.whole_slices else 1)
