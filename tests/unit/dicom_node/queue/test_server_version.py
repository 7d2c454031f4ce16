from __future__ import annotations

import pytest

from dicom_node.queue.server_version import from_info, from_output


@pytest.mark.parametrize(
    ("text", "needed"),
    [
        ("Redis server v=6.2.14 sha=00000000:0 malloc=libc bits=64 build=1", "Redis 6.2.23"),
        ("Redis server v=7.2.7 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64", "Redis 7.2.15"),
        ("Redis server v=7.0.15 sha=00000000:0", "Redis 8.8.1"),  # a line without further releases
        ("Redis server v=8.8.1 sha=00000000:0", ""),
        ("Redis server v=9.0.0 sha=00000000:0", ""),
        ("Valkey server v=7.2.11 sha=00000000:1", "Valkey 7.2.14"),
        ("Valkey server v=9.1.2 sha=00000000:1 malloc=libc bits=64", ""),
    ],
)
def test_a_server_with_known_holes_names_the_release_without_them(text: str, needed: str) -> None:
    version = from_output(text)
    assert version is not None
    assert version.needed == needed


def test_valkey_is_not_taken_for_the_redis_that_it_resembles() -> None:
    assert (
        str(from_info({"redis_version": "7.2.4", "server_name": "valkey", "valkey_version": "9.1.2"})) == "Valkey 9.1.2"
    )
    assert str(from_info({"redis_version": "7.2.7"})) == "Redis 7.2.7"


def test_a_server_that_does_not_say_its_version_has_none() -> None:
    assert from_info({}) is None
    assert from_output("not a server") is None
