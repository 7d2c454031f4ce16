"""Writes the figures of named cases and of runs into a run's folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from training.data.datasets import phantoms
from training.data.splits import PARTS, collection_of, read_splits
from training.data.volume import Stack
from training.evaluation.case import case_name, case_of
from training.evaluation.evaluate import collections_of
from training.evaluation.predict import OperatingPoint, Predictor, predict
from training.evaluation.summary import marked_in
from training.reporting.figures import CaseView, four_pictures, learning_curves, montage, png_bytes
from training.reporting.slice_viewer import viewer_gif, viewer_page

PHANTOM = "phantom-"
Named = tuple[list[Stack], str]
"""The stacks of one case, and the part of the split that contains its patient."""


def named_cases(names: Sequence[str], data: Path | None, committed: Path) -> list[Named]:
    """Return the named cases, from the data or generated (phantom-SEED). Raises ValueError if a name is unknown."""
    found = {name: list(phantoms(1, int(name.removeprefix(PHANTOM)))) for name in names if name.startswith(PHANTOM)}
    parts = dict.fromkeys(found, "generated")
    stacks, splits = collections_of(data, committed) if data is not None else ([], committed)
    by_collection = read_splits(splits)
    for stack in stacks:
        name = case_name(stack)
        if name in names:
            found.setdefault(name, []).append(stack)
            split = by_collection[collection_of(stack.source)]
            parts[name] = next((part for part in PARTS if stack.patient in split[part]), "unassigned")
    missing = sorted(set(names) - set(found))
    if missing:
        raise ValueError(f"no such case in the data: {', '.join(missing)}")
    return [(found[name], parts[name]) for name in names]


def draw_figures(runs: Sequence[Path], cases: Sequence[Named], model_of: Callable[[], Predictor]) -> Iterator[Path]:
    """Write curves.png of the runs that have a curve, and each case's figures, into figures/ of the first run."""
    folder = runs[0] / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    with_curve = [run for run in runs if (run / "curve.csv").is_file()]
    if with_curve:
        yield _written(folder / "curves.png", png_bytes(learning_curves(with_curve)))
    if cases:
        model = model_of()
        point = OperatingPoint(threshold=model.card.threshold, peak_threshold=model.card.peak_threshold)
    for stacks, part in cases:
        case = case_of(predict(model, stacks))
        yield from draw_case(CaseView(case=case, marked=marked_in(case, point), part=part), folder)


def draw_case(view: CaseView, folder: Path) -> Iterator[Path]:
    """Write a case's four pictures, montage, GIF and page, and yield their paths."""
    name = view.case.name.replace("/", "-")
    yield _written(folder / f"{name}-four.png", png_bytes(four_pictures(view)))
    yield _written(folder / f"{name}-montage.png", png_bytes(montage(view)))
    for path, write in ((folder / f"{name}.gif", viewer_gif), (folder / f"{name}.html", viewer_page)):
        write(view, path)
        yield path


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path
