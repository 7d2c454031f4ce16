"""What the whole ensemble says of whole slices, in the pixels of the candidate network: its training data.

It is computed once for each stack and stored, so that an interrupted computation continues. Masks are not used, so
that scans without one can be learnt from, too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch.nn import functional

from models.lung_tumour.ensemble import Ensemble
from models.lung_tumour.kinds import CANDIDATE_PIXELS, MULTIPLE
from models.lung_tumour.slice_stack import SliceStack
from training.data.volume import Stack

LEVELS = 127.5
"""Images are stored as 8 bits: -1 to 1 as 0 to 255."""
CROPS = "crops"
LOGIT_STEPS = 12
"""Logits are stored as 8 bits, in steps of a twelfth, from -10.6 to 10.6."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """images: uint8 (slice, plane, row, column). logits: int8 (slice, row, column), the largest of each pixel.

    group: the source of whole scans; CROPS for all crops.
    """

    group: str
    images: NDArray[np.uint8]
    logits: NDArray[np.int8]


def targets(stacks: Iterable[Stack], ensemble: Ensemble, step_mm: float, folder: Path) -> Iterator[Target]:
    """Yield the target of each stack. step_mm: slices closer together than this are skipped. folder: keeps them."""
    folder.mkdir(parents=True, exist_ok=True)
    for stack in stacks:
        digest = hashlib.sha256(f"{stack.source}\n{stack.name}\n{step_mm}".encode()).hexdigest()
        path = folder / f"{digest[:16]}.npz"
        if not path.is_file():
            partial = path.with_suffix(".partial.npz")
            images, logits = _seen(stack, ensemble, step_mm)
            np.savez_compressed(partial, images=images, logits=logits)
            partial.replace(path)
        with np.load(path) as stored:
            group = stack.source if stack.whole else CROPS
            yield Target(group=group, images=stored["images"], logits=stored["logits"])


def _seen(stack: Stack, ensemble: Ensemble, step_mm: float) -> tuple[NDArray[np.uint8], NDArray[np.int8]]:
    upright = SliceStack(np.asarray(stack.hu, np.float32), stack.spacing_mm, CANDIDATE_PIXELS * MULTIPLE)
    images, logits = [], []
    for number in range(0, len(stack.hu), max(1, int(step_mm / stack.spacing_mm[0]))):
        windows = upright.windows(number, upright.whole)
        seen = ensemble.mean_logits(upright.images(windows).to(ensemble.device)).cpu()
        coarse = upright.images(windows, CANDIDATE_PIXELS).numpy()
        largest = functional.max_pool2d(seen, CANDIDATE_PIXELS)[:, 0].numpy()
        images.append(np.clip(np.rint((coarse + 1) * LEVELS), 0, 255).astype(np.uint8))
        logits.append(np.clip(np.rint(largest * LOGIT_STEPS), -127, 127).astype(np.int8))
    return np.concatenate(images), np.concatenate(logits)
