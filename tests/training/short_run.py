"""A training run of a few steps on a phantom: `python -m tests.training.short_run RUN`."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from training.datasets import Stack, lesion_mask
from training.examples import Recipe, Share
from training.train import TrainingSettings, train
from worker.demo.phantom import PhantomLesion, PhantomSpec, chest_phantom

RECIPE: Recipe = (
    Share(source="phantom", centre="tumour", tumour=True, count=1),
    Share(source="phantom", centre="lung", tumour=None, count=1),
)


def phantom_stack() -> Stack:
    """A slab of six slices with one lesion."""
    lesion = PhantomLesion(centre_mm=(-78.0, 0.0, 0.0), half_axes_mm=(20.0, 20.0, 20.0))
    phantom = chest_phantom(PhantomSpec(shape=(6, 160, 160), spacing_mm=(5.0, 2.2, 2.2), lesions=(lesion,)))
    return Stack(
        source="phantom",
        patient="p",
        name="p",
        hu=phantom.hu.astype(np.int16),
        mask=lesion_mask(phantom),
        spacing_mm=phantom.spec.spacing_mm,
        whole=True,
    )


def settings(steps: int = 6, accumulate: int = 1) -> TrainingSettings:
    """Small and short."""
    return TrainingSettings(
        steps=steps, recipe=RECIPE, crop=32, accumulate=accumulate, checkpoint_every=2, device="cpu", loaders=0
    )


if __name__ == "__main__":
    train([phantom_stack()], Path(sys.argv[1]), settings())
