"""Pipeline steps that run once: the inputs of each finished step are stored in RUN/steps.

A step runs again if its inputs have changed or one of its outputs is missing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step of a pipeline. inputs: everything that decides the result. outputs: files that it writes."""

    name: str
    inputs: Mapping[str, object]
    outputs: Sequence[Path]
    work: Callable[[], None]


def run_once(run: Path, step: Step) -> bool:
    """Run a step unless it is done, and return whether it ran. Its record is written last, atomically."""
    record = run / "steps" / f"{step.name}.json"
    inputs = json.dumps(dict(step.inputs), sort_keys=True, default=str, indent=1) + "\n"
    is_current = record.is_file() and record.read_text(encoding="utf-8") == inputs
    if is_current and all(path.exists() for path in step.outputs):
        return False
    record.unlink(missing_ok=True)
    step.work()
    record.parent.mkdir(parents=True, exist_ok=True)
    hidden = record.with_suffix(".partial")
    hidden.write_text(inputs, encoding="utf-8")
    hidden.replace(record)
    return True
