import pytest
from pynetdicom.dimse_messages import C_STORE_RSP
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import encode

from dicom_node.network.dimse import store_response


@pytest.mark.parametrize("uid", ["1.2.3.4", "1.2.3.45", "2.25." + "9" * 59])
@pytest.mark.parametrize("status", [0x0000, 0xA700, 0xC000])
def test_a_store_response_has_the_bytes_that_pynetdicom_makes(uid: str, status: int) -> None:
    response = C_STORE()
    response.MessageID = response.MessageIDBeingRespondedTo = 65535
    response.AffectedSOPClassUID, response.AffectedSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", uid
    response.Status = status
    message = C_STORE_RSP()
    message.primitive_to_message(response)

    assert store_response(response) == encode(message.command_set, True, True)
