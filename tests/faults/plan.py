"""What happens in one fault history: the series that are sent, and the faults, all drawn from one seed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum

SLICES = 6
"""Of every series; see tests/fixtures/small_site.py."""
_UID_ROOT = "1.2.826.0.1.3680043.10.1511"
_BUSY_S = 2.5
"""From the first instance to the committed result, without a fault; faults begin within this time."""


class Kind(StrEnum):
    """A kind of fault. The text stands in the table."""

    KILL_NODE = "SIGKILL node"
    KILL_WORKER = "SIGKILL worker"
    KILL_REDIS = "SIGKILL Redis"
    KILL_ALL = "SIGKILL node, worker and Redis"
    KILL_SERVICE = "SIGKILL the supervisor"
    STOP_NODE = "SIGSTOP node"
    STOP_WORKER = "SIGSTOP worker"
    STOP_REDIS = "SIGSTOP Redis"
    DISK_FULL = "disk full"
    DISK_READ_ONLY = "disk read-only"
    DISK_FROZEN = "disk frozen"
    CLOCK_BACK = "clock set back"
    CLOCK_AHEAD = "clock set ahead"
    PACS_ABORTS = "PACS aborts"
    PACS_REJECTS = "PACS rejects the association"
    PACS_A700 = "PACS answers A700"
    PACS_C000 = "PACS answers C000"
    PACS_0112 = "PACS answers 0112"
    PACS_SILENT = "PACS never answers"
    REPORT_TWICE = "commitment reported twice"
    REPORT_WRONG = "commitment reported wrongly"
    REPORT_FAILED = "commitment reported as failed"
    REPORT_NEVER = "commitment never reported"
    SENDER_ABORTS = "sender aborts"
    DAMAGED_FILE = "damaged file in the inbox"
    DAMAGED_ROW = "damaged row of a job"
    DAMAGED_DATABASE = "damaged database"


KINDS = tuple(Kind)
NEED_MOUNT = frozenset({Kind.DISK_FULL, Kind.DISK_FROZEN, Kind.DISK_READ_ONLY})
"""They need a file system of their own, and so the right to mount one."""
REFUSALS = frozenset({Kind.PACS_C000, Kind.PACS_0112})
"""The PACS refuses a document for good: its job is FAILED, with that reason."""
DAMAGE = frozenset({Kind.DAMAGED_FILE, Kind.DAMAGED_ROW, Kind.DAMAGED_DATABASE})
CLOCK = frozenset({Kind.CLOCK_BACK, Kind.CLOCK_AHEAD})
_ALONE = frozenset({Kind.DAMAGED_ROW, Kind.DAMAGED_DATABASE})
"""No other fault is mixed with these, so that what goes wrong has one cause."""
_JUMPS_S = (10.0, 300.0, 3600.0, 86400.0, 31_557_600.0)
_READ_ONLY_FOLDERS = ("inbox", "outbox", ".")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A fault that begins `at_s` after the start of the history and lasts `for_s` (0: it has no end)."""

    kind: Kind
    at_s: float
    for_s: float
    jump_s: float = 0.0
    """Of the clock."""
    folder: str = "."
    """Of the data directory, that becomes read-only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesPlan:
    """A series that is sent, and how awkwardly."""

    series_uid: str
    at_s: float
    late: int
    """How many of its last slices come late."""
    late_after_s: float
    is_sent_twice: bool
    aborts_after: int | None
    """The sender aborts its first association after so many instances."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One history."""

    seed: int
    kind: Kind
    """Its main fault; `events` may have others."""
    series: tuple[SeriesPlan, ...]
    events: tuple[Event, ...]

    @property
    def kinds(self) -> frozenset[Kind]:
        """All faults of the history."""
        return frozenset({self.kind, *(event.kind for event in self.events)})


def kind_of(seed: int) -> Kind:
    """Return the main fault of a seed: successive seeds go through all of them."""
    return KINDS[seed % len(KINDS)]


def plan_of(seed: int, *, can_mount: bool) -> Plan:
    """Return the history of a seed."""
    rng, kind = random.Random(seed), kind_of(seed)
    events = [] if kind is Kind.SENDER_ABORTS else [_event(kind, rng)]
    if kind not in _ALONE:
        others = [other for other in KINDS if other not in DAMAGE and (can_mount or other not in NEED_MOUNT)]
        events += [_event(other, rng) for other in rng.sample(others, rng.choice((0, 0, 1, 2)))]
    count = 2 if kind in _ALONE else rng.choice((1, 1, 2))
    series = [_series(seed, number, kind, rng) for number in range(count)]
    events = [event for event in events if event.kind is not Kind.SENDER_ABORTS]
    return Plan(seed=seed, kind=kind, series=tuple(series), events=tuple(sorted(events, key=lambda event: event.at_s)))


def _event(kind: Kind, rng: random.Random) -> Event:
    sign = -1 if kind is Kind.CLOCK_BACK else 1
    jump_s = sign * rng.choice(_JUMPS_S) if kind in CLOCK else 0.0
    at_s = rng.uniform(0.3, 1.0) if kind is Kind.DAMAGED_FILE else rng.uniform(0.0, _BUSY_S)
    # Long enough for all attempts of a job, were they counted.
    for_s = rng.uniform(1.0, 5.0) if kind is Kind.DISK_READ_ONLY else rng.uniform(0.3, 2.0)
    return Event(kind=kind, at_s=at_s, for_s=for_s, jump_s=jump_s, folder=rng.choice(_READ_ONLY_FOLDERS))


def _series(seed: int, number: int, kind: Kind, rng: random.Random) -> SeriesPlan:
    # A damaged file is one that nobody sends again.
    is_plain = kind in DAMAGE
    return SeriesPlan(
        series_uid=f"{_UID_ROOT}.{seed + 1}.{number + 1}",
        at_s=0.0 if number == 0 else rng.uniform(0.0, 1.0),
        late=0 if is_plain else rng.choice((0, 0, 0, 1, 2)),
        late_after_s=rng.uniform(0.3, 2.0),
        is_sent_twice=not is_plain and rng.random() < 0.25,
        aborts_after=rng.randrange(SLICES) if kind is Kind.SENDER_ABORTS else None,
    )
