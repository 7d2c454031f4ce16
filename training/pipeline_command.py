"""Command `python -m training pipeline`: its options, and how refused data is reported."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from models.lung_tumour.kinds import MULTIPLE, NETWORKS, RELEASED
from training.data.prepare import KINDS, DataSource, Request, parse_source
from training.export.weights import ModelFacts
from training.optimise.initial_weights import INIT_FROM_HELP, initial_weights
from training.optimise.settings import TrainingSettings
from training.pipeline import Pipeline, run_pipeline
from training.readers.case import DataRefused
from training.readers.outline import DEFAULT, TumourNames
from training.run_folder import RunRefused

REFUSED = 2
MAX_LETTERS = {"name": 40, "version": 20}
"""Both together fit into one LO of the reports: 64 characters (PS3.5, table 6.2-1)."""


def pipeline(  # noqa: PLR0913, PLR0917 - the options of a command
    source: Annotated[list[str], typer.Option(help=f"KIND:PATH, KIND one of {', '.join(KINDS)}; repeatable.")],
    run: Annotated[Path, typer.Option(help="Folder of this run: prepared data, weights, evaluation, figures.")],
    out: Annotated[Path | None, typer.Option(help="Model folder to write; default: RUN/model.")] = None,
    cache: Annotated[Path | None, typer.Option(help="Folder of the prepared data; default: RUN/data.")] = None,
    splits: Annotated[
        Path | None, typer.Option(help="An existing split by patient; default: a split is drawn.")
    ] = None,
    folds: Annotated[int, typer.Option(min=2, help="Number of folds of a drawn split.")] = 5,
    tumour: Annotated[
        list[str] | None, typer.Option(help=f"DICOM: label with * or SCHEME:CODE; default: {' '.join(DEFAULT)}.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1)] = 7000,
    crop: Annotated[
        int, typer.Option(min=MULTIPLE, help=f"Side of an example in pixels of 1 mm, a multiple of {MULTIPLE}.")
    ] = 128,
    network: Annotated[str, typer.Option(help=" or ".join(NETWORKS))] = RELEASED,
    init_from: Annotated[Path | None, typer.Option(help=INIT_FROM_HELP)] = None,
    imagenet: Annotated[
        bool, typer.Option(help="Start 2.5d-efficientnet from ImageNet weights if --init-from is not given.")
    ] = True,
    checkpoint_every: Annotated[int, typer.Option(min=1, help="Steps between checkpoints.")] = 500,
    phantoms: Annotated[int, typer.Option(min=0, help="Generated chests to train on in addition.")] = 0,
    inserted: Annotated[int, typer.Option(min=0, help="Copies of each whole stack with inserted lesions.")] = 0,
    chests: Annotated[int, typer.Option(min=0, help="Generated chests without a lesion to evaluate on.")] = 4,
    shown: Annotated[int, typer.Option(min=0, help="Number of test cases to draw.")] = 3,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    name: Annotated[str, typer.Option(help="Model name in reports; default: the name of RUN.")] = "",
    version: Annotated[str, typer.Option(help="Default: the first digits of the weights' SHA-256.")] = "",
    licence: Annotated[str, typer.Option(help="Licence of the weights.")] = "not stated",
    data_licence: Annotated[str, typer.Option(help="Licence of the data; default: the one in dataset.json.")] = "",
) -> None:
    """Prepare, train, evaluate, draw figures and export. Finished steps are skipped; invalid data exits with code 2."""
    with exit_on_refusal("pipeline"):
        _check(network=network, crop=crop, name=name, version=version)
        if init_from is not None:
            initial_weights(init_from, network)
        request = Request(
            sources=tuple(map(parse_source, source)),
            cache=cache or run / "data",
            splits=splits,
            folds=folds,
            tumour=TumourNames(names=tuple(tumour)) if tumour else TumourNames(),
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
        named = name or re.sub(r"[^A-Za-z0-9_ .+-]", "_", run.absolute().name)[: MAX_LETTERS["name"]]
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
            print_line,
        )


def print_line(line: str) -> None:
    """Print a line and flush, so that it can be read while the pipeline runs."""
    print(line, flush=True)


@contextmanager
def exit_on_refusal(command: str) -> Iterator[None]:
    """Print each problem of refused data or folders as a line on standard error, and exit with code 2."""
    try:
        yield
    except (DataRefused, RunRefused) as refused:
        problems = refused.problems if isinstance(refused, DataRefused) else (str(refused),)
        sys.stderr.writelines(f"{command}: {problem}\n" for problem in problems)
        raise typer.Exit(REFUSED) from None


def _check(*, network: str, crop: int, name: str, version: str) -> None:
    """Raise DataRefused for options that would otherwise fail only after hours."""
    problems = []
    if network not in NETWORKS:
        problems.append(f"--network {network}: expected one of {', '.join(NETWORKS)}")
    if crop % MULTIPLE:
        problems.append(f"--crop {crop}: a multiple of {MULTIPLE} is needed")
    for option, text in (("name", name), ("version", version)):
        if len(text) > MAX_LETTERS[option] or not re.fullmatch(r"[A-Za-z0-9_ .+-]*", text):
            problems.append(f"--{option}: up to {MAX_LETTERS[option]} letters, digits, spaces and _ . + - are allowed")
    if problems:
        raise DataRefused(*problems)


def _stated_licence(sources: Sequence[DataSource]) -> str:
    """Return the licences stated in the data sets' dataset.json (MSD layout), unchecked, or "not stated"."""
    stated = []
    for source in sources:
        try:
            content = json.loads((source.path / "dataset.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(content, dict) and content.get("licence", content.get("license")):
            stated.append(str(content.get("licence", content.get("license"))))
    return "; ".join(dict.fromkeys(stated)) or "not stated"
