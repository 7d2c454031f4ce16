"""How the analysed stack was made of images at varying distances."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worker.findings import Findings


@dataclass(frozen=True, slots=True, kw_only=True)
class Resampling:
    """An even stack made of images at varying distances, all along the stack in mm."""

    images: int
    closest_mm: float
    """Smallest distance of two neighbouring images."""
    widest_mm: float
    slices: int
    slice_mm: float

    @property
    def sentence(self) -> str:
        """The resampling in words."""
        return (
            f"{self.images} images, {self.closest_mm:.2f} to {self.widest_mm:.2f} mm apart, were resampled linearly to "
            f"{self.slices} slices of {self.slice_mm:.2f} mm. Volume and shape are those on these slices; axes and "
            "segments are those on the images."
        )


def resampling_of(findings: Findings) -> Resampling | None:
    """Return how the stack was resampled; None if each slice is an image."""
    volume = findings.volume
    if volume.places is None:
        return None
    gaps_mm = np.diff(volume.places) * volume.spacing[0]
    return Resampling(
        images=len(volume.places),
        closest_mm=round(float(gaps_mm.min()), 4),
        widest_mm=round(float(gaps_mm.max()), 4),
        slices=len(volume.hu),
        slice_mm=round(volume.spacing[0], 4),
    )
