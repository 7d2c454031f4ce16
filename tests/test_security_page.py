"""Every test that SECURITY.md names exists, and every threat names one."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def threats() -> list[str]:
    """The rows of the tables below the heading Threats, by STRIDE's letters."""
    section = (ROOT / "SECURITY.md").read_text(encoding="utf-8").split("\n## Threats\n")[1].split("\n## ")[0]
    return [line for line in section.splitlines() if re.match(r"\| [STRIDE] \|", line)]


@cache
def functions(path: Path) -> set[str]:
    """The names of the functions of a module."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_there_are_threats_of_every_kind() -> None:
    assert {row[2] for row in threats()} == set("STRIDE")


@pytest.mark.parametrize("row", threats(), ids=lambda row: row.split("|")[2].strip())
def test_every_threat_names_tests_that_exist(row: str) -> None:
    named = NAMED.findall(row)

    assert named
    assert row.count("::") == len(named)
    assert [f"{path}::{name}" for path, name in named if name not in functions(ROOT / path)] == []
