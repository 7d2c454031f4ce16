"""`python -m training train | evaluate | export`: makes and judges the weights of `models/lung_tumour`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from training.datasets import Stack, lidc_cubes, lidc_slices, msd_slices, phantoms
from training.splits import read_splits
from training.train import TrainingSettings
from training.train import train as train_network

SPLITS = Path(__file__).parent / "splits" / "lung_tumour_v1.json"
PHANTOMS, FIRST_SEED = 14, 1000

app = typer.Typer(no_args_is_help=True, add_completion=False)
Data = Annotated[Path, typer.Option(help="Folder with msd-slices, lidc-slices and lidc-cubes.")]
Run = Annotated[Path, typer.Option(help="Folder of this training run.")]


def stacks_of(data: Path, part: str) -> list[Stack]:
    """Return the real stacks of one part of the split: train, validation or test."""
    splits = read_splits(SPLITS)
    wanted = {"msd": splits["msd"][part], "lidc": splits["lidc"][part], "lidc-cube": splits["lidc"][part]}
    found = [
        *msd_slices(data / "msd-slices"),
        *lidc_slices(data / "lidc-slices"),
        *lidc_cubes(data / "lidc-cubes" / "cubes.npz"),
    ]
    return [stack for stack in found if stack.patient in wanted[stack.source]]


@app.command()
def train(data: Data, run: Run = Path("runs/lung_tumour"), minutes: float = 60, start: Path | None = None) -> None:
    """Train on the patients of the training part, for a budget of minutes, from `start` or from nothing."""
    stacks = [*stacks_of(data, "train"), *phantoms(PHANTOMS, FIRST_SEED)]
    print(f"{len(stacks)} stacks, {sum(len(stack.hu) for stack in stacks)} slices")
    train_network(stacks, run, TrainingSettings(minutes=minutes, start=start))


if __name__ == "__main__":
    app()
