"""Findings of which everything is known, written by hand: every number differs from every other one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from models.lungs.lungs import Lobe, Lungs
from worker.anatomy import Place
from worker.density import Consistency, Density, Intensity
from worker.findings import Finding, Findings
from worker.shape import Shape
from worker.spread import LobeBurden, Spread
from worker.staging import TProposal
from worker.uncertainty import Interval, SizeIntervals, Uncertainty

CONSISTENCIES = tuple(Consistency)
PROPOSAL = TProposal(
    descriptor="T2b",
    basis=("48 mm: T2b by size", "separate nodule in the other lung: M1a, if it is tumour"),
    m1a=True,
)
LUNGS = Lungs(
    lobes=np.ones((2, 2, 2), np.uint8),
    affine=np.eye(4),
    fissure_mm=np.ones((2, 2, 2), np.float32),
    wall_mm=np.ones((2, 2, 2), np.float32),
    mediastinum_mm=np.ones((2, 2, 2), np.float32),
    carina_mm=(0.0, 0.0, 0.0),
)


def described(findings: Findings, proposal: TProposal | None = PROPOSAL) -> Findings:
    """Return the findings with everything that can be known of them."""
    return replace(
        findings,
        findings=tuple(_described(finding, order) for order, finding in enumerate(findings.findings)),
        lungs=LUNGS,
        spread=spread(len(findings.findings), proposal if findings.findings else None),
    )


def _described(finding: Finding, order: int) -> Finding:
    measured = finding.measurement
    measured = replace(
        measured, shape=_shape(order), intensity=_intensity(measured.mean_hu, order), density=_density(order)
    )
    return replace(finding, measurement=measured, place=_place(order), uncertainty=_uncertainty(finding))


def _shape(order: int) -> Shape:
    return Shape(
        mesh_volume_ml=1.0371 + order,
        surface_mm2=801.01 + order,
        surface_to_volume_per_mm=0.401234 + order,
        sphericity=0.801234 + order / 100,
        asphericity=0.248123 + order / 100,
        compactness_1=0.041234 + order / 100,
        compactness_2=0.561234 + order / 100,
        spherical_disproportion=1.201234 + order,
        largest_diameter_mm=31.021 + order,
        major_axis_mm=30.031 + order,
        minor_axis_mm=20.041 + order,
        least_axis_mm=10.051 + order,
        elongation=0.651234 + order / 100,
        flatness=0.331234 + order / 100,
        convex_volume_share=0.901234 + order / 100,
        convex_surface_ratio=1.301234 + order,
    )


def _intensity(mean_hu: float, order: int) -> Intensity:
    return Intensity(
        mean_hu=mean_hu,
        sd_hu=101.02 + order,
        skewness=-0.123456 - order,
        kurtosis=-1.234567 - order,
        minimum_hu=-901.5 - order,
        p10_hu=-811.25 - order,
        median_hu=-21.75 - order,
        p90_hu=81.25 + order,
        maximum_hu=301.5 + order,
    )


def _density(order: int) -> Density:
    return Density(
        consistency=CONSISTENCIES[order % 3],
        solid_fraction=0.701234 + order / 100,
        solid_long_axis_mm=8.061 + order,
        mass_g=1.5171 + order,
        calcified_ml=0.0181 + order,
        is_calcified=order % 2 == 0,
        cavity_ml=0.0281 + order,
        is_cavitated=order % 2 == 1,
        spiculation=0.191234 + order,
        lobulation=0.211234 + order,
    )


def _place(order: int) -> Place:
    return Place(
        lobe=Lobe(order % 5 + 1),
        fissure_mm=12.071 + order,
        is_lobe_sure=order % 2 == 0,
        wall_mm=3.081 + order,
        mediastinum_mm=44.091 + order,
        touches_wall=order % 2 == 1,
        touches_mediastinum=order % 3 == 0,
        carina_mm=55.011 + order if order % 2 == 0 else None,
    )


def _uncertainty(finding: Finding) -> Uncertainty:
    measured = finding.measurement
    return Uncertainty(
        volume_ml=Interval(low=measured.volume_ml * 0.8, high=measured.volume_ml * 1.3),
        long_axis_mm=Interval(low=measured.long_axis.length_mm - 1.234, high=measured.long_axis.length_mm + 2.345),
        short_axis_mm=Interval(low=measured.short_axis.length_mm - 0.987, high=measured.short_axis.length_mm + 1.876),
        another_reader=SizeIntervals(
            volume_ml=Interval(low=measured.volume_ml * 0.6, high=measured.volume_ml * 1.7),
            long_axis_mm=Interval(low=measured.long_axis.length_mm - 1.345, high=measured.long_axis.length_mm + 3.456),
            short_axis_mm=Interval(low=measured.short_axis.length_mm - 1.098, high=measured.short_axis.length_mm + 2.1),
        ),
    )


def spread(lesions: int, proposal: TProposal | None) -> Spread:
    """Return a spread over all five lobes."""
    return Spread(
        lesions=lesions,
        lesions_right=lesions - lesions // 2,
        lesions_left=lesions // 2,
        burden_ml=12.3451,
        lungs_ml=4567.8912,
        burden_share=0.002703,
        largest_distance_mm=123.456,
        dispersion_mm=45.678,
        satellites=0,
        by_lobe=tuple(
            LobeBurden(
                lobe=lobe,
                lesions=lobe % 2,
                burden_ml=0.1234 + lobe,
                lobe_ml=900.1234 + lobe,
                involvement=0.001234 + lobe / 100,
            )
            for lobe in Lobe
        ),
        proposal=proposal,
    )
