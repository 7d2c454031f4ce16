"""Command line `python -m training COMMAND`: prepare data, train, evaluate and export `models/lung_tumour`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from models.lung_tumour.kinds import NETWORKS, RELEASED
from models.lung_tumour.segmenter import LungTumourSegmenter
from models.registry import MODELS, load_model
from models.segmenter import DEFAULTS, InferenceSettings
from training.candidates.command import candidates
from training.data.cache import is_cache, read_stacks
from training.data.datasets import phantoms as generated
from training.data.prepare import KINDS, Request, parse_source, summary
from training.data.prepare import prepare as prepare_cache
from training.evaluation.cross_validation import cross_validate, evaluate_networks, together_lines
from training.evaluation.evaluate import evaluate_model, headlines, held_back, training_stacks
from training.export.package import ModelPackage, check_out, release, write_package
from training.export.run_model import run_model
from training.export.weights import ModelFacts
from training.optimise.initial_weights import INIT_FROM_HELP
from training.optimise.settings import TrainingSettings
from training.optimise.train import train as train_network
from training.optimise.weight_averaging import average_runs
from training.pipeline import FIRST_SEED, fingerprint
from training.pipeline_command import exit_on_refusal, pipeline
from training.readers.case import DataRefused
from training.readers.outline import DEFAULT, TumourNames
from training.reporting.case_figures import draw_figures, named_cases
from training.run_folder import trained_network
from training.sampling.batches import OWN, RECIPES, recipe_for, whole_slices
from training.synthesis.insertion import read_inserted, write_inserted

SPLITS = Path(__file__).parent / "splits" / "lung_tumour_v2.json"
PHANTOMS = 14
RUN_MODEL = "run"

app = typer.Typer(no_args_is_help=True, add_completion=False)
app.command()(pipeline)
app.command()(candidates)
Data = Annotated[
    Path, typer.Option(help="A cache written by prepare, or a folder with msd-slices, lidc-slices and lidc-cubes.")
]
Run = Annotated[Path, typer.Option(help="Folder of this training run.")]
Model = Annotated[str, typer.Option(help="lung_tumour, lung_tumour:FOLDER, or run: the weights of this run.")]


@app.command()
def prepare(
    source: Annotated[list[str], typer.Option(help=f"KIND:PATH, KIND one of {', '.join(KINDS)}; repeatable.")],
    cache: Annotated[Path, typer.Option(help="Folder to write; stacks that are already there are not read again.")],
    splits: Annotated[
        Path | None, typer.Option(help="An existing split by patient; default: a split is drawn.")
    ] = None,
    folds: Annotated[int, typer.Option(min=2, help="Number of folds of a drawn split.")] = 5,
    tumour: Annotated[
        list[str] | None, typer.Option(help=f"DICOM: label with * or SCHEME:CODE; default: {' '.join(DEFAULT)}.")
    ] = None,
) -> None:
    """Check data sets and write them into a cache; invalid data is reported line by line, with exit code 2."""
    with exit_on_refusal("prepare"):
        sources = tuple(map(parse_source, source))
        names = TumourNames(names=tuple(tumour)) if tumour else TumourNames()
        prepared = prepare_cache(Request(sources=sources, cache=cache, splits=splits, folds=folds, tumour=names))
    for line in (*prepared.notes, *summary(prepared)):
        print(line)


@app.command()
def train(  # noqa: PLR0913, PLR0917 - the options of a command
    data: Data,
    run: Run = Path("runs/lung_tumour"),
    steps: int = 7000,
    recipe: Annotated[
        str | None, typer.Option(help=f"{', '.join(RECIPES)} or {OWN}: the sources and their shares in a batch.")
    ] = None,
    crop: int = 128,
    init_from: Annotated[Path | None, typer.Option(help=INIT_FROM_HELP)] = None,
    imagenet: Annotated[
        bool, typer.Option(help="Start 2.5d-efficientnet from ImageNet weights if --init-from is not given.")
    ] = True,
    learning_rate: Annotated[float, typer.Option(min=0, help="Peak value; use a lower one to fine-tune.")] = 2e-3,
    device: str = "auto",
    network: Annotated[str, typer.Option(help=" or ".join(NETWORKS))] = RELEASED,
    phantoms: Annotated[
        int | None, typer.Option(help="Generated chests to train on; default: 0 for a cache, else 14.")
    ] = None,
    fold: Annotated[int | None, typer.Option(min=0, help="Hold back the patients of this fold.")] = None,
    compiled: Annotated[bool, typer.Option("--compile", help="Compile the network; needs a C++ compiler.")] = False,
    num_workers: Annotated[
        int, typer.Option(min=0, help="Processes that load examples; use 3 or more with a GPU.")
    ] = 1,
    extra_data: Annotated[
        Path | None, typer.Option(help="A folder written by insert, to train on in addition.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Random seed; another seed gives another network.")] = 1,
    whole: Annotated[
        int, typer.Option("--whole-slices", min=0, help="Whole slices of each source, in addition to the crops.")
    ] = 0,
) -> None:
    """Train on the patients of the training part; an interrupted run continues from its last checkpoint."""
    with exit_on_refusal("train"):
        if whole and network == "3d":
            raise DataRefused("--whole-slices: the 3D network is trained on blocks, not on slices")
        cached = is_cache(data)
        chests = phantoms if phantoms is not None else (0 if cached else PHANTOMS)
        stacks = [*training_stacks(data, SPLITS, fold), *generated(chests, FIRST_SEED)]
        stacks += read_inserted(extra_data, stacks) if extra_data is not None else []
        print(f"{len(stacks)} stacks, {sum(len(stack.hu) for stack in stacks)} slices")
        settings = TrainingSettings(
            steps=steps,
            recipe=(),
            crop=crop,
            num_workers=num_workers,
            init_from=init_from,
            imagenet=imagenet,
            learning_rate=learning_rate,
            device=device,
            network=network,
            compile=compiled,
            fold=fold,
            seed=seed,
            whole_slices=whole_slices(stacks, whole) if whole else (),
        )
        chosen = recipe or _recipe_of(cached=cached, extra_data=extra_data is not None)
        drawn = recipe_for(stacks, network) if chosen == OWN else RECIPES[chosen]
        settings = replace(settings, recipe=drawn, data=fingerprint(data) if cached else "")
        train_network(stacks, run, settings)


@app.command()
def insert(
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder to write, for train --extra-data; existing content is replaced.")],
    copies: Annotated[int, typer.Option(min=1, help="Copies of each whole stack, each with other lesions.")] = 3,
    fold: Annotated[
        int | None, typer.Option(min=0, help="As for train: the patients of this fold are not used.")
    ] = None,
) -> None:
    """Insert generated and real lesions into copies of the training part's whole stacks."""
    with exit_on_refusal("insert"):
        write_inserted(out, training_stacks(data, SPLITS, fold), copies, FIRST_SEED)
        stacks = read_stacks(out)
        print(f"{len(stacks)} stacks, {sum(len(stack.hu) for stack in stacks)} slices")


@app.command()
def average(
    of: Annotated[
        list[Path], typer.Option(help="Folder of a run; repeatable. All runs started from the same weights.")
    ],
    run: Annotated[Path, typer.Option(help="Folder to write.")],
) -> None:
    """Average the weights of runs that started from the same weights, and write the result as a new run."""
    with exit_on_refusal("average"):
        average_runs(of, run)


@app.command()
def evaluate(  # noqa: PLR0913, PLR0917 - the options of a command
    data: Data,
    run: Run = Path("runs/lung_tumour"),
    part: Annotated[str, typer.Option(help="test, validation, or fold-N of a split that has folds.")] = "test",
    results: Annotated[Path | None, typer.Option(help="JSON file to write in addition.")] = None,
    chests: Annotated[int, typer.Option(help="Generated chests without a lesion, to count false positives.")] = 4,
    model: Model = "lung_tumour",
    ensemble_size: Annotated[int, typer.Option(min=0, help="As worker.ensemble_size.")] = 0,
    flip_tta: Annotated[bool, typer.Option(help="As worker.flip_tta.")] = True,
    cascade: Annotated[bool, typer.Option(help="As worker.cascade.")] = True,
) -> None:
    """Evaluate a model at its card's operating point: RUN/evaluation/evaluation.json and report.html."""
    try:
        evaluation_set = held_back(data, part, SPLITS)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    settings = InferenceSettings(ensemble_size=ensemble_size, flip_tta=flip_tta, cascade=cascade)
    evaluation = evaluate_model(_model(model, run, data, settings), evaluation_set, run / "evaluation", chests)
    if results is not None:
        results.write_text(json.dumps(evaluation, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    for line in headlines(evaluation):
        print(line)
    print(f"{run / 'evaluation' / 'report.html'}: contains images of patients, do not commit it")


@app.command("cross-validate")
def cross_validate_runs(  # noqa: PLR0913, PLR0917 - the options of a command
    data: Data,
    runs: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of the runs fold-0, fold-1, ...; repeatable, the networks of a fold are averaged."),
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="Instead of --runs: a model folder; each of its networks is evaluated alone.")
    ] = None,
    results: Annotated[Path | None, typer.Option(help="JSON file to write in addition.")] = None,
    version: Annotated[str, typer.Option(help="Version of the model that averages the folds' networks.")] = "",
    flip_tta: Annotated[bool, typer.Option(help="As worker.flip_tta.")] = True,
    threshold: Annotated[
        float | None, typer.Option(help="Voxel threshold; default: chosen by cross-validation.")
    ] = None,
    install: Annotated[
        bool, typer.Option(help="Install that model into the package; its card is written by hand.")
    ] = False,
) -> None:
    """Evaluate each patient with the network that held it back; write one model of all networks, RUNS/candidate."""
    if (model is None) == (not runs) or (model is not None and install):
        raise typer.BadParameter("give either --runs, or --model without --install")
    with exit_on_refusal("cross-validate"):
        if model is not None:
            found = evaluate_networks(model, data, SPLITS, flip_tta=flip_tta, threshold=threshold)
        else:
            facts = ModelFacts(version=version)
            found = cross_validate(runs or [], data, SPLITS, facts, flip_tta=flip_tta, threshold=threshold)
    if results is not None:
        results.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    for line in together_lines(found):
        print(line)
    if runs and install:
        release(runs[0], MODELS["lung_tumour"])


@app.command()
def figures(
    run: Annotated[list[Path], typer.Option(help="A run's folder; repeatable, the curves are drawn together.")],
    data: Annotated[Path | None, typer.Option(help="As for evaluate; not needed for phantoms.")] = None,
    case: Annotated[
        list[str] | None, typer.Option(help="A patient or nodule of the data, or phantom-SEED; repeatable.")
    ] = None,
    model: Model = "lung_tumour",
) -> None:
    """Draw learning curves, and four pictures, a montage, a GIF and a slider page of each case, into RUN/figures."""
    try:
        cases = named_cases(case or [], data, SPLITS)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    for path in draw_figures(run, cases, lambda: _model(model, run[0], data)):
        print(path)


@app.command()
def export(  # noqa: PLR0913, PLR0917 - the options of a command
    data: Data,
    version: Annotated[str, typer.Option(help="Default: the first digits of the weights' SHA-256.")] = "",
    run: Run = Path("runs/lung_tumour"),
    out: Annotated[
        Path | None, typer.Option(help="A new model folder with its card; needs a cache. Default: the package's.")
    ] = None,
    name: str = "lung_tumour",
    licence: Annotated[str, typer.Option(help="Licence of the weights.")] = "CC-BY-SA-4.0",
    data_licence: Annotated[str, typer.Option(help="Licence of the data, for the card.")] = "not stated",
) -> None:
    """Write a run's averaged weights into a model folder: --out, or the package's, whose card is written by hand."""
    facts = ModelFacts(name=name, version=version, licence=licence, network=trained_network(run))
    if out is not None and not is_cache(data):
        raise typer.BadParameter("--out needs --data to be a cache written by prepare, to fill the card")
    with exit_on_refusal("export"):
        if out is not None:
            check_out(out)
        card = run_model(run, lambda: held_back(data, "validation", SPLITS).stacks, facts, DEFAULTS).card
        if out is not None:
            write_package(ModelPackage(run=run, cache=data, out=out, data_licence=data_licence))
        else:
            release(run, MODELS["lung_tumour"])
    print(f"weights {card.weights_sha256}, threshold {card.threshold}, peak {card.peak_threshold}")


def _recipe_of(*, cached: bool, extra_data: bool) -> str:
    """Return the name of the default recipe."""
    if cached:
        return OWN
    return "inserted" if extra_data else "tumours"


def _model(name: str, run: Path, data: Path | None, settings: InferenceSettings = DEFAULTS) -> LungTumourSegmenter:
    if name == RUN_MODEL and data is not None:
        facts = ModelFacts(name=run.name, licence="not stated", network=trained_network(run))
        return run_model(run, lambda: held_back(data, "validation", SPLITS).stacks, facts, settings)
    model = load_model(f"lung_tumour:{run / 'candidate'}" if name == RUN_MODEL else name, settings)
    if not isinstance(model, LungTumourSegmenter):
        raise typer.BadParameter(f"--model {name}: only lung_tumour models are supported here")
    return model
