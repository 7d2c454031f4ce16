import pytest
from pydantic import ValidationError

from dicom_node.network.addresses import PeerAddresses, plain_address
from dicom_node.settings import Peer


def peer(name: str, host: str, *addresses: str) -> Peer:
    return Peer(name=name, ae_title=name.upper(), host=host, port=104, addresses=addresses)


PACS = peer("pacs", "10.1.2.3")
SITE = peer("site", "10.1.2.4", "10.7.0.0/16", "2001:db8::/32")
LOCAL = peer("local", "localhost")
NAT = peer("nat", "10.1.2.5", "any")


def opened(*peers: Peer) -> PeerAddresses:
    addresses = PeerAddresses(peers)
    addresses.open()
    addresses.close()
    return addresses


@pytest.mark.parametrize(
    ("who", "address", "expected"),
    [
        (PACS, "10.1.2.3", True),
        (PACS, "::ffff:10.1.2.3", True),
        (PACS, "10.1.2.4", False),
        (SITE, "10.7.255.9", True),
        (SITE, "2001:db8::9", True),
        (SITE, "10.1.2.4", False),
        (LOCAL, "127.0.0.1", True),
        (LOCAL, "127.0.0.2", False),
        (NAT, "203.0.113.7", True),
    ],
)
def test_a_peer_connects_from_its_own_addresses(who: Peer, address: str, expected: bool) -> None:
    assert opened(PACS, SITE, LOCAL, NAT).has(who, plain_address(address)) is expected


def test_strangers_may_connect_only_where_a_peer_has_any_address() -> None:
    stranger = plain_address("203.0.113.7")

    assert not opened(PACS, SITE).may_connect(stranger)
    assert opened(PACS, NAT).may_connect(stranger)
    assert not opened(PACS, NAT).is_known(stranger)


def test_a_name_that_cannot_be_resolved_is_one_line_and_no_address(caplog: pytest.LogCaptureFixture) -> None:
    nobody = peer("nobody", "no-such-host.invalid")

    addresses = opened(nobody)
    addresses.open()
    addresses.close()

    assert not addresses.has(nobody, plain_address("127.0.0.1"))
    assert [line for line in caplog.messages if "no-such-host.invalid" in line] == [
        "host name no-such-host.invalid cannot be resolved: nobody connects from it yet"
    ]


@pytest.mark.parametrize("mistake", ["10.1.2.300", "10.1.2.3/16", "10.1.2.3/40", "two words", "", "10.1.2"])
def test_a_mistaken_address_is_refused_at_start(mistake: str) -> None:
    with pytest.raises(ValidationError, match="an address, a network"):
        peer("pacs", "10.1.2.3", mistake)
