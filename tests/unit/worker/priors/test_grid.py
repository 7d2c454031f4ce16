from __future__ import annotations

import numpy as np
import pytest
from pydicom.dataset import Dataset

from worker.ct.frame_reference import frame_referred_to
from worker.frame import Frame
from worker.priors.grid import Grid

CT, ENHANCED = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.2.1"


def reference(sop_class_uid: str, numbers: object = None) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class_uid, "1.2.4"
    if numbers is not None:
        item.ReferencedFrameNumber = numbers
    return item


@pytest.mark.parametrize(
    ("item", "number"),
    [
        (reference(CT), None),
        (reference(CT, 1), None),
        (reference(ENHANCED, 7), 7),
        (reference(ENHANCED, [7, 8]), 7),
        (reference(ENHANCED), None),
    ],
    ids=["an image", "an image whose one frame is numbered", "a frame", "two frames", "all frames"],
)
def test_a_reference_is_to_an_image_or_to_a_frame(item: Dataset, number: int | None) -> None:
    assert frame_referred_to(item) == Frame(sop_class_uid=CT, sop_instance_uid="1.2.4", number=number)


def test_a_point_of_a_frame_is_in_its_slice() -> None:
    frames = [Frame(sop_class_uid=ENHANCED, sop_instance_uid="1.2.4", number=number) for number in (1, 2, 3)]
    grid = Grid(affine=np.diag([1.0, 1.0, 1.0, 1.0]), slices={frame: 9 - index for index, frame in enumerate(frames)})

    assert grid.to_mm(frames[2], 4.5, 2.5) == pytest.approx([7, 2, 4])
    assert grid.to_mm(Frame(sop_class_uid=ENHANCED, sop_instance_uid="1.2.4"), 4.5, 2.5) is None
