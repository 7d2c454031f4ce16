from __future__ import annotations

from dicom_node.audit.limiter import MOST_ADDRESSES, MOST_IN_WINDOW, OTHERS, WINDOW_S, LeftOut, RefusalLimiter


def admitted(limiter: RefusalLimiter, addresses: list[str], now: float = 0.0) -> int:
    return sum(limiter.admits(address, now) for address in addresses)


def test_of_a_thousand_refusals_in_a_minute_five_are_logged_and_the_others_counted() -> None:
    limiter = RefusalLimiter()

    assert admitted(limiter, ["10.0.0.7"] * 1000) == 5
    assert admitted(limiter, ["10.0.0.8"]) == 1
    assert limiter.left_out(WINDOW_S - 1) == []
    assert limiter.left_out(WINDOW_S) == [LeftOut(address="10.0.0.7", count=995)]
    assert limiter.left_out(WINDOW_S * 9) == []


def test_a_new_window_logs_again() -> None:
    limiter = RefusalLimiter()
    admitted(limiter, ["10.0.0.7"] * 9)
    limiter.left_out(WINDOW_S)

    assert admitted(limiter, ["10.0.0.7"] * 9, now=WINDOW_S) == MOST_IN_WINDOW


def test_what_is_left_out_is_told_at_the_end() -> None:
    limiter = RefusalLimiter()
    admitted(limiter, ["10.0.0.7"] * 9)

    assert limiter.left_out(1, is_end=True) == [LeftOut(address="10.0.0.7", count=4)]


def test_a_host_does_not_become_many_by_its_ipv6_addresses() -> None:
    limiter = RefusalLimiter()

    assert admitted(limiter, [f"fd00:1:2:3::{number:x}" for number in range(1000)]) == 5
    assert limiter.left_out(WINDOW_S) == [LeftOut(address="fd00:1:2:3::/64", count=995)]
    assert admitted(limiter, ["::ffff:10.0.0.7"] * 6 + ["10.0.0.7"]) == 5


def test_many_addresses_together_are_limited_too() -> None:
    limiter = RefusalLimiter()
    addresses = [f"10.0.{number // 256}.{number % 256}" for number in range(1000)]

    assert admitted(limiter, addresses) == MOST_ADDRESSES + MOST_IN_WINDOW
    assert limiter.left_out(WINDOW_S) == [
        LeftOut(address=OTHERS, count=1000 - MOST_ADDRESSES - MOST_IN_WINDOW),
    ]
