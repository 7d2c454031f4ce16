"""The table of a campaign: one line for each kind of fault, and one for all."""

from __future__ import annotations

from collections.abc import Sequence

from tests.faults.history import Outcome
from tests.faults.plan import KINDS, Kind

_COLUMNS = ("histories", "events", "acknowledged", "lost", "doubled", "wrong", "stuck")


def table(outcomes: Sequence[Outcome]) -> str:
    """Return the table. A history counts in the line of its main fault, an event in that of its own kind."""
    lines = [_line("fault", _COLUMNS)]
    lines += [_line(kind, _numbers(kind, outcomes)) for kind in KINDS]
    total = [sum(numbers) for numbers in zip(*(_numbers(kind, outcomes) for kind in KINDS), strict=True)]
    return "\n".join([*lines, _line("all", total)])


def _numbers(kind: Kind, outcomes: Sequence[Outcome]) -> list[int]:
    own = [outcome for outcome in outcomes if outcome.plan.kind is kind]
    events = sum(event.kind is kind for outcome in outcomes for event in outcome.plan.events)
    events += sum(series.aborts_after is not None for outcome in own for series in outcome.plan.series)
    verdicts = [outcome.verdict for outcome in own]
    return [
        len(own),
        events,
        sum(outcome.acknowledged for outcome in own),
        sum(verdict.lost for verdict in verdicts),
        sum(verdict.doubled for verdict in verdicts),
        sum(verdict.wrong for verdict in verdicts),
        sum(verdict.stuck for verdict in verdicts),
    ]


def _line(name: str, cells: Sequence[object]) -> str:
    return f"{name:<32}" + "".join(f"{cell:>14}" for cell in cells)
