"""One row of the table of `make bench`: what was measured, beside which peers, and its goal."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row. value: the median of the rounds; low, high: the smallest and the largest."""

    name: str
    unit: str
    """s, MB, or times: our time over that of the peers, or, with `at_least`, a peer's time over ours."""
    value: float
    low: float
    high: float
    rounds: int
    goal: float | None
    """None where the row is there for comparison alone."""
    at_least: bool = False
    """Whether the goal is the least value, and not the most."""
    peers: Mapping[str, float | None] = field(default_factory=dict)
    """Median seconds of each peer in the same run; None for one that is not installed."""

    @property
    def is_met(self) -> bool | None:
        """Whether the goal is reached; None without one."""
        if self.goal is None:
            return None
        return self.value >= self.goal if self.at_least else self.value <= self.goal

    @property
    def text(self) -> str:
        """The row as a line."""
        outcome = "" if self.goal is None else f"goal {self.goal:g} {'met' if self.is_met else 'MISSED'}"
        peers = ", ".join(
            f"{name} {'is not installed' if seconds is None else f'{seconds:.2f} s'}"
            for name, seconds in self.peers.items()
        )
        spread = f"{self.low:.2f} to {self.high:.2f}, n = {self.rounds}"
        return f"{self.name:<52}{self.value:9.2f} {self.unit:<6} ({spread})  {outcome}  {peers}".rstrip()


def row_of(
    name: str,
    unit: str,
    values: Sequence[float],
    goal: float | None,
    peers: Mapping[str, float | None] | None = None,
    *,
    at_least: bool = False,
) -> Row:
    """Return the row of the values of all rounds."""
    return Row(
        name=name,
        unit=unit,
        value=statistics.median(values),
        low=min(values),
        high=max(values),
        rounds=len(values),
        goal=goal,
        at_least=at_least,
        peers=peers or {},
    )


def write_rows(rows: Iterable[Row], path: Path | None) -> None:
    """Print the rows, and write them as JSON if a path is given."""
    rows = list(rows)
    for row in rows:
        print(row.text, flush=True)
    if path is not None:
        path.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", encoding="utf-8")


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a file that `write_rows` wrote."""
    return [Row(**values) for values in json.loads(path.read_text(encoding="utf-8"))]
