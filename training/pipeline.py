"""From a data set to a model that can be plugged in: prepare, insert, train, evaluate, figures, export, in this order.

Each step does only what is not done yet, so a pipeline that was killed goes on when it is called again. What is wrong
with data or folders is said before anything is trained.
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
from training.run_once import Step, done
from training.sampling.batches import recipe_for
from training.synthesis.insertion import read_inserted, write_inserted

FIRST_SEED = 1000
INSERTED = "inserted"
"""The folder of a run that holds the copies with lesions put in."""
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """What to make of which data.

    training: its recipe and data are filled in here. out: the model folder that is handed on. phantoms: generated
    chests to train on besides; inserted: copies of each whole stack with lesions put in. chests: those without a lesion
    to judge on. shown: how many test cases are drawn.
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
        """Where the prepared data lies."""
        return self.request.cache

    @property
    def inference(self) -> InferenceSettings:
        """How the trained model is run to be judged: on the device that it is trained on."""
        return InferenceSettings(device=self.training.device)


def run_pipeline(pipeline: Pipeline, say: Say) -> None:
    """Do every step that is not done. Raises DataRefused and RunRefused, before training where that can be known."""
    check_out(pipeline.out)
    say("prepare")
    prepared = prepare(pipeline.request)
    for line in (*prepared.notes, *summary(prepared), *_parts(pipeline.cache)):
        say(f"  {line}")
    for step in _steps(pipeline, say):
        say(step.name)
        if not done(pipeline.run, step):
            say("  done already")
    say(f"the model is in {pipeline.out}; pictures of patients, not to be handed on, in {pipeline.run}")


def fingerprint(cache: Path) -> str:
    """Return the SHA-256 of what a cache holds and of its split."""
    whole = hashlib.sha256()
    for name in ("manifest.json", "splits.json"):
        whole.update((cache / name).read_bytes())
    return whole.hexdigest()


def own_settings(stacks: list[Stack], cache: Path, settings: TrainingSettings) -> TrainingSettings:
    """Return the settings with the recipe that fits these stacks, and the data that they are of."""
    return replace(settings, recipe=recipe_for(stacks, settings.network), data=fingerprint(cache))


def _parts(cache: Path) -> Iterator[str]:
    """Say how many patients each part has. Raises DataRefused where a part has none that is in the data."""
    splits = read_splits(cache / "splits.json")
    there = {entry.patient for entry in manifest(cache).stacks}
    for part in PARTS:
        count = len({patient for split in splits.values() for patient in split[part]} & there)
        if not count:
            raise DataRefused(f"splits.json: no patient of the data is in {part}; three patients are the least")
        yield f"{part}: {count} patients"


def _steps(pipeline: Pipeline, say: Say) -> Iterator[Step]:
    """Yield the steps one by one: what goes into one is known when those before it are done."""
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
    judged = {"data": data, "weights": weights, "facts": pipeline.facts, "chests": pipeline.chests}
    yield Step(
        name="evaluate",
        inputs=judged,
        outputs=[run / "candidate" / "model.toml", run / "evaluation" / "evaluation.json"],
        work=lambda: _evaluate(pipeline, say),
    )
    yield Step(
        name="figures",
        inputs={**judged, "shown": pipeline.shown},
        outputs=[run / "figures" / "curves.png"],
        work=lambda: _figures(pipeline, say),
    )
    yield Step(
        name="export",
        inputs={**judged, "licence": pipeline.data_licence, "out": pipeline.out.absolute()},
        outputs=[pipeline.out / "README.md", pipeline.out / read_card(run / "candidate" / "model.toml").weights_file],
        work=lambda: _export(pipeline),
    )


def _train(pipeline: Pipeline) -> None:
    stacks = [*_stacks(pipeline, "train"), *phantoms(pipeline.phantoms, FIRST_SEED)]
    if pipeline.inserted:
        stacks += read_inserted(pipeline.run / INSERTED, stacks)
    train(stacks, pipeline.run, own_settings(stacks, pipeline.cache, pipeline.training))


def _evaluate(pipeline: Pipeline, say: Say) -> None:
    model = run_model(pipeline.run, lambda: _stacks(pipeline, "validation"), pipeline.facts, pipeline.inference)
    judged = held_back(pipeline.cache, "test", pipeline.cache / "splits.json")
    for line in headlines(evaluate_model(model, judged, pipeline.run / "evaluation", pipeline.chests)):
        say(f"  {line}")


def _figures(pipeline: Pipeline, say: Say) -> None:
    names = list(dict.fromkeys(case_name(stack) for stack in _stacks(pipeline, "test")))[: pipeline.shown]
    cases = named_cases(names, pipeline.cache, pipeline.cache / "splits.json")
    drawn = draw_figures([pipeline.run], cases, lambda: loaded(pipeline.run / "candidate", pipeline.inference))
    say(f"  {len(list(drawn))} files in {pipeline.run / 'figures'}")


def _export(pipeline: Pipeline) -> None:
    write_package(
        ModelPackage(run=pipeline.run, cache=pipeline.cache, out=pipeline.out, data_licence=pipeline.data_licence)
    )


def _stacks(pipeline: Pipeline, part: str) -> list[Stack]:
    return held_back(pipeline.cache, part, pipeline.cache / "splits.json").stacks
