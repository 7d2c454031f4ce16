"""The source of a slice: a CT image, or one frame of a multi-frame CT image."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Reference to a single-frame image, or to one frame of a multi-frame image."""

    sop_class_uid: str = field(compare=False)
    sop_instance_uid: str
    number: int | None = None
    """Frame number, from 1 (PS3.3 C.7.6.16); None for a single-frame image."""

    @property
    def name(self) -> str:
        """The reference in words, for messages."""
        return self.sop_instance_uid if self.number is None else f"{self.sop_instance_uid} frame {self.number}"
