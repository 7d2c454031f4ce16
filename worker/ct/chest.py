"""Whether a scan shows the lungs, by its pixels: without lungs there is no report on lung tumours."""

from __future__ import annotations

from models.lungs.outline import LungAir
from worker.ct.reader import LoadedSeries
from worker.ct.rejections import CutLungs, NoLungs

LEAST_SECTION_CM2 = 40.0
"""Of both lungs together. The sinuses of a head, or gas in the bowel that is not pure, stay below."""


def require_lungs(series: LoadedSeries, air: LungAir, *, whole: bool) -> None:
    """Raise NoLungs if the scan shows no lungs; CutLungs if it ends within them and the whole ones are asked for.

    air: of the volume. whole: whether another series of the study may show them completely.
    """
    if air.largest_section_cm2 < LEAST_SECTION_CM2:
        raise NoLungs(series.series_uid, air.largest_section_cm2, LEAST_SECTION_CM2)
    if whole and air.is_cut:
        raise CutLungs(series.series_uid, air.volume_ml)
