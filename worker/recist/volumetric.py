"""Response of the targets by volume; not part of RECIST.

The thresholds are those of RECIST for a sphere, whose volume is proportional to the cube of its diameter: -30 % is
0.7^3 - 1 = -65.7 %, +20 % is 1.2^3 - 1 = +72.8 % (RECIST 1.0, Therasse et al., J Natl Cancer Inst 2000;92:205, appendix
II: -65 % and +73 %). Tumours are not spheres, and there is no minimum increase such as the 5 mm of RECIST. Non-target
and new lesions are not considered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from worker.recist.response import Response, per_cent, percent_change

PARTIAL_SHARE = 0.343
"""0.7^3."""
PROGRESSION_SHARE = 1.728
"""1.2^3."""
ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumetricResponse:
    """Response by the targets' volume, compared with the baseline and the nadir."""

    response: Response
    sum_ml: float | None
    from_baseline_percent: float | None
    nadir_ml: float | None
    """Smallest previous sum, including the baseline; None if no sum is known."""
    from_nadir_percent: float | None
    basis: str


def volumetric_response(sum_ml: float | None, previous: Sequence[float | None]) -> VolumetricResponse:
    """Return the response by volume; `previous`: the sums from the baseline on, None if a sum is unknown."""
    known = [each for each in previous if each is not None]
    if sum_ml is None or not previous or previous[0] is None:
        return VolumetricResponse(
            response=Response.NE,
            sum_ml=sum_ml,
            from_baseline_percent=None,
            nadir_ml=min(known, default=None),
            from_nadir_percent=None,
            basis="by volume (not part of RECIST 1.1): not evaluable without the volume of every target",
        )
    return _evaluated(sum_ml, previous[0], min(known))


def _evaluated(sum_ml: float, baseline_ml: float, nadir_ml: float) -> VolumetricResponse:
    response = _response(sum_ml, baseline_ml, nadir_ml)
    return VolumetricResponse(
        response=response,
        sum_ml=sum_ml,
        from_baseline_percent=percent_change(sum_ml, baseline_ml),
        nadir_ml=nadir_ml,
        from_nadir_percent=percent_change(sum_ml, nadir_ml),
        basis=(
            f"by volume (not part of RECIST 1.1): sum {sum_ml:.3f} ml, "
            f"baseline {baseline_ml:.3f} ml: {per_cent(sum_ml, baseline_ml)}, "
            f"nadir {nadir_ml:.3f} ml: {per_cent(sum_ml, nadir_ml)}: {response}"
        ),
    )


def _response(sum_ml: float, baseline_ml: float, nadir_ml: float) -> Response:
    if sum_ml > nadir_ml and sum_ml >= PROGRESSION_SHARE * nadir_ml - ROUNDING:
        return Response.PD
    if sum_ml == 0:
        return Response.CR
    return Response.PR if sum_ml <= PARTIAL_SHARE * baseline_ml + ROUNDING else Response.SD
