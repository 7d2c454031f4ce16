"""The version of a Redis or Valkey server, and whether it has known holes."""

from __future__ import annotations

import re
from dataclasses import dataclass

Version = tuple[int, int, int]

# The first releases without the remote code executions known in November 2026: those of July 2026 (CVE-2026-56684,
# CVE-2026-63639, CVE-2026-12087), and so without those of 2025 (CVE-2025-49844). Redis: docker-library/official-images
# pull request 21922. Valkey: its releases of 21 July 2026.
_FIXED: dict[str, tuple[Version, ...]] = {
    "Redis": ((6, 2, 23), (7, 2, 15), (7, 4, 10), (8, 2, 8), (8, 4, 5), (8, 6, 5), (8, 8, 1)),
    "Valkey": ((7, 2, 14), (8, 0, 10), (8, 1, 9), (9, 0, 5), (9, 1, 1)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerVersion:
    """Name (Redis or Valkey) and version of a server."""

    name: str
    version: Version

    def __str__(self) -> str:
        return f"{self.name} {'.'.join(str(number) for number in self.version)}"

    @property
    def needed(self) -> str:
        """The first release without known holes, of this line if it has one; empty if this version has none."""
        fixed = _FIXED[self.name]
        of_line = next((one for one in fixed if one[:2] == self.version[:2]), fixed[-1])
        return "" if self.version >= of_line else str(ServerVersion(name=self.name, version=of_line))


def from_info(info: dict[str, object]) -> ServerVersion | None:
    """Return the version in the answer to INFO; Valkey's `redis_version` is that of the Redis that it resembles."""
    name, text = (
        ("Valkey", info["valkey_version"]) if "valkey_version" in info else ("Redis", info.get("redis_version"))
    )
    return _parsed(name, str(text))


def from_output(text: str) -> ServerVersion | None:
    """Return the version that a server's executable prints for --version."""
    return _parsed("Valkey" if text.startswith("Valkey") else "Redis", text)


def _parsed(name: str, text: str) -> ServerVersion | None:
    found = re.search(r"(\d+)\.(\d+)\.(\d+)", text)
    if found is None:
        return None
    major, minor, patch = (int(number) for number in found.groups())
    return ServerVersion(name=name, version=(major, minor, patch))
