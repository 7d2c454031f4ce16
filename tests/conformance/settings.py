"""Tables of association parameters, and of the settings of node, peers and audit trail."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pynetdicom import PYNETDICOM_UID_PREFIX

from dicom_node.delivery.commitment import MAX_OPEN_REQUESTS, MAX_REQUESTED
from dicom_node.delivery.commitment_reports import MAX_ATTEMPTS
from dicom_node.delivery.delivery import MAX_REFERENCES
from dicom_node.network.admission import MOST_WAITING
from dicom_node.network.contexts import MAX_CONTEXTS
from dicom_node.network.dimse import MAX_WAITING_MESSAGES
from dicom_node.network.message_buffers import MAX_COMMAND_BYTES, MAX_MEMORY_BYTES
from dicom_node.network.pdu_socket import MAX_PDU_BYTES, MAX_REQUEST_BYTES, MAX_VALUES
from dicom_node.network.scu import MIN_BYTES_PER_S
from dicom_node.network.status import MAXIMUM_PDU_LENGTH
from dicom_node.priors.query import MIN_SLICES
from dicom_node.priors.source import COOLDOWN_S
from dicom_node.settings import NodeSettings
from tests.conformance.markdown import table

_SHIPPED = Path(__file__).parents[2] / "lungspread.toml"


def association_parameters() -> str:
    """Return the parameters and limits of associations, with their defaults."""
    node = NodeSettings()
    rows = [
        ["Application Context Name", "1.2.840.10008.3.1.1.1"],
        ["Implementation Class UID", f"that of pynetdicom: {PYNETDICOM_UID_PREFIX} and its version"],
        ["Implementation Version Name", "PYNETDICOM_ and its version"],
        ["Maximum PDU length that we announce", f"{MAXIMUM_PDU_LENGTH} bytes"],
        ["Longest PDU that we take", f"{MAX_PDU_BYTES} bytes; an association request {MAX_REQUEST_BYTES} bytes"],
        ["Presentation data values in one PDU", f"at most {MAX_VALUES}"],
        ["Longest command set", f"{MAX_COMMAND_BYTES} bytes"],
        ["Longest data set of a C-STORE", f"{node.max_instance_mb} MiB (`node.max_instance_mb`)"],
        ["Longest data set of other messages", f"{MAX_MEMORY_BYTES} bytes"],
        ["Messages of an association that wait", f"at most {MAX_WAITING_MESSAGES}"],
        ["Associations accepted at once", f"{node.max_associations} (`node.max_associations`)"],
        ["The same from one address", f"three quarters of them: {node.max_associations * 3 // 4}"],
        ["Connections that wait for their association request", f"at most {MOST_WAITING}"],
        [
            "Associations requested at once",
            "one for each destination, one for priors, one for the commitment reports of each sender",
        ],
        ["Presentation contexts proposed", f"at most {MAX_CONTEXTS}"],
        ["Asynchronous operations", "not negotiated: one at a time"],
        ["User identity, SOP class extended negotiation", "not negotiated"],
        [
            "Time limit of the association request of a peer",
            f"{node.association_timeout_s:g} s from its connection on (`node.association_timeout_s`)",
        ],
        ["Time limit of our connection and request", f"{node.connect_timeout_s:g} s (`node.connect_timeout_s`)"],
        ["Time limit of silence, and of a response", f"{node.network_timeout_s:g} s (`node.network_timeout_s`)"],
        ["The same for the response to our C-STORE", f"plus 1 s per {MIN_BYTES_PER_S} bytes of the file"],
        ["Instances of one storage commitment request", f"at most {MAX_REFERENCES}"],
        [
            "The same of a peer",
            f"at most {MAX_REQUESTED}; at most {MAX_OPEN_REQUESTS} of its requests wait for reports",
        ],
        ["Attempts to send a storage commitment report", f"{MAX_ATTEMPTS}"],
        ["Fewest instances of a CT series that is fetched as a prior", f"{MIN_SLICES}"],
        ["Pause of queries after a peer failed", f"{COOLDOWN_S:g} s"],
    ]
    return table(["parameter", "value"], rows)


def node_settings() -> str:
    """Return the settings of the node with their defaults."""
    return table(["`node.`", "default", "meaning"], _settings("[node]"))


def peer_settings() -> str:
    """Return the settings of a peer; those without a default are examples."""
    return table(["`peers.`", "default, or example", "meaning"], _settings("#[[peers]]"))


def audit_settings() -> str:
    """Return the settings of the audit trail with their defaults."""
    return table(["`audit.`", "default", "meaning"], _settings("[audit]"))


def _settings(heading: str) -> Iterator[list[str]]:
    """Yield name, default and comment of each line of lungspread.toml below a heading."""
    block = _SHIPPED.read_text(encoding="utf-8").split(f"{heading}\n", 1)[1].split("\n\n", 1)[0]
    for line in block.splitlines():
        name, _, rest = line.lstrip("#").partition(" = ")
        default, _, comment = rest.partition("#")
        yield [f"`{name}`", f"`{default.strip()}`", comment.strip()]
