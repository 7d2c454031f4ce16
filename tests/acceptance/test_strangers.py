"""Series arrive, and echoes are answered, while 300 hostile connections are renewed; the whole is tests/faults."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.strangers import withstand


def test_series_arrive_while_hostile_connections_are_renewed(tmp_path: Path) -> None:
    if not Path("/usr/bin/storescu").exists():
        pytest.skip("no /usr/bin/storescu: dcmtk is not installed")

    outcome = withstand(tmp_path, seconds=4, series=8)

    assert (outcome.sent, outcome.stored) == (8, 8)
    assert outcome.attacks > 300
    assert outcome.slowest_echo_s < 5  # a lost SYN is sent again after 1 and 3 s; alone on a machine: 0.1 s
    assert outcome.memory_mb < 500
