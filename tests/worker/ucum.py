"""Reads units as UCUM does, as far as this product's reach: case sensitive, and strict.

After Schadow and McDonald, The Unified Code for Units of Measure, version 2.1, sections 2 to 4 and tables 1 to 7. A
unit is a product of powers of base quantities; what it does not know it refuses.
"""

from __future__ import annotations

import re
from collections import Counter

Dimension = dict[str, int]

ATOMS: dict[str, Dimension] = {
    "m": {"length": 1},
    "g": {"mass": 1},
    "s": {"time": 1},
    "d": {"time": 1},
    "a": {"time": 1},
    "l": {"length": 3},
    "L": {"length": 3},
    "%": {},
    "[hnsf'U]": {"Hounsfield unit": 1},  # arbitrary: of no other dimension
}
METRIC = {"m", "g", "s", "l", "L"}
PREFIXES = {"k": 3, "d": -1, "c": -2, "m": -3, "u": -6, "n": -9}
COMPONENT = re.compile(r"(?P<unit>\[[^\]]+\]|%|[A-Za-z]+)?(?P<exponent>[+-]?\d+)?(?P<note>\{[!-z|~]*\})?")


def dimension(unit: str) -> Dimension:
    """The powers of base quantities that a UCUM unit is a product of; ValueError when it is none."""
    first, *rest = re.split("([./])", unit)
    powers = Counter(_component("1" if not first and rest[:1] == ["/"] else first))
    for operator, component in zip(rest[::2], rest[1::2], strict=True):
        for name, power in _component(component).items():
            powers[name] += power if operator == "." else -power
    return {name: power for name, power in powers.items() if power}


def _component(component: str) -> Dimension:
    match = COMPONENT.fullmatch(component)
    if match is None or not component:
        raise ValueError(f"not UCUM: {component!r}")
    if match["unit"] is None:  # a number, or an annotation alone, which stands for 1
        return {}
    power = int(match["exponent"] or 1)
    return {name: times * power for name, times in _atom(match["unit"]).items()}


def _atom(symbol: str) -> Dimension:
    if symbol in ATOMS:
        return ATOMS[symbol]
    if symbol[0] in PREFIXES and symbol[1:] in METRIC:
        return ATOMS[symbol[1:]]
    raise ValueError(f"not a UCUM unit known here: {symbol!r}")
