"""Reasons for rejecting a series before analysis: one class per reason, a one-line message with UID, fact and limit.

    dicom_node.errors.SeriesRejected
    |-- UnreadableFile           not DICOM, or required UIDs are missing
    |-- TruncatedInstance        less pixel data than its header requires
    |-- UndecodablePixels        compressed pixels that cannot be decoded
    |-- MixedSeries              several series, studies or frames of reference
    |-- SeveralPatients          images that name different patients
    |-- DuplicateInstances       a SOP Instance UID more than once
    |-- NotCt                    another SOP class or modality
    |-- UndescribedFrames        a multi-frame image without a description of each frame
    |-- IncompleteConcatenation  a part of a multi-frame image in several instances is missing
    |-- Localizer                a scout
    |-- Projection               a MIP, MinIP or average of a slab
    |-- MixedReconstructions     several kernels or volumes, or acquisitions that alternate
    |-- NotHounsfield            no rescale to Hounsfield units
    |-- NoLungs                  a scan of another region
    |-- CutLungs                 another series of the study may show more of the lungs
    |-- TooManyVoxels            a volume that no scanner makes
    |-- TooFewSlices             too few to distinguish a gap from the spacing
    |-- MissingGeometry          no usable position, orientation, spacing or size
    |-- DifferingGeometry        slices that differ in orientation, spacing or size
    |-- NotAxial                 sagittal, coronal or oblique
    |-- DuplicatePositions       two slices at one position
    |-- MissingSlices            a gap
    |-- WideGaps                 a varying spacing with gaps that are too wide
    `-- ShiftedSlices            slices that are shifted sideways

The messages contain no patient data.
"""

from __future__ import annotations

from dicom_node.errors import SeriesRejected


class UnreadableFile(SeriesRejected):
    """A file is not a DICOM object, or lacks a required UID."""

    def __init__(self, series_uid: str, file: str, why: str) -> None:
        super().__init__(series_uid, f"{file} cannot be read: {why}")


class TruncatedInstance(SeriesRejected):
    """An instance ends before the end of its pixel data."""

    def __init__(self, series_uid: str, sop_instance_uid: str, fact: str) -> None:
        super().__init__(series_uid, f"instance {sop_instance_uid} is truncated: {fact}")


class UndecodablePixels(SeriesRejected):
    """The pixel data of an instance cannot be decoded."""

    def __init__(self, series_uid: str, sop_instance_uid: str, why: str) -> None:
        super().__init__(series_uid, f"pixel data of instance {sop_instance_uid} cannot be decoded: {why}")


class MixedSeries(SeriesRejected):
    """The instances do not all belong to one series in one frame of reference."""

    def __init__(self, series_uid: str, keyword: str, different: int) -> None:
        super().__init__(series_uid, f"instances of {different} different {keyword} are mixed, one is needed")


class SeveralPatients(SeriesRejected):
    """The instances do not all name one patient."""

    def __init__(self, series_uid: str, keyword: str, contradicting: int, instances: int) -> None:
        fact = f"{contradicting} of {instances} instances have another {keyword} than the first"
        super().__init__(series_uid, f"images of several patients are mixed: {fact}")


class DuplicateInstances(SeriesRejected):
    """A SOP Instance UID is in more than one file."""

    def __init__(self, series_uid: str, sop_instance_uid: str, files: int) -> None:
        super().__init__(series_uid, f"instance {sop_instance_uid} is present {files} times, once is needed")


class NotCt(SeriesRejected):
    """An instance is not a CT image."""

    def __init__(self, series_uid: str, sop_instance_uid: str, fact: str) -> None:
        super().__init__(series_uid, f"instance {sop_instance_uid} is not a CT image: {fact}")


class UndescribedFrames(SeriesRejected):
    """An instance has several frames, and does not describe each of them."""

    def __init__(self, series_uid: str, sop_instance_uid: str, fact: str) -> None:
        super().__init__(series_uid, f"instance {sop_instance_uid} does not describe its frames: {fact}")


class IncompleteConcatenation(SeriesRejected):
    """A multi-frame image was stored in several instances, and some of them are missing."""

    def __init__(self, series_uid: str, concatenation_uid: str, parts: int, total: int) -> None:
        super().__init__(
            series_uid, f"{parts} of the {total} instances of concatenation {concatenation_uid} are present"
        )


class Localizer(SeriesRejected):
    """An instance is a localizer (scout, topogram)."""

    def __init__(self, series_uid: str, sop_instance_uid: str) -> None:
        super().__init__(series_uid, f"instance {sop_instance_uid} is a localizer (scout), axial slices are needed")


class Projection(SeriesRejected):
    """An instance is a projection of a slab, not a slice."""

    def __init__(self, series_uid: str, sop_instance_uid: str, kind: str) -> None:
        super().__init__(series_uid, f"instance {sop_instance_uid} is a projection ({kind}), slices are needed")


class MixedReconstructions(SeriesRejected):
    """The series holds several reconstructions or acquisitions."""

    def __init__(self, series_uid: str, keyword: str, different: int) -> None:
        reason = f"its slices are of several reconstructions or acquisitions: {different} different {keyword}"
        super().__init__(series_uid, reason)


class NotHounsfield(SeriesRejected):
    """The stored values of an instance cannot be converted to Hounsfield units."""

    def __init__(self, series_uid: str, sop_instance_uid: str, fact: str) -> None:
        super().__init__(series_uid, f"instance {sop_instance_uid} has no Hounsfield units: {fact}")


class NoLungs(SeriesRejected):
    """The scan shows no lungs."""

    def __init__(self, series_uid: str, section_cm2: float, at_least: float) -> None:
        reason = f"no lungs are found: the largest section of lung is {section_cm2:.0f} cm2 (at least {at_least:g})"
        super().__init__(series_uid, reason)


class CutLungs(SeriesRejected):
    """The scan ends within the lungs; it is analysed if no series of the study shows more."""

    def __init__(self, series_uid: str, lungs_ml: float) -> None:
        super().__init__(series_uid, f"the scan ends within the lungs, of which it shows {lungs_ml:.0f} ml")
        self.lungs_ml = lungs_ml


class TooManyVoxels(SeriesRejected):
    """The images are too many or too large together."""

    def __init__(self, series_uid: str, voxels: int, most: int) -> None:
        super().__init__(series_uid, f"its images have {voxels} pixels together (limit {most})")


class TooFewSlices(SeriesRejected):
    """The series has too few slices."""

    def __init__(self, series_uid: str, slices: int, at_least: int) -> None:
        super().__init__(series_uid, f"{slices} slice(s), at least {at_least} are needed to detect gaps")


class MissingGeometry(SeriesRejected):
    """An instance has no usable position, orientation, spacing or size."""

    def __init__(self, series_uid: str, sop_instance_uid: str, fact: str) -> None:
        super().__init__(series_uid, f"instance {sop_instance_uid} cannot be placed in space: {fact}")


class DifferingGeometry(SeriesRejected):
    """An instance differs from the others in orientation, spacing or size."""

    def __init__(self, series_uid: str, sop_instance_uid: str, keyword: str, limit: str) -> None:
        reason = f"{keyword} of instance {sop_instance_uid} differs from that of the first slice (limit {limit})"
        super().__init__(series_uid, reason)


class NotAxial(SeriesRejected):
    """The slices are not axial."""

    def __init__(self, series_uid: str, fact: str, angle_deg: float, limit_deg: float) -> None:
        super().__init__(series_uid, f"not an axial series: {fact} {angle_deg:.1f} degrees (limit {limit_deg:g})")


class DuplicatePositions(SeriesRejected):
    """Two slices have the same position."""

    def __init__(self, series_uid: str, pair: tuple[str, str], pairs: int, least_mm: float) -> None:
        reason = (
            f"{pairs} pair(s) of slices at one position (closer than {least_mm:g} mm), "
            f"the first: instances {pair[0]} and {pair[1]}"
        )
        super().__init__(series_uid, reason)


class MissingSlices(SeriesRejected):
    """A gap between two slices is wider than their spacing."""

    def __init__(self, series_uid: str, *, gap_mm: float, spacing_mm: float, gaps: int, pair: tuple[str, str]) -> None:
        reason = (
            f"{gaps} gap(s) in the stack, the widest of {gap_mm:.2f} mm where slices are {spacing_mm:.2f} mm apart, "
            f"between instances {pair[0]} and {pair[1]}"
        )
        super().__init__(series_uid, reason)


class WideGaps(SeriesRejected):
    """The spacing varies, and gaps are so wide that lesions are not seen."""

    def __init__(self, series_uid: str, *, gap_mm: float, limit_mm: float, gaps: int, pair: tuple[str, str]) -> None:
        reason = (
            f"{gaps} wide gap(s) in a stack of varying spacing, the widest of {gap_mm:.2f} mm (limit {limit_mm:g} mm), "
            f"between instances {pair[0]} and {pair[1]}"
        )
        super().__init__(series_uid, reason)


class ShiftedSlices(SeriesRejected):
    """The slices do not form a straight stack."""

    def __init__(self, series_uid: str, sop_instance_uid: str, aside_mm: float, limit_mm: float) -> None:
        reason = (
            f"instance {sop_instance_uid} is shifted sideways: it is {aside_mm:.2f} mm beside the straight line from "
            f"the first slice to the last (limit {limit_mm:.2f} mm)"
        )
        super().__init__(series_uid, reason)
