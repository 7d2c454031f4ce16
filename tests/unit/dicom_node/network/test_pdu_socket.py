import struct

import pytest

from dicom_node.network.pdu_socket import MAX_VALUES, require_few_values


def body(values: int, length: int = 10) -> bytes:
    """Presentation data values of a P-DATA-TF (PS3.8 table 9-23)."""
    return b"".join(struct.pack(">IBB", length, 1, 0) + bytes(length - 2) for _ in range(values))


@pytest.mark.parametrize("values", [1, 2, MAX_VALUES])
def test_a_pdu_of_few_values_is_taken(values: int) -> None:
    require_few_values(body(values))


@pytest.mark.parametrize("sent", [body(MAX_VALUES + 1), body(100_000, 2), bytes(1000)])
def test_a_pdu_of_many_values_is_not(sent: bytes) -> None:
    with pytest.raises(OSError, match="128 presentation data values"):
        require_few_values(sent)


def test_a_damaged_length_ends_the_count() -> None:
    require_few_values(b"\xff" * 1000)
