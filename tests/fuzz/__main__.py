"""`python -m tests.fuzz --inputs 100000 --seconds 3600`: feeds malformed input, and prints a table.

Exit code 1 if anything crashed, hung, took too much memory, raised an undeclared error or wrote outside the spool.
`--only TARGET --seed SEED --inputs 1` feeds one input again.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from dicom_node.network.status import configure_libraries
from tests.faults.service import import_before_forking
from tests.fuzz.corpus import samples
from tests.fuzz.queue_target import Messages
from tests.fuzz.site_targets import Dicomweb, Dimse, Port
from tests.fuzz.targets import Configuration, Files, Headers, Rows, SeriesOfFiles, Target
from tests.fuzz.watch import Failure, Result, watch


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A target, and its share of the inputs."""

    make: Callable[[], Target]
    inputs: float


TARGETS = {
    "port": Share(make=Port, inputs=0.06),
    "dimse": Share(make=Dimse, inputs=0.06),
    "dicomweb": Share(make=Dicomweb, inputs=0.05),
    "messages": Share(make=Messages, inputs=0.02),
    "headers": Share(make=Headers, inputs=0.30),
    "files": Share(make=Files, inputs=0.12),
    "series": Share(make=lambda: SeriesOfFiles(frames=False), inputs=0.15),
    "frames": Share(make=lambda: SeriesOfFiles(frames=True), inputs=0.16),
    "configuration": Share(make=Configuration, inputs=0.06),
    "rows": Share(make=Rows, inputs=0.02),
}


ON_SITE = frozenset({"port", "dimse", "dicomweb", "messages"})


def main() -> int:
    """Feed all targets, two side by side."""
    options = _options()
    names = options.only or list(TARGETS)
    total = sum(TARGETS[name].inputs for name in names)
    if ON_SITE & {*names}:
        import_before_forking()
    configure_libraries()
    samples()  # made once, before the processes are forked

    def run(name: str) -> Result:
        share = TARGETS[name].inputs / total
        seeds = range(options.seed, options.seed + max(1, round(options.inputs * share)))
        return watch(name, TARGETS[name].make, seeds, options.seconds * options.side_by_side / len(names))

    _write(f"{'target':<16}{'inputs':>9}{'seconds':>9}{'MiB':>7}{'failures':>10}  outcomes")
    failures = 0
    with ThreadPoolExecutor(options.side_by_side) as pool:
        for result in pool.map(run, names):
            failures += len(result.failures)
            _write(_line(result))
            for what, found in _by_kind(result.failures).items():
                _write(f"    {len(found)} times, {found[0].target} {found[0].seed}: {what}")
    return 1 if failures else 0


def _line(result: Result) -> str:
    outcomes = ", ".join(f"{count} {name}" for name, count in result.outcomes.most_common(6))
    inputs = sum(result.outcomes.values())
    numbers = f"{inputs:>9}{result.seconds:>9.0f}{result.memory_mb:>7.0f}{len(result.failures):>10}"
    return f"{result.target:<16}{numbers}  {outcomes}"


def _by_kind(failures: Sequence[Failure]) -> dict[str, list[Failure]]:
    """Return the failures by what happened, numbers aside."""
    kinds: dict[str, list[Failure]] = {}
    for failure in failures:
        kinds.setdefault(re.sub(r"[0-9]+", "N", failure.what), []).append(failure)
    return {found[0].what: found for found in kinds.values()}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=3600.0, help="of the whole run; an even part for each target")
    parser.add_argument("--side-by-side", type=int, default=2)
    parser.add_argument("--only", nargs="+", choices=TARGETS, help="feed these targets alone")
    return parser.parse_args()


def _write(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
