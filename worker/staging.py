"""The imaging T descriptor of TNM 9 as a proposal with its basis. Claims no N, and no M beyond what the mask shows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TProposal:
    """A proposed T descriptor, e.g. `T2b`, and why: one clause per rule that applied.

    m1a: True when a separate nodule lies in the other lung.
    """

    descriptor: str
    basis: tuple[str, ...]
    m1a: bool
