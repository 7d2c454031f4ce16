"""Steps of a pipeline that are done once: which were done, with what, is kept in RUN/steps. Knows no step.

A step is done again when what goes into it has changed, or what it left is gone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """inputs: all that decides what comes of it. outputs: files that it leaves."""

    name: str
    inputs: Mapping[str, object]
    outputs: Sequence[Path]
    work: Callable[[], None]


def done(run: Path, step: Step) -> bool:
    """Do a step unless it was done; return whether there was anything to do. Its mark is written last, at once."""
    mark = run / "steps" / f"{step.name}.json"
    told = json.dumps(dict(step.inputs), sort_keys=True, default=str, indent=1) + "\n"
    there = mark.is_file() and mark.read_text(encoding="utf-8") == told
    if there and all(path.exists() for path in step.outputs):
        return False
    mark.unlink(missing_ok=True)
    step.work()
    mark.parent.mkdir(parents=True, exist_ok=True)
    hidden = mark.with_suffix(".partial")
    hidden.write_text(told, encoding="utf-8")
    hidden.replace(mark)
    return True
