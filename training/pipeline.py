"""The training pipeline, from a data set to a model folder: prepare, insert, train, evaluate, figures, export.

A step that is already done is skipped, so an interrupted pipeline continues when it is called again. Problems with data
or folders are reported before training starts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from models.segmenter import InferenceSettings, read_card
from training.data.cache import manifest
from training.data.datasets import phantoms
from training.data.prepare import Request, prepare, summary
from training.data.splits import PARTS, read_splits
from training.data.volume import Stack
from training.evaluation.case import case_name
from training.evaluation.evaluate import evaluate_model, headlines, held_back
from training.export.package import ModelPackage, check_out, write_package
from training.export.run_model import loaded, run_model
from training.export.weights import ModelFacts
from training.optimise.settings import TrainingSettings
from training.optimise.train import train
from training.readers.case import DataRefused
from training.reporting.case_figures import draw_figures, named_cases
from training.run_once import Step, run_once
from training.sampling.batches import recipe_for
from training.synthesis.insertion import read_inserted, write_inserted

FIRST_SEED = 1000
INSERTED = "inserted"
"""Subfolder of a run with the copies that have inserted lesions."""
PrintLine = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """Settings of one pipeline.

    training: recipe and data are filled in by the train step. out: the model folder to write. phantoms: generated
    chests to train on in addition. inserted: copies of each whole stack with inserted lesions. chests: generated chests
    without a lesion to evaluate on. shown: how many test cases are drawn.
    """

    request: Request
    run: Path
    out: Path
    training: TrainingSettings
    facts: ModelFacts
    data_licence: str = "not stated"
    phantoms: int = 0
    inserted: int = 0
    chests: int = 4
    shown: int = 3

    @property
    def cache(self) -> Path:
        """The folder of the prepared data."""
        return self.request.cache

    @property
    def inference(self) -> InferenceSettings:
        """How the trained model runs in the evaluation: on the device that it is trained on."""
        return InferenceSettings(device=self.training.device)


def run_pipeline(pipeline: Pipeline, print_line: PrintLine) -> None:
    """Run every step that is not done. Raises DataRefused and RunRefused, before training if possible."""
    check_out(pipeline.out)
    print_line("prepare")
    prepared = prepare(pipeline.request)
    for line in (*prepared.notes, *summary(prepared), *_parts(pipeline.cache)):
        print_line(f"  {line}")
    for step in _steps(pipeline, print_line):
        print_line(step.name)
        if not run_once(pipeline.run, step):
            print_line("  done already")
    print_line(f"model: {pipeline.out}; images of patients, not to be shared: {pipeline.run}")


def fingerprint(cache: Path) -> str:
    """Return the SHA-256 of a cache's manifest and split."""
    whole = hashlib.sha256()
    for name in ("manifest.json", "splits.json"):
        whole.update((cache / name).read_bytes())
    return whole.hexdigest()


def settings_for(stacks: list[Stack], cache: Path, settings: TrainingSettings) -> TrainingSettings:
    """Return the settings with the recipe for these stacks and the fingerprint of the data."""
    return replace(settings, recipe=recipe_for(stacks, settings.network), data=fingerprint(cache))


def _parts(cache: Path) -> Iterator[str]:
    """Yield the number of patients of each part. Raises DataRefused if a part has no patient in the data."""
    splits = read_splits(cache / "splits.json")
    existing = {entry.patient for entry in manifest(cache).stacks}
    for part in PARTS:
        count = len({patient for split in splits.values() for patient in split[part]} & existing)
        if not count:
            raise DataRefused(f"splits.json: no patient of the data is in {part}; at least three patients are needed")
        yield f"{part}: {count} patients"


def _steps(pipeline: Pipeline, print_line: PrintLine) -> Iterator[Step]:
    """Yield the steps one by one: the inputs of a step are known when the steps before it are done."""
    run, data = pipeline.run, fingerprint(pipeline.cache)
    if pipeline.inserted:
        yield Step(
            name="insert",
            inputs={"data": data, "copies": pipeline.inserted},
            outputs=[run / INSERTED / "manifest.json"],
            work=lambda: write_inserted(run / INSERTED, _stacks(pipeline, "train"), pipeline.inserted, FIRST_SEED),
        )
    yield Step(
        name="train",
        inputs={
            "data": data,
            "settings": pipeline.training,
            "phantoms": pipeline.phantoms,
            "inserted": pipeline.inserted,
        },
        outputs=[run / "average.pt", run / "checkpoint.pt"],
        work=lambda: _train(pipeline),
    )
    weights = hashlib.sha256((run / "average.pt").read_bytes()).hexdigest()
    evaluation_inputs = {"data": data, "weights": weights, "facts": pipeline.facts, "chests": pipeline.chests}
    yield Step(
        name="evaluate",
        inputs=evaluation_inputs,
        outputs=[run / "candidate" / "model.toml", run / "evaluation" / "evaluation.json"],
        work=lambda: _evaluate(pipeline, print_line),
    )
    yield Step(
        name="figures",
        inputs={**evaluation_inputs, "shown": pipeline.shown},
        outputs=[run / "figures" / "curves.png"],
        work=lambda: _figures(pipeline, print_line),
    )
    yield Step(
        name="export",
        inputs={**evaluation_inputs, "licence": pipeline.data_licence, "out": pipeline.out.absolute()},
        outputs=[pipeline.out / "README.md", pipeline.out / read_card(run / "candidate" / "model.toml").weights_file],
        work=lambda: _export(pipeline),
    )


def _train(pipeline: Pipeline) -> None:
    stacks = [*_stacks(pipeline, "train"), *phantoms(pipeline.phantoms, FIRST_SEED)]
    if pipeline.inserted:
        stacks += read_inserted(pipeline.run / INSERTED, stacks)
    train(stacks, pipeline.run, settings_for(stacks, pipeline.cache, pipeline.training))


def _evaluate(pipeline: Pipeline, print_line: PrintLine) -> None:
    model = run_model(pipeline.run, lambda: _stacks(pipeline, "validation"), pipeline.facts, pipeline.inference)
    evaluation_set = held_back(pipeline.cache, "test", pipeline.cache / "splits.json")
    for line in headlines(evaluate_model(model, evaluation_set, pipeline.run / "evaluation", pipeline.chests)):
        print_line(f"  {line}")


def _figures(pipeline: Pipeline, print_line: PrintLine) -> None:
    names = list(dict.fromkeys(case_name(stack) for stack in _stacks(pipeline, "test")))[: pipeline.shown]
    cases = named_cases(names, pipeline.cache, pipeline.cache / "splits.json")
    drawn = draw_figures([pipeline.run], cases, lambda: loaded(pipeline.run / "candidate", pipeline.inference))
    print_line(f"  {len(list(drawn))} files in {pipeline.run / 'figures'}")


def _export(pipeline: Pipeline) -> None:
    write_package(
        ModelPackage(run=pipeline.run, cache=pipeline.cache, out=pipeline.out, data_licence=pipeline.data_licence)
    )


def _stacks(pipeline: Pipeline, part: str) -> list[Stack]:
    return held_back(pipeline.cache, part, pipeline.cache / "splits.json").stacks
