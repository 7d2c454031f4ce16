"""Model of findings.json: what LungSpread found in one CT series. Units stand in the keys; CONFORMANCE.md defines each.

The schema, findings.schema.json, is generated from it: `python -m worker.outputs.json.schema`.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from worker.lesions.density import Consistency
from worker.outputs.json.comparison_model import ComparisonJson
from worker.outputs.json.values import Count, Ends, JobKey, JsonModel, LesionName, Pixel, Point, Share, Size, Uid

SCHEMA_VERSION: Final = 5

LobeName = Literal["right_upper", "right_middle", "right_lower", "left_upper", "left_lower"]
Side = Literal["right", "left"]


class ModelJson(JsonModel):
    """The model that outlined the lesions."""

    name: str
    version: str
    weights_sha256: str
    threshold: float
    smallest_lesion_ml: Size
    engine: str
    """What ran the networks, with version and precision; empty if not known."""


class AxisJson(JsonModel):
    """A line on one slice."""

    sop_instance_uid: Uid
    frame_number: Annotated[int, Field(ge=1)] | None
    """Of a multi-frame image; null for a single-frame image."""
    start_column_row_px: Pixel
    """0, 0 is the centre of the first pixel."""
    end_column_row_px: Pixel
    start_lps_mm: Point
    end_lps_mm: Point


class LocationJson(JsonModel):
    """Where in the lungs a lesion lies."""

    lobe: LobeName
    side: Side
    is_lobe_sure: bool
    """False if a fissure is so near that it may be the neighbouring lobe."""
    touches_wall: bool
    touches_mediastinum: bool
    wall_mm: Size
    """To chest wall or diaphragm; 0 if they touch."""
    mediastinum_mm: Size
    carina_mm: Size | None
    """Null if the carina was not found."""
    fissure_mm: Size
    """From the centre to the nearest other lobe of the same lung."""


class LesionJson(JsonModel):
    """One lesion."""

    number: Annotated[int, Field(ge=1)]
    """For life, on every scan of the patient."""
    segment: Annotated[int, Field(ge=1)]
    """Segment Number in the SEG of this scan."""
    tracking_id: LesionName
    tracking_uid: Uid
    centroid_lps_mm: Point
    voxels: Annotated[int, Field(ge=1)]
    volume_ml: Size
    """Of its voxels (IBSI YEKZ)."""
    volume_ml_95: Ends
    """95 % interval by the scan alone."""
    volume_ml_reader_95: Ends
    """95 % interval of what another reader would measure."""
    long_axis_mm: Size
    """RECIST 1.1."""
    long_axis_mm_95: Ends
    long_axis_mm_reader_95: Ends
    short_axis_mm: Size
    """The longest diameter at a right angle to the long axis."""
    short_axis_mm_95: Ends
    short_axis_mm_reader_95: Ends
    mean_hu: float
    """IBSI Q4LE."""
    sd_hu: Size
    """Square root of IBSI ECT3."""
    minimum_hu: float
    """IBSI 1GSF."""
    p10_hu: float
    """IBSI QG58."""
    median_hu: float
    """IBSI Y12H."""
    p90_hu: float
    """IBSI 8DWT."""
    maximum_hu: float
    """IBSI 84IY."""
    skewness: float
    """IBSI KE2A."""
    kurtosis: float
    """IBSI IPH6, 0 for a normal distribution."""
    consistency: Consistency
    solid_fraction: Share
    """Share of the tissue, without lung and gas."""
    solid_long_axis_mm: Size
    mass_g: float
    """Volume times (mean HU + 1000) / 1000."""
    calcified_ml: Size
    is_calcified: bool
    cavity_ml: Size
    is_cavitated: bool
    spiculation: float
    """worker/lesions/margin.py."""
    lobulation: float
    """worker/lesions/margin.py."""
    mesh_volume_ml: Size
    """IBSI RNU0."""
    surface_mm2: Size
    """IBSI C0JK."""
    surface_to_volume_per_mm: Size
    """IBSI 2PR5."""
    largest_diameter_mm: Size
    """IBSI L0JK."""
    major_axis_mm: Size
    """IBSI TDIC."""
    minor_axis_mm: Size
    """IBSI P9VJ."""
    least_axis_mm: Size
    """IBSI 7J51."""
    sphericity: Size
    """IBSI QCFX."""
    asphericity: float
    """IBSI 25C7."""
    compactness_1: Size
    """IBSI SKGS."""
    compactness_2: Size
    """IBSI BQWJ."""
    spherical_disproportion: Size
    """IBSI KRCK."""
    elongation: Size
    """IBSI Q3CK."""
    flatness: Size
    """IBSI N17B."""
    convex_volume_share: Size
    """IBSI R3ER."""
    convex_surface_ratio: Size
    """IBSI 7T7F."""
    location: LocationJson | None
    """Null if the lungs were not found."""
    long_axis: AxisJson
    short_axis: AxisJson


class LobeJson(JsonModel):
    """Lesions and tumour burden of one lobe."""

    lobe: LobeName
    side: Side
    lesions: Count
    burden_ml: Size
    lobe_ml: Size
    involvement: Size
    """Share of the lobe that is tumour."""


def _all_or_none(lobes: tuple[LobeJson, ...]) -> tuple[LobeJson, ...]:
    if len(lobes) not in (0, LOBE_COUNT):
        raise ValueError("all five lobes, or none")
    return lobes


LOBE_COUNT = 5
Lobes = Annotated[
    tuple[LobeJson, ...],
    AfterValidator(_all_or_none),
    Field(json_schema_extra={"anyOf": [{"maxItems": 0}, {"minItems": LOBE_COUNT, "maxItems": LOBE_COUNT}]}),
]


class ProposalJson(JsonModel):
    """A proposal of TNM 9 from the image alone: neither cT nor pT, no N, and of M only M1a."""

    t: Annotated[str, Field(pattern=r"^T(is|1mi|1a|1b|1c|2a|2b|3|4)(\([0-9]+\))?$")]
    m1a: bool
    basis: Annotated[tuple[str, ...], Field(min_length=1)]


class ExtentJson(JsonModel):
    """All lesions together; sides and shares are left out if the lungs were not found."""

    lesions: Count
    lesions_right: Count | None = None
    lesions_left: Count | None = None
    satellites: Count | None = None
    """Lesions in the lobe of the largest, besides it."""
    burden_ml: Size
    lungs_ml: Size | None = None
    burden_share: Share | None = None
    largest_distance_mm: Size
    """Between two centres; 0 for fewer than two lesions."""
    dispersion_mm: Size
    """Root mean square distance of the centres from the burden's, by volume."""
    by_lobe: Lobes
    """All five, or none if the lungs were not found."""
    proposal: ProposalJson | None
    """Null without a lesion."""


class ResamplingJson(JsonModel):
    """How an even stack was made of images at varying distances."""

    method: Literal["linear"]
    images: Annotated[int, Field(ge=1)]
    closest_mm: Size
    """Smallest distance of two neighbouring images."""
    widest_mm: Size
    slices: Annotated[int, Field(ge=1)]
    """Of the even stack, whose spacing is `spacing_mm`."""


class FindingsJson(JsonModel):
    """What LungSpread found in one CT series. Research only."""

    schema_version: Literal[5]
    notice: str
    job_key: JobKey
    study_uid: Uid
    series_uid: Uid
    frame_of_reference_uid: Uid
    slices: Annotated[int, Field(ge=1)]
    """Images of the series."""
    spacing_mm: Point
    """Slice, row, column."""
    resampling: ResamplingJson | None = None
    """Null if each slice of the analysed stack is an image."""
    model: ModelJson
    lungs_found: bool
    lesions: tuple[LesionJson, ...]
    """The largest first."""
    extent: ExtentJson
    comparison: ComparisonJson
    """With the patient's prior scans; without a prior, the statement why there is none."""
