"""A small network with its PACS and journal, for each test of priors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dicom_node.journal.journal import Journal
from tests.fixtures.dicom_node.small_network import SmallNetwork
from worker.demo.pacs import SmallPacs


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[SmallPacs]:
    with SmallPacs(folder=tmp_path / "pacs") as running:
        yield running


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(f"sqlite:///{tmp_path}/journal.db") as journal:
        yield journal


@pytest.fixture
def small_network(tmp_path: Path, pacs: SmallPacs, journal: Journal) -> SmallNetwork:
    return SmallNetwork(folder=tmp_path / "node", pacs=pacs, journal=journal)
