"""Averages the weights of runs that began from the same ones: as good as their ensemble at the cost of one network.

Wortsman et al., Model soups, ICML 2022. It holds for runs that went on from common weights, as those of a fold do from
its nodules; averaging the weights
of unrelated runs is meaningless. Judge the mean as any other weights: `cross-validate`.
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
    """Write RUN/average.pt and RUN/run.json, which names the parts and holds what they were told.

    Raises RunRefused where a part has no weights, or not those of the same network and fold, or RUN is there already.
    """
    if (run / "run.json").exists():
        raise RunRefused(f"{run}: a run is there already")
    for part in parts:
        if not (part / "average.pt").is_file():
            raise RunRefused(f"{part}: no weights are there")
    kinds = {(trained_network(part), trained_fold(part)) for part in parts}
    if len(kinds) > 1:
        raise RunRefused(f"{parts[-1]}: the runs are not of one network and fold")
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
    """Return the mean of each tensor; of counters the last."""
    return {
        name: torch.stack([state[name] for state in states]).mean(0) if one.is_floating_point() else one
        for name, one in states[-1].items()
    }
