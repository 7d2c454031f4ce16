"""`python -m training pipeline`: the options, and how a refusal is said. Does no step itself."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from models.lung_tumour.network import MULTIPLE, NETWORKS, RELEASED
from training.data.prepare import KINDS, Request, Source, parse_source
from training.export.weights import ModelFacts
from training.optimise.initial_weights import INIT_FROM, initial_weights
from training.optimise.settings import TrainingSettings
from training.pipeline import Pipeline, run_pipeline
from training.readers.case import DataRefused
from training.readers.outline import DEFAULT, Tumour
from training.run_folder import RunRefused

REFUSED = 2
MOST_LETTERS = {"name": 40, "version": 20}
"""Together in one LO of the reports: 64 characters (PS3.5, table 6.2-1)."""


def pipeline(  # noqa: PLR0913, PLR0917 - the options of a command
    source: Annotated[list[str], typer.Option(help=f"KIND:PATH, KIND one of {', '.join(KINDS)}; may be repeated.")],
    run: Annotated[Path, typer.Option(help="Folder of this run: prepared data, weights, evaluation, figures.")],
    out: Annotated[Path | None, typer.Option(help="The model folder that comes of it; RUN/model without it.")] = None,
    cache: Annotated[Path | None, typer.Option(help="Where the prepared data goes; RUN/data without it.")] = None,
    splits: Annotated[Path | None, typer.Option(help="A committed split by patient; without it one is drawn.")] = None,
    folds: Annotated[int, typer.Option(min=2, help="Of a split that is drawn.")] = 5,
    tumour: Annotated[
        list[str] | None, typer.Option(help=f"DICOM: label with * or SCHEME:CODE; without it {' '.join(DEFAULT)}.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1)] = 7000,
    crop: Annotated[
        int, typer.Option(min=MULTIPLE, help=f"Side of an example in pixels of 1 mm, a multiple of {MULTIPLE}.")
    ] = 128,
    network: Annotated[str, typer.Option(help=" or ".join(NETWORKS))] = RELEASED,
    init_from: Annotated[Path | None, typer.Option(help=INIT_FROM)] = None,
    imagenet: Annotated[
        bool, typer.Option(help="Let 2.5d-efficientnet begin with ImageNet where there is no --init-from.")
    ] = True,
    checkpoint_every: Annotated[int, typer.Option(min=1, help="Steps that a crash may cost.")] = 500,
    phantoms: Annotated[int, typer.Option(min=0, help="Generated chests to train on besides.")] = 0,
    inserted: Annotated[int, typer.Option(min=0, help="Copies of each whole stack with lesions put in.")] = 0,
    chests: Annotated[int, typer.Option(min=0, help="Generated chests without a lesion to judge on besides.")] = 4,
    shown: Annotated[int, typer.Option(min=0, help="How many cases of the test part are drawn.")] = 3,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    name: Annotated[str, typer.Option(help="Of the model, as reports quote it; the run's folder without it.")] = "",
    version: Annotated[str, typer.Option(help="Without it the first digits of the weights' SHA-256.")] = "",
    licence: Annotated[str, typer.Option(help="Of the weights.")] = "not stated",
    data_licence: Annotated[str, typer.Option(help="Of the data; without it what dataset.json says.")] = "",
) -> None:
    """Prepare, train, evaluate, draw figures and export, each only where it is not done; wrong data ends it with 2."""
    with refusals("pipeline"):
        _check(network=network, crop=crop, name=name, version=version)
        if init_from is not None:
            initial_weights(init_from, network)
        request = Request(
            sources=tuple(map(parse_source, source)),
            cache=cache or run / "data",
            splits=splits,
            folds=folds,
            tumour=Tumour(names=tuple(tumour)) if tumour else Tumour(),
        )
        settings = TrainingSettings(
            steps=steps,
            recipe=(),
            crop=crop,
            checkpoint_every=checkpoint_every,
            device=device,
            init_from=init_from,
            imagenet=imagenet,
            network=network,
        )
        named = name or re.sub(r"[^A-Za-z0-9_ .+-]", "_", run.absolute().name)[: MOST_LETTERS["name"]]
        run_pipeline(
            Pipeline(
                request=request,
                run=run,
                out=out or run / "model",
                training=settings,
                facts=ModelFacts(name=named, version=version, licence=licence, network=network),
                data_licence=data_licence or _stated_licence(request.sources),
                phantoms=phantoms,
                inserted=inserted,
                chests=chests,
                shown=shown,
            ),
            say,
        )


def say(line: str) -> None:
    """Print a line at once: whoever watches a pipeline reads it while it runs."""
    print(line, flush=True)


@contextmanager
def refusals(command: str) -> Iterator[None]:
    """Turn a refusal into a line for each problem on standard error, and exit code 2."""
    try:
        yield
    except (DataRefused, RunRefused) as refused:
        problems = refused.problems if isinstance(refused, DataRefused) else (str(refused),)
        sys.stderr.writelines(f"{command}: {problem}\n" for problem in problems)
        raise typer.Exit(REFUSED) from None


def _check(*, network: str, crop: int, name: str, version: str) -> None:
    """Raise DataRefused for options that would only fail when hours have been spent."""
    problems = []
    if network not in NETWORKS:
        problems.append(f"--network {network}: there are {', '.join(NETWORKS)}")
    if crop % MULTIPLE:
        problems.append(f"--crop {crop}: a multiple of {MULTIPLE} is needed")
    for option, text in (("name", name), ("version", version)):
        if len(text) > MOST_LETTERS[option] or not re.fullmatch(r"[A-Za-z0-9_ .+-]*", text):
            problems.append(f"--{option}: up to {MOST_LETTERS[option]} letters, digits, spaces and _ . + - are taken")
    if problems:
        raise DataRefused(*problems)


def _stated_licence(sources: Sequence[Source]) -> str:
    """Return what the data sets say of their licence, as MSD's dataset.json does; checks of it come later."""
    stated = []
    for source in sources:
        try:
            content = json.loads((source.path / "dataset.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(content, dict) and content.get("licence", content.get("license")):
            stated.append(str(content.get("licence", content.get("license"))))
    return "; ".join(dict.fromkeys(stated)) or "not stated"
