"""Tables of services, presentation contexts, statuses and query keys."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydicom.datadict import dictionary_description
from pydicom.dataset import Dataset
from pydicom.uid import UID

from dicom_node.delivery.commitment import CLASS_INSTANCE_CONFLICT, NO_SUCH_INSTANCE, PROCESSING_FAILURE
from dicom_node.identifiers import SEGMENTATIONS
from dicom_node.network.contexts import ACCEPTED, REQUESTED
from dicom_node.network.status import ANSWERS, RETRIEVED, RETRYABLE, STORED, SUCCESS
from dicom_node.priors.patient_identity import PatientIdentity
from dicom_node.priors.query import FoundSeries, image_query, series_query, study_query
from dicom_node.transfer_syntaxes import ALL, COMPRESSED, LOSSY, UNCOMPRESSED, name_of
from tests.conformance.markdown import table


def services() -> str:
    """Return the overview: each SOP class and the roles in which the node supports it."""
    used: dict[str, set[str]] = {}
    for accepted in ACCEPTED:
        for sop_class in accepted.sop_classes:
            roles = used.setdefault(f"{accepted.service} | {_class(sop_class)}", set())
            roles |= {"SCP", "SCU"} if accepted.has_both_roles else {"SCP"}
    for requested in REQUESTED:
        for sop_class in requested.sop_classes:
            used.setdefault(f"{requested.service} | {_class(sop_class)}", set()).add(requested.role)
    rows = [[name, _yes("SCU" in roles), _yes("SCP" in roles)] for name, roles in sorted(used.items())]
    return table(["service", "SOP class", "UID", "SCU", "SCP"], rows)


def transfer_syntaxes() -> str:
    """Return every transfer syntax of images."""
    rows = [[name_of(syntax), str(syntax), _compression(syntax)] for syntax in ALL]
    return table(["transfer syntax", "UID", "pixel data"], rows)


def accepted_contexts() -> str:
    """Return the contexts that the SCP accepts, by the settings of the peer."""
    rows = [
        [_class(sop_class), _syntaxes(accepted.transfer_syntaxes), role, _any_of(accepted.permissions)]
        for accepted in ACCEPTED
        for sop_class in accepted.sop_classes
        for role in ["SCP; SCU if selected" if accepted.has_both_roles else "SCP"]
    ]
    return table(["abstract syntax", "UID", "transfer syntaxes", "our role", "of a peer with"], rows)


def proposed_contexts() -> str:
    """Return the contexts that the SCU proposes, by the service."""
    rows = [
        [
            requested.operation,
            _class(sop_class),
            _syntaxes(requested.transfer_syntaxes),
            requested.role,
            requested.peers,
        ]
        for requested in REQUESTED
        for sop_class in requested.sop_classes
    ]
    return table(["operation", "abstract syntax", "UID", "transfer syntaxes", "our role", "to a peer with"], rows)


def statuses_answered() -> str:
    """Return the statuses that the SCP answers."""
    rows = [[operation, _hex(status), when] for operation, each in ANSWERS.items() for status, when in each.items()]
    return table(["operation", "status", "when"], rows)


def statuses_received() -> str:
    """Return what the SCU does with a peer's status."""
    rows = [
        ["C-STORE", _ranges(STORED), "stored"],
        ["C-STORE", _ranges(RETRYABLE), "sent again after a pause"],
        ["C-STORE", "any other", "refused: the document is not sent again, its job is FAILED"],
        ["C-MOVE, C-GET", _ranges(RETRIEVED), "retrieved, as far as the numbers of sub-operations say"],
        ["C-MOVE, C-GET", "any other", "the study counts as not fetched"],
        ["C-ECHO, C-FIND, N-ACTION, N-EVENT-REPORT", _hex(SUCCESS), "done"],
        ["C-ECHO, C-FIND, N-ACTION, N-EVENT-REPORT", "any other final status", "the peer counts as unavailable"],
    ]
    return table(["operation", "status", "meaning"], rows)


def failure_reasons() -> str:
    """Return the failure reasons of our storage commitment reports."""
    rows = [
        [_hex(NO_SUCH_INSTANCE), "the instance was not received, or is no longer on disk"],
        [_hex(CLASS_INSTANCE_CONFLICT), "it is of another SOP class"],
        [_hex(PROCESSING_FAILURE), "the SHA-256 of its file is not the one recorded when it was received"],
    ]
    return table(["failure reason", "when"], rows)


def query_keys() -> str:
    """Return the keys of a query by level."""
    series = FoundSeries(study_uid="1.2", series_uid="1.2.3", modality="CT", instances=1, is_relevant=True)
    queries = (study_query(PatientIdentity(patient_id="A")), series_query("1.2"), image_query(series))
    rows = [[str(query.QueryRetrieveLevel), _keys(query, empty=False), _keys(query, empty=True)] for query in queries]
    return table(["level", "matching keys (single value)", "return keys"], rows)


def _keys(query: Dataset, *, empty: bool) -> str:
    elements = [element for element in query if element.keyword != "QueryRetrieveLevel" and element.is_empty == empty]
    return ", ".join(f"{dictionary_description(element.tag)} {element.tag}" for element in elements)


def _class(sop_class_uid: str) -> str:
    uid = UID(sop_class_uid)
    name = uid.name if uid.type else f"{SEGMENTATIONS[uid]} Storage"  # pydicom 3.0 does not know label maps
    return f"{name} | {uid}"


def _syntaxes(syntaxes: Sequence[str]) -> str:
    if set(syntaxes) == set(ALL):
        return "all of section 5.1"
    return "all uncompressed ones" if set(syntaxes) == set(UNCOMPRESSED) else ", ".join(map(name_of, syntaxes))


def _compression(syntax: str) -> str:
    if syntax not in COMPRESSED:
        return "native"
    return "lossy" if syntax in LOSSY else "lossless"


def _any_of(permissions: Sequence[str]) -> str:
    return " or ".join(f"`{permission}`" for permission in permissions) or "any"


def _yes(is_true: bool) -> str:
    return "yes" if is_true else "no"


def _hex(status: int) -> str:
    return f"0x{status:04X}"


def _ranges(statuses: Iterable[int]) -> str:
    """Return statuses as text, consecutive ones as a range."""
    runs: list[list[int]] = []
    for status in sorted(statuses):
        if runs and status == runs[-1][-1] + 1:
            runs[-1].append(status)
        else:
            runs.append([status])
    return ", ".join(_hex(run[0]) if len(run) == 1 else f"{_hex(run[0])} to {_hex(run[-1])}" for run in runs)
