"""Encodes the lesions as a DICOM Segmentation, one segment for each lesion, in the order of their numbers.

BINARY, without empty frames: a viewer places each frame by its Image Position (Patient), and counts and overlays in
OHIF 3.13 are exact (`tests/acceptance/test_viewer.py`). With empty frames, it would have slices x lesions frames.
"""

from __future__ import annotations

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from pydicom.uid import ExplicitVRLittleEndian

from models.segmenter import ModelCard
from worker.codes import lesions as codes
from worker.findings import Finding, Findings
from worker.lesions.lesion import Lesion
from worker.outputs.dicom.frames import refer_to_frames
from worker.outputs.dicom.header import algorithm_parameters, document_identity, remove_write_times
from worker.outputs.dicom.source import Source, copy_identity
from worker.product import PRODUCT, RESEARCH
from worker.uids import derived_uid

# Okabe and Ito 2008, "Color universal design": distinct for every kind of colour vision; without black. Then five of
# Tol's "muted" scheme (SRON/EPS/TN/09-002, 2021), so that twelve lesions have twelve colours.
COLOURS = (
    (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167),
    (136, 34, 85), (221, 204, 119), (68, 170, 153), (51, 34, 136), (153, 153, 51),
)  # fmt: skip
"""RGB by the number of a lesion, over and over."""


def encode_seg(findings: Findings, source: Source) -> hd.seg.Segmentation | None:
    """Return the SEG of all lesions, or None without lesions: an empty segment hangs viewers (OHIF#3991)."""
    if not findings.findings:
        return None
    seg = hd.seg.Segmentation(
        source_images=source.headers,
        pixel_array=labels_on_images(findings),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[
            _description(segment_number, finding, findings.card)
            for segment_number, finding in enumerate(findings.by_number, start=1)
        ],
        content_label="LUNG_LESIONS",
        content_description=RESEARCH,
        content_creator_name=f"{PRODUCT}^",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        omit_empty_frames=True,
        **document_identity(findings.job_key, "seg", findings.card, source, "Lung lesions SEG"),
    )
    refer_to_frames(seg, source.frames)
    copy_identity(seg, source)
    remove_write_times(seg)
    _derive_dimension_uid(seg, findings.job_key)
    return seg


def label_array(findings: Findings) -> NDArray[np.uint16]:
    """Return the segment number of each voxel on the grid of the volume, 0 for background; lesions never overlap."""
    labels = np.zeros(findings.volume.hu.shape, np.uint8 if len(findings.findings) < 256 else np.uint16)
    for segment_number, lesion in _segments(findings):
        box = tuple(slice(low, low + size) for low, size in zip(lesion.corner, lesion.voxels.shape, strict=True))
        labels[box][lesion.voxels] = segment_number
    return labels


def _segments(findings: Findings) -> list[tuple[int, Lesion]]:
    return list(enumerate((finding.lesion for finding in findings.by_number), start=1))


def labels_on_images(findings: Findings) -> NDArray[np.uint16]:
    """Return the segment number of each voxel of the source images: that of the nearest slice of the volume.

    A lesion between two images of a resampled stack is on the image nearest to its largest section.
    """
    labels, volume = label_array(findings), findings.volume
    if volume.places is None:
        return labels
    on_images = labels[volume.images]
    for segment_number, lesion in _segments(findings):
        if not lesion.voxels[np.isin(lesion.corner[0] + np.arange(len(lesion.voxels)), volume.images)].any():
            largest = lesion.corner[0] + int(lesion.voxels.sum((1, 2)).argmax())
            on_images[volume.image_at(largest)][labels[largest] == segment_number] = segment_number
    return on_images


def _description(segment_number: int, finding: Finding, card: ModelCard) -> hd.seg.SegmentDescription:
    lesion = finding.lesion
    return hd.seg.SegmentDescription(
        segment_number=segment_number,
        segment_label=f"Lesion {lesion.number} (research)",
        segmented_property_category=codes.ABNORMAL_STRUCTURE,
        segmented_property_type=codes.lesion_type(finding.measurement.long_axis.length_mm),
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name=card.name,
            family=codes.ARTIFICIAL_INTELLIGENCE,
            version=card.version,
            source=PRODUCT,
            parameters=algorithm_parameters(card),
        ),
        tracking_uid=lesion.tracking_uid,
        tracking_id=lesion.tracking_id,
        anatomic_regions=[codes.LUNG],
        display_color=hd.color.CIELabColor.from_rgb(*COLOURS[(lesion.number - 1) % len(COLOURS)]),
    )


def _derive_dimension_uid(seg: hd.seg.Segmentation, job_key: str) -> None:
    """Replace the random dimension organization UID of highdicom by a derived one."""
    uid = derived_uid(job_key, "seg", "dimensions")
    for item in (*seg.DimensionOrganizationSequence, *seg.DimensionIndexSequence):
        item.DimensionOrganizationUID = uid
