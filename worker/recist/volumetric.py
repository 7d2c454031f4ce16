"""The response of the targets by volume, beside RECIST and no part of it. Knows no non-target and no new lesion.

The thresholds are those of RECIST for a ball, whose volume goes with the cube of its diameter: -30 % is 0.7^3 - 1 =
-65.7 %, +20 % is 1.2^3 - 1 = +72.8 % (RECIST 1.0, Therasse et al., J Natl Cancer Inst 2000;92:205, appendix II: -65 %
and +73 %). Tumours are no balls, and there is no least increase, such as RECIST's 5 mm.
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
    """The targets' volume against the baseline's and the smallest so far."""

    response: Response
    sum_ml: float | None
    from_baseline_percent: float | None
    nadir_ml: float | None
    """The smallest sum before, the baseline's included."""
    from_nadir_percent: float | None
    basis: str


def volumetric_response(sum_ml: float | None, earlier: Sequence[float | None]) -> VolumetricResponse:
    """Judge the targets' volume; `earlier` are the sums from the baseline on, None where one is not known."""
    known = [each for each in earlier if each is not None]
    if sum_ml is None or not earlier or earlier[0] is None:
        return VolumetricResponse(
            response=Response.NE,
            sum_ml=sum_ml,
            from_baseline_percent=None,
            nadir_ml=min(known, default=None),
            from_nadir_percent=None,
            basis="by volume (not part of RECIST 1.1): not evaluable without the volume of every target",
        )
    return _judged(sum_ml, earlier[0], min(known))


def _judged(sum_ml: float, baseline_ml: float, nadir_ml: float) -> VolumetricResponse:
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
