"""The folder of one training run: settings, environment, learning curve, checkpoint and averaged weights."""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch.utils.tensorboard import SummaryWriter

from training.optimise.settings import TrainingSettings

_LIBRARIES = ("torch", "monai", "numpy", "scipy")


class RunRefused(ValueError):  # noqa: N818 - the caller must give another folder
    """A run or output folder that cannot be used: it belongs to another run, or holds something else."""


class RunFolder:
    """run.json, curve.csv, TensorBoard events, checkpoint.pt to continue from and average.pt to export.

    Raises RunRefused on entry if the folder belongs to a run with other settings. Only the writer (rank 0) writes.
    """

    def __init__(self, folder: Path, settings: TrainingSettings, *, is_writer: bool) -> None:
        self._folder = folder
        self._is_writer = is_writer
        defaults = {field.name: field.default for field in fields(settings) if field.default is not MISSING}
        self._settings, self._defaults = _as_stored(asdict(settings)), _as_stored(defaults)
        self._kept: list[str] = []
        """Lines of the curve since the last checkpoint."""

    def __enter__(self) -> RunFolder:
        self._folder.mkdir(parents=True, exist_ok=True)
        facts = self._folder / "run.json"
        if facts.exists():
            stored = json.loads(facts.read_text(encoding="utf-8"))["settings"]
            stored = {**self._defaults, **stored}  # runs older than a setting used its default
            other = sorted(name for name in self._settings if stored.get(name) != self._settings[name])
            if other:
                raise RunRefused(f"{self._folder}: the run there has other settings: {', '.join(other)}")
        elif self._is_writer:
            facts.write_text(json.dumps(self._facts(), indent=1, sort_keys=True) + "\n", encoding="utf-8")
        self._open_board()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._board is not None:
            self._board.close()

    def checkpoint(self, device: torch.device | str) -> dict[str, Any] | None:
        """Return the last checkpoint, None before the first."""
        path = self._folder / "checkpoint.pt"
        if not path.exists():
            return None
        checkpoint: dict[str, Any] = torch.load(path, weights_only=True, map_location=device)
        return checkpoint

    def _open_board(self) -> None:
        """Continue TensorBoard's curve at the checkpoint: points after it are computed again."""
        found = self.checkpoint("cpu")
        after = None if found is None else int(found["step"]) + 1
        self._board = SummaryWriter(str(self._folder / "tensorboard"), purge_step=after) if self._is_writer else None

    def log(self, step: int, loss: float, rate: float) -> None:
        """Add a point to the curves; curve.csv is written with the next checkpoint, so that no step appears twice."""
        self._kept.append(f"{step},{loss:.6f},{rate:.8f}\n")
        if self._board is not None:
            self._board.add_scalar("loss", loss, step)
            self._board.add_scalar("learning rate", rate, step)

    def save(self, checkpoint: Mapping[str, object], average: Mapping[str, object]) -> None:
        """Write the curve, the averaged weights and the checkpoint; each file is replaced atomically."""
        if not self._is_writer:
            return
        self._replace("curve.csv", lambda path: path.write_text(self._curve(), encoding="utf-8"))
        self._replace("average.pt", lambda path: torch.save(average, path))
        self._replace("checkpoint.pt", lambda path: torch.save(checkpoint, path))
        self._kept = []

    def _curve(self) -> str:
        """Return the curve with the new points; after a crash they replace points of the same steps."""
        path = self._folder / "curve.csv"
        prior_lines = path.read_text(encoding="utf-8").splitlines(keepends=True)[1:] if path.exists() else []
        first = int(self._kept[0].split(",")[0])
        return "".join(
            ["step,loss,rate\n", *(line for line in prior_lines if int(line.split(",")[0]) < first), *self._kept]
        )

    def _replace(self, name: str, write: Any) -> None:  # noqa: ANN401 - what a writer returns does not matter
        partial = self._folder / f"{name}.partial"
        write(partial)
        partial.replace(self._folder / name)

    def _facts(self) -> dict[str, Any]:
        return {
            "settings": self._settings,
            "git_revision": _git_revision(),
            "python": platform.python_version(),
            "machine": platform.machine(),
            "threads": torch.get_num_threads(),
            "gpus": [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())],
            "libraries": {name: version(name) for name in _LIBRARIES},
        }


def trained_network(run: Path) -> str:
    """Return which network a run trained; runs older than the setting trained 2.5d."""
    return str(_settings(run).get("network", "2.5d"))


def trained_fold(run: Path) -> int | None:
    """Return which fold of a cross-validation a run held back, or None."""
    fold: int | None = _settings(run).get("fold")
    return fold


def _as_stored(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as JSON returns them: tuples become lists."""
    stored: dict[str, Any] = json.loads(json.dumps(settings, default=str))
    return stored


def _settings(run: Path) -> dict[str, Any]:
    settings: dict[str, Any] = json.loads((run / "run.json").read_text(encoding="utf-8"))["settings"]
    return settings


def _git_revision() -> str:
    """Return the revision of the code, marked "dirty" if it was changed; empty outside a repository."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)  # noqa: S603
    except OSError:
        return ""
    return done.stdout.strip()
