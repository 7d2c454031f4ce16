"""`python -m tests.faults --seed 1 --histories 1000`: runs fault histories, and prints their table.

Exit code 1 if anything was lost, doubled, wrong or stuck. `--only SEED` runs one history again.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tests.faults.campaign import Campaign
from tests.faults.disk import can_mount
from tests.faults.history import Outcome
from tests.faults.table import table

_SEEDS_OF_A_CAMPAIGN = 1_000_000


def main() -> int:
    """Run the campaign."""
    options = _options()
    first = options.seed * _SEEDS_OF_A_CAMPAIGN
    seeds = options.only or range(first, first + options.histories)
    has_mounts = can_mount() and not options.without_mounts
    campaign = Campaign(seeds=seeds, sites=options.sites, out=options.out, has_mounts=has_mounts)
    outcomes: list[Outcome] = []
    started = time.monotonic()

    def report(outcome: Outcome) -> None:
        outcomes.append(outcome)
        if options.verbose or not outcome.verdict.is_good:
            _write(f"{outcome.plan.seed} {outcome.plan.kind} {outcome.seconds:.1f} s; {_others(outcome)}")
        for note in outcome.verdict.notes:
            _write(f"    {note}")

    campaign.run(report)
    _write(table(outcomes))
    failed = [outcome.plan.seed for outcome in outcomes if not outcome.verdict.is_good]
    without = len(seeds) - len(campaign.runnable())
    _write(
        f"{len(outcomes)} histories in {time.monotonic() - started:.0f} s; node and worker at most "
        f"{max((outcome.memory_mb for outcome in outcomes), default=0):.0f} MiB; "
        f"{without} not run, since nothing can be mounted here; failed: {failed or 'none'}"
    )
    return 1 if failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--histories", type=int, default=1000)
    parser.add_argument("--sites", type=int, default=8, help="how many sites run side by side")
    parser.add_argument("--only", type=int, nargs="+", help="run these histories alone")
    parser.add_argument("--out", type=Path, default=Path("faults-out"), help="where logs of failed histories are kept")
    parser.add_argument("--without-mounts", action="store_true", help="no faults of disks, as without root's rights")
    parser.add_argument("--verbose", action="store_true", help="a line for every history")
    return parser.parse_args()


def _others(outcome: Outcome) -> str:
    return ", ".join(f"{event.kind} at {event.at_s:.1f} s for {event.for_s:.1f} s" for event in outcome.plan.events)


def _write(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
