from __future__ import annotations

import pytest

from dicom_node.dicomweb.store_report import StoredPart, http_status, response_module

OK, FULL, OTHER = 0x0000, 0xA700, 0xC000


# PS3.18 table 10.5.3-1; 503 (8.5) where all may be stored later.
@pytest.mark.parametrize(
    ("statuses", "expected"),
    [([OK, OK], 200), ([OK, OTHER], 202), ([OK, FULL], 202), ([OTHER], 409), ([FULL, OTHER], 409), ([FULL, FULL], 503)],
)
def test_the_http_status_says_whether_all_some_or_none_were_stored(statuses: list[int], expected: int) -> None:
    assert http_status([StoredPart(status=status) for status in statuses]) == expected


def test_each_part_is_in_one_sequence_of_the_module() -> None:
    named = {"sop_class_uid": "1.2.840.10008.5.1.4.1.1.2", "sop_instance_uid": "1.2.3"}
    module = response_module(
        [StoredPart(status=OK, **named), StoredPart(status=0x0122, **named), StoredPart(status=OTHER)]
    )

    # PS3.18 table I.1-1; an empty Retrieve URL has a VR and no value.
    url = {"vr": "UR"}
    reference = {
        "00081150": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.2"]},
        "00081155": {"vr": "UI", "Value": ["1.2.3"]},
    }
    assert module.to_json_dict() == {
        "00081190": url,
        "00081198": {"vr": "SQ", "Value": [reference | {"00081197": {"vr": "US", "Value": [0x0122]}}]},
        "00081199": {"vr": "SQ", "Value": [reference | {"00081190": url}]},
        "0008119A": {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [0xC000]}}]},
    }
