from __future__ import annotations

from dataclasses import dataclass

import pytest

from dicom_node.clock import Clock


@dataclass
class SystemClock:
    """The clocks of a machine; `wall` can be set, as an administrator or NTP does."""

    wall: float = 1_000_000.0
    monotonic: float = 50.0

    def pass_s(self, seconds: float) -> None:
        self.wall += seconds
        self.monotonic += seconds


@pytest.mark.parametrize("jump_s", [-86400.0, -3600.0, 3600.0, 86400.0])
def test_time_passes_evenly_until_the_clock_follows_the_system(jump_s: float) -> None:
    system = SystemClock()
    clock = Clock(lambda: system.wall, lambda: system.monotonic)
    begun = system.monotonic
    system.pass_s(10.0)
    system.wall += jump_s
    system.pass_s(5.0)

    assert clock.now() == 1_000_015.0
    assert clock.jump_s() == jump_s

    clock.move(jump_s)

    assert clock.now() == system.wall
    assert clock.jump_s() == 0.0
    assert clock.now() - clock.at(begun) == 15.0


def test_a_difference_that_ntp_corrects_is_no_jump() -> None:
    system = SystemClock()
    clock = Clock(lambda: system.wall, lambda: system.monotonic)
    system.wall += 1.5

    assert clock.jump_s() == 0.0
