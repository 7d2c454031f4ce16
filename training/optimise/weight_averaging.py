"""Averages the weights of runs that started from the same weights: one network, as good as their ensemble.

Wortsman et al., Model soups, ICML 2022. Valid for runs that continue from common weights, such as the runs of a fold
that start from its nodule network; averaging the weights of unrelated runs is meaningless. Evaluate the result like any
other run: `cross-validate`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.run_folder import RunRefused, trained_fold, trained_network


def average_runs(parts: Sequence[Path], run: Path) -> None:
    """Write RUN/average.pt and RUN/run.json, which contains the run.json of each part.

    Raises RunRefused if a part has no weights, if the parts differ in network or fold, or if RUN already exists.
    """
    if (run / "run.json").exists():
        raise RunRefused(f"{run}: already contains a run")
    for part in parts:
        if not (part / "average.pt").is_file():
            raise RunRefused(f"{part}: no weights found")
    kinds = {(trained_network(part), trained_fold(part)) for part in parts}
    if len(kinds) > 1:
        raise RunRefused(f"{parts[-1]}: the runs differ in network or fold")
    ((network, fold),) = kinds
    run.mkdir(parents=True, exist_ok=True)
    torch.save(
        _mean([torch.load(part / "average.pt", weights_only=True, map_location="cpu") for part in parts]),
        run / "average.pt",
    )
    facts: dict[str, Any] = {
        "settings": {"network": network, "fold": fold},
        "parts": [json.loads((part / "run.json").read_text(encoding="utf-8")) for part in parts],
    }
    (run / "run.json").write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _mean(states: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return the mean of each tensor; for counters, the last value."""
    return {
        name: torch.stack([state[name] for state in states]).mean(0) if one.is_floating_point() else one
        for name, one in states[-1].items()
    }
