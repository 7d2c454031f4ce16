import pytest

from dicom_node.network.tls import Certificate
from dicom_node.settings import Peer

FINGERPRINT = "AB:" * 31 + "CD"


@pytest.mark.parametrize(
    ("tls_names", "names", "expected"),
    [
        ((), {"10.1.2.3"}, True),
        ((), {"pacs.example"}, False),
        (("PACS.example",), {"pacs.example", "10.9.9.9"}, True),
        (("pacs.example",), {"10.1.2.3"}, False),  # with names, the host counts no more
        (("*.example",), {"*.example"}, True),
        (("*.example",), {"pacs.example"}, False),
        ((FINGERPRINT,), {"anything"}, True),
        ((FINGERPRINT.replace(":", "").lower(),), set(), True),
        (("2001:DB8:0:0:0:0:0:1",), {"2001:db8::1"}, True),
        ((FINGERPRINT.replace("AB", "AC"),), {"pacs.example"}, False),
    ],
)
def test_a_certificate_is_known_by_a_name_or_its_fingerprint(
    tls_names: tuple[str, ...], names: set[str], expected: bool
) -> None:
    peer = Peer(name="pacs", ae_title="PACS", host="10.1.2.3", port=2762, tls=True, tls_names=tls_names)
    certificate = Certificate(names=frozenset(names), fingerprint=FINGERPRINT.replace(":", "").lower())

    assert certificate.is_of(peer) is expected
