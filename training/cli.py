"""`python -m training COMMAND`: makes and judges the weights of `models/lung_tumour`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from models.lung_tumour.network import NETWORKS, RELEASED
from models.lung_tumour.segmenter import LungTumourSegmenter
from models.registry import MODELS, load_model
from models.segmenter import DEFAULTS, InferenceSettings
from training.data.cache import is_cache, read_stacks
from training.data.datasets import phantoms as generated
from training.data.prepare import KINDS, Request, parse_source, summary
from training.data.prepare import prepare as prepare_cache
from training.evaluation.cross_validation import cross_validate, judge_networks, together_lines
from training.evaluation.evaluate import evaluate_model, headlines, held_back, training_stacks
from training.export.package import ModelPackage, check_out, release, write_package
from training.export.run_model import run_model
from training.export.weights import ModelFacts
from training.optimise.initial_weights import INIT_FROM
from training.optimise.settings import TrainingSettings
from training.optimise.train import train as train_network
from training.optimise.weight_averaging import average_runs
from training.pipeline import FIRST_SEED, fingerprint
from training.pipeline_command import pipeline, refusals
from training.readers.case import DataRefused
from training.readers.outline import DEFAULT, Tumour
from training.reporting.case_figures import draw_figures, named_cases
from training.run_folder import trained_network
from training.sampling.batches import OWN, RECIPES, recipe_for, whole_slices
from training.synthesis.insertion import read_inserted, write_inserted

SPLITS = Path(__file__).parent / "splits" / "lung_tumour_v2.json"
PHANTOMS = 14
RUN_MODEL = "run"

app = typer.Typer(no_args_is_help=True, add_completion=False)
app.command()(pipeline)
Data = Annotated[
    Path, typer.Option(help="A cache that prepare has written, or a folder of msd-slices, lidc-slices and lidc-cubes.")
]
Run = Annotated[Path, typer.Option(help="Folder of this training run.")]
Model = Annotated[str, typer.Option(help="lung_tumour, lung_tumour:FOLDER, or run: the weights of the run itself.")]


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
    with refusals("prepare"):
        sources = tuple(map(parse_source, source))
        names = Tumour(names=tuple(tumour)) if tumour else Tumour()
        prepared = prepare_cache(Request(sources=sources, cache=cache, splits=splits, folds=folds, tumour=names))
    for line in (*prepared.notes, *summary(prepared)):
        print(line)


@app.command()
def train(  # noqa: PLR0913, PLR0917 - the options of a command
    data: Data,
    run: Run = Path("runs/lung_tumour"),
    steps: int = 7000,
    recipe: Annotated[
        str | None, typer.Option(help=f"{', '.join(RECIPES)} or {OWN}: which sources in which shares.")
    ] = None,
    crop: int = 128,
    init_from: Annotated[Path | None, typer.Option(help=INIT_FROM)] = None,
    imagenet: Annotated[
        bool, typer.Option(help="Let 2.5d-efficientnet begin with ImageNet where there is no --init-from.")
    ] = True,
    learning_rate: Annotated[
        float, typer.Option(min=0, help="The highest; a run that goes on wants a lower one.")
    ] = 2e-3,
    device: str = "auto",
    network: Annotated[str, typer.Option(help=" or ".join(NETWORKS))] = RELEASED,
    phantoms: Annotated[int | None, typer.Option(help="Generated chests; 0 for a cache, else 14.")] = None,
    fold: Annotated[int | None, typer.Option(min=0, help="Of cross-validation: hold these patients back.")] = None,
    compiled: Annotated[bool, typer.Option("--compile", help="Compile the network: needs a C++ compiler.")] = False,
    num_workers: Annotated[int, typer.Option(min=0, help="Processes that draw examples; three or more for a GPU.")] = 1,
    extra_data: Annotated[Path | None, typer.Option(help="A folder that insert has written, to train on, too.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of what is drawn: another one makes another network.")] = 1,
    whole: Annotated[int, typer.Option("--whole-slices", min=0, help="Of each source, besides the crops.")] = 0,
) -> None:
    """Train on the patients of the training part; a run that was ended goes on where it was."""
    with refusals("train"):
        if whole and network == "3d":
            raise DataRefused("--whole-slices: the 3D network learns from blocks, not from slices")
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
    out: Annotated[Path, typer.Option(help="Folder to write, for train --extra-data; what was there goes.")],
    copies: Annotated[int, typer.Option(min=1, help="Of each whole stack, each with other lesions.")] = 3,
    fold: Annotated[int | None, typer.Option(min=0, help="As for train: these patients give and get none.")] = None,
) -> None:
    """Put generated and real lesions into copies of the training part's whole stacks."""
    with refusals("insert"):
        write_inserted(out, training_stacks(data, SPLITS, fold), copies, FIRST_SEED)
        stacks = read_stacks(out)
        print(f"{len(stacks)} stacks, {sum(len(stack.hu) for stack in stacks)} slices")


@app.command()
def average(
    of: Annotated[list[Path], typer.Option(help="Folder of a run; repeated. All began with the same weights.")],
    run: Annotated[Path, typer.Option(help="Folder to write.")],
) -> None:
    """Average the weights of runs that went on from the same ones, into a run of its own."""
    with refusals("average"):
        average_runs(of, run)


@app.command()
def evaluate(  # noqa: PLR0913, PLR0917 - the options of a command
    data: Data,
    run: Run = Path("runs/lung_tumour"),
    part: Annotated[str, typer.Option(help="test, validation, or fold-N of a split that has folds.")] = "test",
    results: Annotated[Path | None, typer.Option(help="JSON file to write besides.")] = None,
    chests: Annotated[int, typer.Option(help="Generated chests without a lesion, to count false marks in.")] = 4,
    model: Model = "lung_tumour",
    ensemble_size: Annotated[int, typer.Option(min=0, help="As worker.ensemble_size.")] = 0,
    flip_tta: Annotated[bool, typer.Option(help="As worker.flip_tta.")] = True,
    cascade: Annotated[bool, typer.Option(help="As worker.cascade.")] = True,
) -> None:
    """Judge a model at its card's operating point: RUN/evaluation/evaluation.json and report.html."""
    try:
        judged = held_back(data, part, SPLITS)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    settings = InferenceSettings(ensemble_size=ensemble_size, flip_tta=flip_tta, cascade=cascade)
    evaluation = evaluate_model(_model(model, run, data, settings), judged, run / "evaluation", chests)
    if results is not None:
        results.write_text(json.dumps(evaluation, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    for line in headlines(evaluation):
        print(line)
    print(f"{run / 'evaluation' / 'report.html'}: pictures of patients, not to be committed")


@app.command("cross-validate")
def cross_validate_runs(  # noqa: PLR0913, PLR0917 - the options of a command
    data: Data,
    runs: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of the runs fold-0, fold-1, ...; of several, networks are averaged."),
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="Instead: a model's folder, whose networks are judged, each of them alone.")
    ] = None,
    results: Annotated[Path | None, typer.Option(help="JSON file to write besides.")] = None,
    version: Annotated[str, typer.Option(help="Of the model that averages the folds' networks.")] = "",
    flip_tta: Annotated[bool, typer.Option(help="As worker.flip_tta.")] = True,
    threshold: Annotated[
        float | None, typer.Option(help="Of a voxel's probability; chosen where none is given.")
    ] = None,
    install: Annotated[
        bool, typer.Option(help="Put that model into the package; its card is written by hand.")
    ] = False,
) -> None:
    """Judge each patient by the network that held it back; make one model, RUNS/candidate, of all folds' networks."""
    if (model is None) == (not runs) or (model is not None and install):
        raise typer.BadParameter("either --runs, of which a model is made, or --model, which is judged as it is")
    with refusals("cross-validate"):
        if model is not None:
            found = judge_networks(model, data, SPLITS, flip_tta=flip_tta, threshold=threshold)
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
    run: Annotated[list[Path], typer.Option(help="A run's folder; with several their curves are drawn together.")],
    data: Annotated[Path | None, typer.Option(help="As for evaluate; not needed for phantoms.")] = None,
    case: Annotated[list[str] | None, typer.Option(help="A patient or nodule of the data, or phantom-SEED.")] = None,
    model: Model = "lung_tumour",
) -> None:
    """Draw learning curves, and cases: four pictures, a montage, a GIF and a page to scroll. In RUN/figures."""
    try:
        cases = named_cases(case or [], data, SPLITS)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    for path in draw_figures(run, cases, lambda: _model(model, run[0], data)):
        print(path)


@app.command()
def export(  # noqa: PLR0913, PLR0917 - the options of a command
    data: Data,
    version: Annotated[str, typer.Option(help="Without it the first digits of the weights' SHA-256.")] = "",
    run: Run = Path("runs/lung_tumour"),
    out: Annotated[Path | None, typer.Option(help="A model folder of your own, with its card; needs a cache.")] = None,
    name: str = "lung_tumour",
    licence: Annotated[str, typer.Option(help="Of the weights.")] = "CC-BY-SA-4.0",
    data_licence: Annotated[str, typer.Option(help="Of the data, for the card.")] = "not stated",
) -> None:
    """Write a run's averaged weights into a model folder: --out, or the package's, whose card is written by hand."""
    facts = ModelFacts(name=name, version=version, licence=licence, network=trained_network(run))
    if out is not None and not is_cache(data):
        raise typer.BadParameter("--out fills a card from a cache that prepare has written: give that as --data")
    with refusals("export"):
        if out is not None:
            check_out(out)
        card = run_model(run, lambda: held_back(data, "validation", SPLITS).stacks, facts, DEFAULTS).card
        if out is not None:
            write_package(ModelPackage(run=run, cache=data, out=out, data_licence=data_licence))
        else:
            release(run, MODELS["lung_tumour"])
    print(f"weights {card.weights_sha256}, threshold {card.threshold}, peak {card.peak_threshold}")


def _recipe_of(*, cached: bool, extra_data: bool) -> str:
    """Return the recipe where none is named."""
    if cached:
        return OWN
    return "inserted" if extra_data else "tumours"


def _model(name: str, run: Path, data: Path | None, settings: InferenceSettings = DEFAULTS) -> LungTumourSegmenter:
    if name == RUN_MODEL and data is not None:
        facts = ModelFacts(name=run.name, licence="not stated", network=trained_network(run))
        return run_model(run, lambda: held_back(data, "validation", SPLITS).stacks, facts, settings)
    model = load_model(f"lung_tumour:{run / 'candidate'}" if name == RUN_MODEL else name, settings)
    if not isinstance(model, LungTumourSegmenter):
        raise typer.BadParameter(f"--model {name}: only a lung_tumour model gives probabilities here")
    return model
