"""`python -m training COMMAND`: makes and judges the weights of `models/lung_tumour`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from models.lung_tumour.segmenter import LungTumourSegmenter
from models.registry import MODELS, model_card
from models.weights import verified_weights
from training.datasets import Stack, lidc_cubes, lidc_slices, msd_slices, phantoms
from training.evaluate import OperatingPoint, choose_point, predict
from training.evaluation import evaluate_model, headlines, held_back
from training.examples import RECIPES
from training.export import export as export_weights
from training.gallery import draw_figures, named_cases
from training.layouts.case import DataRefused
from training.layouts.outline import DEFAULT, Tumour
from training.prepare import KINDS, Request, parse_source, summary
from training.prepare import prepare as prepare_cache
from training.splits import read_splits
from training.train import TrainingSettings
from training.train import train as train_network

SPLITS = Path(__file__).parent / "splits" / "lung_tumour_v1.json"
PHANTOMS, FIRST_SEED = 14, 1000

app = typer.Typer(no_args_is_help=True, add_completion=False)
Data = Annotated[Path, typer.Option(help="Folder with msd-slices, lidc-slices and lidc-cubes.")]
Judged = Annotated[Path, typer.Option(help="A cache that prepare has written, or the folder of the three collections.")]
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
def prepare(
    source: Annotated[list[str], typer.Option(help=f"KIND:PATH, KIND one of {', '.join(KINDS)}; may be repeated.")],
    cache: Annotated[Path, typer.Option(help="Folder to write; what it holds already is not read again.")],
    splits: Annotated[Path | None, typer.Option(help="A committed split by patient; without it one is drawn.")] = None,
    folds: Annotated[int, typer.Option(min=2, help="Of a split that is drawn.")] = 5,
    tumour: Annotated[
        list[str] | None, typer.Option(help=f"DICOM: label with * or SCHEME:CODE; without it {' '.join(DEFAULT)}.")
    ] = None,
) -> None:
    """Check data sets and write them into a cache; broken data is refused by name, with exit code 2."""
    try:
        sources = tuple(map(parse_source, source))
        names = Tumour(names=tuple(tumour)) if tumour else Tumour()
        prepared = prepare_cache(Request(sources=sources, cache=cache, splits=splits, folds=folds, tumour=names))
    except DataRefused as refused:
        sys.stderr.writelines(f"prepare: {problem}\n" for problem in refused.problems)
        raise typer.Exit(2) from None
    for line in (*prepared.notes, *summary(prepared)):
        print(line)


@app.command()
def train(  # noqa: PLR0913, PLR0917 - the options of a command
    data: Data,
    run: Run = Path("runs/lung_tumour"),
    steps: int = 7000,
    recipe: Annotated[str, typer.Option(help=f"{' or '.join(RECIPES)}: which sources in which shares.")] = "tumours",
    crop: int = 128,
    start: Annotated[Path | None, typer.Option(help="average.pt of another run to begin with.")] = None,
    device: str = "auto",
) -> None:
    """Train on the patients of the training part; a run that was ended goes on where it was."""
    stacks = [*stacks_of(data, "train"), *phantoms(PHANTOMS, FIRST_SEED)]
    print(f"{len(stacks)} stacks, {sum(len(stack.hu) for stack in stacks)} slices")
    train_network(
        stacks,
        run,
        TrainingSettings(steps=steps, recipe=RECIPES[recipe], crop=crop, start=start, device=device),
    )


@app.command()
def evaluate(
    data: Judged,
    run: Run = Path("runs/lung_tumour"),
    part: Annotated[str, typer.Option(help="test, validation, or fold-N of a split that has folds.")] = "test",
    results: Annotated[Path | None, typer.Option(help="JSON file to write besides.")] = None,
    chests: Annotated[int, typer.Option(help="Generated chests without a lesion, to count false marks in.")] = 4,
) -> None:
    """Judge the exported model at its card's operating point: RUN/evaluation/evaluation.json and report.html."""
    try:
        judged = held_back(data, part, SPLITS)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    evaluation = evaluate_model(_segmenter(), judged, run / "evaluation", chests)
    if results is not None:
        results.write_text(json.dumps(evaluation, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    for line in headlines(evaluation):
        print(line)
    print(f"{run / 'evaluation' / 'report.html'}: pictures of patients, not to be committed")


@app.command()
def figures(
    run: Annotated[list[Path], typer.Option(help="A run's folder; with several their curves are drawn together.")],
    data: Annotated[Path | None, typer.Option(help="As for evaluate; not needed for phantoms.")] = None,
    case: Annotated[list[str] | None, typer.Option(help="A patient or nodule of the data, or phantom-SEED.")] = None,
) -> None:
    """Draw learning curves, and cases: four pictures, a montage, a GIF and a page to scroll. In RUN/figures."""
    try:
        cases = named_cases(case or [], data, SPLITS)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    for path in draw_figures(run, cases, _segmenter):
        print(path)


@app.command()
def export(data: Data, version: Annotated[str, typer.Option()], run: Run = Path("runs/lung_tumour")) -> None:
    """Write a run's averaged weights into the model's folder; the operating point is chosen on validation patients."""
    first = OperatingPoint(threshold=0.5, peak_threshold=0.5)
    export_weights(run / "average.pt", MODELS["lung_tumour"], version, first)
    point = choose_point(predict(_segmenter(), stacks_of(data, "validation")))
    digest = export_weights(run / "average.pt", MODELS["lung_tumour"], version, point)
    print(f"weights {digest}, {point}")


def _segmenter() -> LungTumourSegmenter:
    card = model_card("lung_tumour")
    return LungTumourSegmenter(card, verified_weights(MODELS["lung_tumour"], card), "auto")


if __name__ == "__main__":
    app()
