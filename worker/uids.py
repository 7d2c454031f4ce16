"""UIDs of a job's outputs, derived from its key, so that a repeated job writes the same UIDs."""

from __future__ import annotations

import uuid

NAMESPACE = uuid.UUID("6f8f9b5e-0d0c-4d7c-9f0e-3b1f6f2f5a11")
"""LungSpread's namespace of RFC 4122 name-based UUIDs; must never change, as every result's UID depends on it."""


def derived_uid(job_key: str, *role: str) -> str:
    """Return the UID of a job's output in this role, as in `derived_uid(key, "seg", "instance")`.

    Raises ValueError without a role, or if the key or a part of the role contains a line break.
    """
    if not role or any("\n" in part for part in (job_key, *role)):
        raise ValueError("a derived UID needs a role, and no line breaks in key or role")
    # PS3.5 B.2: "2.25." and a UUID as a decimal integer is a UID of at most 44 characters that needs no registration.
    return f"2.25.{uuid.uuid5(NAMESPACE, chr(10).join((job_key, *role))).int}"
