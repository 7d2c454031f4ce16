"""Every benchmark with a goal, in one run: `make bench`.

It writes benchmarks/results.json and benchmarks/results.png, and the table in README.md.

Each runs in a process of its own, on an otherwise idle machine. A peer that is not installed is named, not left out.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from matplotlib.figure import Figure

from benchmarks.row import Row, read_rows, write_rows
from models.devices import choose_dtype
from tests.conformance.markdown import replaced_between

FOLDER = Path(__file__).parent
BEGIN, END = "<!-- make bench: begin -->", "<!-- make bench: end -->"
"""Marks in README.md, with the table between them."""
BENCHMARKS = (
    ("start",),
    ("load",),
    ("receive",),
    ("step",),
    ("line",),
    ("memory",),
    ("growth",),
    ("training_steps",),
    ("cascade", "--torch"),
    ("peers",),
)


def run(command: tuple[str, ...], folder: Path) -> list[Row]:
    """Run one benchmark and return its rows; none, with its message, if it cannot run."""
    out = folder / f"{command[0]}.json"
    name, *options = command
    done = subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *options, "--out", str(out)], check=False)
    if not out.exists():
        print(f"{name}: no result, exit code {done.returncode}", flush=True)
        return []
    return read_rows(out)


def draw(rows: list[Row], path: Path) -> None:
    """Draw how far each row is from its goal: 1 is the goal, below is better."""
    with_goal = [row for row in rows if row.goal]
    shares = [(row.goal or 0) / row.value if row.at_least else row.value / (row.goal or 1) for row in with_goal]
    figure = Figure(figsize=(9, 0.4 * len(with_goal) + 1), layout="constrained")
    axes = figure.subplots()
    axes.barh(
        [row.name for row in with_goal], shares, color=["#0072b2" if row.is_met else "#d55e00" for row in with_goal]
    )
    axes.axvline(1.0, color="black")
    axes.set_xlabel("share of the goal: up to 1 is met")
    axes.invert_yaxis()
    figure.savefig(path, dpi=100)


def table(rows: list[Row], machine: str) -> str:
    """Return the rows as a Markdown table: value with the spread of its rounds, goal, and the peers of the same run."""
    lines = [f"Measured on {machine}.", "", "| | measured | goal | in the same run |", "| --- | --- | --- | --- |"]
    for row in rows:
        spread = f" ({row.low:.2f} to {row.high:.2f}, n = {row.rounds})" if row.rounds > 1 else ""
        peers = ", ".join(f"{name} {'not installed' if s is None else f'{s:.2f} s'}" for name, s in row.peers.items())
        goal = "" if row.goal is None else f"{row.goal:g} {'met' if row.is_met else '**missed**'}"
        lines.append(f"| {row.name.strip()} | {row.value:.2f} {row.unit}{spread} | {goal} | {peers} |")
    return "\n".join(lines)


def main() -> None:
    """Run everything; exit 1 if a benchmark had no result."""
    bfloat16 = "with" if choose_dtype(torch.device("cpu")) == torch.bfloat16 else "without"
    machine = f"{os.cpu_count()} cores {bfloat16} bfloat16, {platform.machine()}, Python {platform.python_version()}"
    print(machine, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        results = [run(command, Path(folder)) for command in BENCHMARKS]
    rows = [row for each in results for row in each]
    print("\nall rows")
    write_rows(rows, FOLDER / "results.json")
    draw(rows, FOLDER / "results.png")
    readme = FOLDER.parent / "README.md"
    text = replaced_between(readme.read_text(encoding="utf-8"), BEGIN, END, table(rows, machine))
    readme.write_text(text, encoding="utf-8")
    if not all(results):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
