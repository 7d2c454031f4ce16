"""Command `python -m training candidates`: train the network that finds the cascade's candidates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.progress import track

from dicom_node.errors import SeriesRejected
from models.lung_tumour.kinds import CANDIDATE_NETWORK, CANDIDATE_SIDE
from models.lung_tumour.segmenter import LungTumourSegmenter
from models.registry import load_model, model_folder
from models.segmenter import DEFAULTS
from training.candidates.batches import CandidateBatches
from training.candidates.loss import candidate_loss
from training.candidates.targets import targets
from training.data.datasets import phantoms
from training.data.volume import Stack, upright_stack
from training.evaluation.evaluate import training_stacks
from training.export.candidate_file import add_candidate_network
from training.optimise.settings import TrainingSettings
from training.optimise.train import fit
from training.pipeline import FIRST_SEED
from training.pipeline_command import exit_on_refusal
from training.readers.case import DataRefused
from training.synthesis.insertion import read_inserted
from worker.ct.files import dicom_files
from worker.ct.reader import load

SPLITS = Path(__file__).parents[1] / "splits" / "lung_tumour_v2.json"
SOURCE = "scan"


def candidates(  # noqa: PLR0913, PLR0917 - the options of a command
    model: Annotated[str, typer.Option(help="Whose candidates: lung_tumour:FOLDER, or lung_tumour, the released one.")],
    run: Annotated[Path, typer.Option(help="Folder of this training run.")],
    data: Annotated[Path | None, typer.Option(help="As for train: its part train.")] = None,
    extra_data: Annotated[
        Path | None, typer.Option(help="A folder written by insert, to train on in addition.")
    ] = None,
    scan: Annotated[
        list[Path] | None, typer.Option(help="Folder of one CT series as DICOM, without outlines; repeatable.")
    ] = None,
    generated: Annotated[int, typer.Option("--phantoms", min=0, help="Generated chests to train on.")] = 3,
    steps: Annotated[int, typer.Option(min=1, help="Weight updates.")] = 3000,
    init_from: Annotated[
        Path | None, typer.Option(help="As for train; a network of the model is a good start.")
    ] = None,
    learning_rate: Annotated[float, typer.Option(min=0, help="Peak value.")] = 1e-3,
    step_mm: Annotated[float, typer.Option(min=0.1, help="Slices closer together than this are skipped.")] = 2.0,
    num_workers: Annotated[int, typer.Option(min=0, help="Processes that load examples.")] = 1,
    device: str = "auto",
    install: Annotated[bool, typer.Option(help="Add the network to the model's folder.")] = False,
) -> None:
    """Train a network on what the whole ensemble sees, at coarse pixels: the cascade looks there alone."""
    with exit_on_refusal("candidates"):
        teacher = load_model(model, DEFAULTS)
        if not isinstance(teacher, LungTumourSegmenter):
            raise DataRefused(f"--model {model}: only lung_tumour models have a candidate network")
        stacks = _stacks(data, extra_data, scan or (), generated)
        if not stacks:
            raise DataRefused("no scan to train on: give --data, --scan or --phantoms")
        shown = track(stacks, "what the ensemble sees", transient=True)
        seen = list(targets(shown, teacher.ensemble, step_mm, run / "targets"))
        settings = TrainingSettings(
            steps=steps,
            recipe=(),
            crop=CANDIDATE_SIDE,
            learning_rate=learning_rate,
            init_from=init_from,
            network=CANDIDATE_NETWORK,
            device=device,
            num_workers=num_workers,
        )
        fit(lambda seed: CandidateBatches(seen, seed), candidate_loss, run, settings)
        if install:
            print(f"candidate network {add_candidate_network(run / 'average.pt', model_folder(model))}")


def _stacks(data: Path | None, extra_data: Path | None, scans: Sequence[Path], generated: int) -> list[Stack]:
    """Return all stacks to train on."""
    stacks = [] if data is None else training_stacks(data, SPLITS, None)
    if extra_data is not None:
        stacks += read_inserted(extra_data, stacks)
    return [*stacks, *_scans(scans), *phantoms(generated, FIRST_SEED)]


def _scans(folders: Sequence[Path]) -> Iterator[Stack]:
    """Yield CT series without outlines. Raises DataRefused for a folder that is not one readable CT series."""
    for folder in folders:
        try:
            series = load(dicom_files(folder))
        except SeriesRejected as error:
            raise DataRefused(f"{folder.name}: {error}") from None
        volume = series.volume
        hu = np.asarray(np.rint(volume.hu), np.int16)
        yield upright_stack(
            hu, np.zeros(hu.shape, bool), volume.affine, source=SOURCE, patient=folder.name, name=series.series_uid
        )
