import socket
from contextlib import ExitStack

import pytest

from dicom_node.network import admission as admission_module
from dicom_node.network.addresses import PeerAddresses
from dicom_node.network.admission import Admission, Transport
from dicom_node.network.association_request import AssociationRequest, Rejection, Requestor
from dicom_node.network.tls import Certificate
from dicom_node.settings import NodeSettings, Peer

PACS = Peer(name="pacs", ae_title="PACS", host="10.1.2.3", port=104)
CT = Peer(name="ct", ae_title="CT", host="10.1.2.4", port=104)
ROAMING = Peer(name="roaming", ae_title="ROAMING", host="10.1.2.5", port=104, addresses=("any",))
SECURE = Peer(name="secure", ae_title="SECURE", host="10.1.2.6", port=2762, tls=True, tls_names=("pacs.example",))


def admission(*peers: Peer, **settings: int) -> Admission:
    addresses = PeerAddresses(peers)
    addresses.open()
    node = NodeSettings(ae_title="NODE").model_copy(update=settings)
    return Admission(node=node, peers=peers, addresses=addresses)


def request(calling: str, called: str = "NODE") -> AssociationRequest:
    return AssociationRequest(pdu=bytearray(), called_ae_title=called, calling_ae_title=calling)


def reason(judged: Requestor | Rejection) -> tuple[int, str]:
    assert isinstance(judged, Rejection)
    return judged.reason, judged.why


def certificate(*names: str) -> Certificate:
    return Certificate(names=frozenset(names), fingerprint="ab" * 32)


# -- who may associate --


def test_a_peer_at_its_address_may_associate() -> None:
    judged = admission(PACS, CT).judge(request("PACS"), Transport(address="10.1.2.3"))

    assert isinstance(judged, Requestor)
    assert judged.peers == (PACS,)


@pytest.mark.parametrize(
    ("calling", "called", "address", "expected"),
    [
        ("PACS", "OTHER", "10.1.2.3", (7, "the called AE title is not ours")),
        ("STRANGER", "NODE", "10.1.2.3", (3, "no peer has its AE title")),
        ("PACS", "NODE", "10.1.2.4", (3, "the peer with its AE title has another address")),
        ("SECURE", "NODE", "10.1.2.6", (3, "the peer with its AE title needs TLS")),
    ],
)
def test_anybody_else_is_rejected_with_the_reason(
    calling: str, called: str, address: str, expected: tuple[int, str]
) -> None:
    judged = admission(PACS, CT, SECURE).judge(request(calling, called), Transport(address=address))

    assert reason(judged) == expected


def test_of_peers_with_one_ae_title_those_at_the_address_count() -> None:
    twin = CT.model_copy(update={"name": "twin", "ae_title": "PACS"})

    judged = admission(PACS, twin).judge(request("PACS"), Transport(address="10.1.2.4"))

    assert isinstance(judged, Requestor)
    assert judged.peers == (twin,)


@pytest.mark.parametrize(
    ("shown", "is_accepted"),
    [(certificate("pacs.example", "10.9.9.9"), True), (certificate("10.1.2.6", "other.example"), False), (None, False)],
)
def test_a_peer_with_tls_shows_its_own_certificate(shown: Certificate | None, is_accepted: bool) -> None:
    transport = Transport(address="10.1.2.6", tls="TLSv1.3", certificate=shown)

    assert isinstance(admission(SECURE).judge(request("SECURE"), transport), Requestor) is is_accepted


# -- slots --


def take(opened: ExitStack, door: Admission, address: str, count: int) -> int:
    """Take slots, and return how many there were."""
    return sum(opened.enter_context(door.slot(address)) is None for _ in range(count))


def test_one_address_leaves_a_quarter_of_the_slots_to_others() -> None:
    door = admission(PACS, CT, max_associations=8)
    with ExitStack() as opened:
        assert take(opened, door, "10.1.2.3", 20) == 6
        assert take(opened, door, "10.1.2.4", 20) == 2


def test_strangers_leave_half_of_the_slots_to_peers() -> None:
    door = admission(PACS, ROAMING, max_associations=8)
    with ExitStack() as opened:
        assert sum(take(opened, door, f"203.0.113.{number}", 1) for number in range(20)) == 4
        assert take(opened, door, "10.1.2.3", 20) == 4


def test_a_slot_is_free_again_at_once() -> None:
    door = admission(PACS, max_associations=1)
    for _ in range(3):
        with door.slot("10.1.2.3") as rejection:
            assert rejection is None
            with door.slot("10.1.2.3") as second:
                assert second is not None
                assert (second.result, second.source, second.reason) == (2, 3, 2)  # PS3.8 table 9-21


# -- connections that wait --


@pytest.fixture
def few_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission_module, "MOST_WAITING", 4)


def is_open(connection: socket.socket) -> bool:
    connection.settimeout(0.001)
    try:
        return connection.recv(1) != b""
    except TimeoutError:
        return True


@pytest.mark.usefixtures("few_wait")
@pytest.mark.parametrize(
    ("first", "then", "closed"),
    [
        (["10.1.2.4"] * 3 + ["10.1.2.3"], ["10.1.2.3"], [0]),  # the oldest of the address with most
        (["10.1.2.3"] * 3 + ["203.0.113.7"], ["10.1.2.4"], [3]),  # strangers first
        (["10.1.2.3", "10.1.2.4"], ["10.1.2.3"] * 2, []),
    ],
)
def test_when_too_many_wait_one_that_nobody_misses_is_closed(
    first: list[str], then: list[str], closed: list[int]
) -> None:
    door = admission(PACS, CT, ROAMING)
    with ExitStack() as stack:
        pairs = [socket.socketpair() for _ in [*first, *then]]
        for (ours, theirs), address in zip(pairs, [*first, *then], strict=True):
            stack.enter_context(ours)
            stack.enter_context(theirs)
            stack.enter_context(door.waiting(ours, address))

        assert [number for number, (_, theirs) in enumerate(pairs) if not is_open(theirs)] == closed
