"""The audit messages of what happens in a node (PS3.15 A.5.3)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from enum import Enum

from dicom_node.audit import codes
from dicom_node.audit.codes import Code
from dicom_node.audit.message import Action, AuditedObject, AuditMessage, ObjectKind, Outcome, Participant
from dicom_node.audit.queries import AuditedQuery
from dicom_node.audit.transfers import Tally, Transfer

_IMPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2"


class Refusal(Enum):
    """What was refused: event, and type of the event."""

    NODE = (codes.SECURITY_ALERT, codes.NODE_AUTHENTICATION)
    """A connection or association of an application that is not known, or not from its address."""
    LOGIN = (codes.USER_AUTHENTICATION, codes.LOGIN)
    """A web request whose token is missing or wrong."""
    FUNCTION = (codes.SECURITY_ALERT, codes.USE_OF_RESTRICTED_FUNCTION)
    """A request of a known application that it may not make."""


def application_activity(local: Participant, event_type: Code, now: float) -> AuditMessage:
    """The node starts or stops (A.5.3.1)."""
    return AuditMessage(
        event=codes.APPLICATION_ACTIVITY,
        event_type=event_type,
        action=Action.EXECUTE,
        happened_at=now,
        participants=(replace(local, role=codes.APPLICATION),),
    )


def begin_transferring(transfer: Transfer, tally: Tally) -> AuditMessage:
    """The first instance of a study comes, or is to be sent (A.5.3.3)."""
    return AuditMessage(
        event=codes.BEGIN_TRANSFERRING,
        action=Action.EXECUTE,
        happened_at=tally.last_at,
        participants=_from_to(transfer.source, transfer.destination),
        objects=(*_studies(transfer.study_uid), *_patients(tally.patient_id)),
    )


def instances_transferred(transfer: Transfer, tally: Tally, *, is_kept: bool) -> Iterator[AuditMessage]:
    """Instances of a study were transferred, and others were refused (A.5.3.7): a message for each.

    is_kept: whether we received them and keep them.
    """
    message = AuditMessage(
        event=codes.INSTANCES_TRANSFERRED,
        action=Action.CREATE if is_kept else Action.READ,
        happened_at=tally.last_at,
        participants=_from_to(transfer.source, transfer.destination),
        objects=(*_studies(transfer.study_uid, tally.transferred), *_patients(tally.patient_id)),
    )
    if tally.transferred:
        yield message
    if tally.refused:
        reasons = ", ".join(f"{count} times {reason}" for reason, count in tally.refused.items())
        yield replace(
            message,
            outcome=Outcome.SERIOUS_FAILURE,
            outcome_description=reasons,
            objects=(*_studies(transfer.study_uid), *_patients(tally.patient_id)),
        )


def query(source: Participant, destination: Participant, asked: AuditedQuery, failure: str, now: float) -> AuditMessage:
    """A query was sent or received (A.5.3.10). failure: why it was not answered; empty: it was."""
    id_type, object_id = (codes.SOP_CLASS_UID, asked.sop_class_uid) if asked.sop_class_uid else (codes.URI, asked.url)
    details = {"TransferSyntax": _IMPLICIT_LITTLE_ENDIAN} if asked.sop_class_uid else {}
    audited = AuditedObject(
        kind=ObjectKind.STUDY_OR_QUERY, id_type=id_type, object_id=object_id, query=asked.content, details=details
    )
    return AuditMessage(
        event=codes.QUERY,
        action=Action.EXECUTE,
        happened_at=now,
        participants=_from_to(replace(source, is_requestor=True), destination),
        outcome=Outcome.MINOR_FAILURE if failure else Outcome.SUCCESS,
        outcome_description=failure,
        objects=(audited,),
    )


def study_deleted(local: Participant, study_uid: str, why: str, patient_id: str, now: float) -> AuditMessage:
    """Received instances or results of a study were deleted (A.5.3.8)."""
    return AuditMessage(
        event=codes.STUDY_DELETED,
        action=Action.DELETE,
        happened_at=now,
        participants=(replace(local, is_requestor=True),),
        outcome_description=why,
        objects=(*_studies(study_uid), *_patients(patient_id)),
    )


def refused(kind: Refusal, by: Participant, local: Participant, why: str, now: float) -> AuditMessage:
    """Something was refused, without effect: a security alert (A.5.3.11) or a failed login (A.5.3.12)."""
    event, event_type = kind.value
    subject = AuditedObject(
        kind=ObjectKind.SECURITY_RESOURCE,
        id_type=codes.NODE_ID,
        object_id=by.address or by.user_id,
        details={"Alert Description": why},
    )
    return AuditMessage(
        event=event,
        event_type=event_type,
        action=Action.EXECUTE,
        happened_at=now,
        participants=(replace(by, is_requestor=True), local),
        outcome=Outcome.MINOR_FAILURE,
        outcome_description=why,
        objects=(subject,) if event is codes.SECURITY_ALERT else (),
    )


def logged_in(user: Participant, local: Participant, now: float) -> AuditMessage:
    """An application has shown its token for the first time in a while (A.5.3.12)."""
    return AuditMessage(
        event=codes.USER_AUTHENTICATION,
        event_type=codes.LOGIN,
        action=Action.EXECUTE,
        happened_at=now,
        participants=(replace(user, is_requestor=True), local),
    )


def _from_to(source: Participant, destination: Participant) -> tuple[Participant, Participant]:
    return replace(source, role=codes.SOURCE), replace(destination, role=codes.DESTINATION)


def _studies(study_uid: str, instances: Mapping[str, int] | None = None) -> Iterator[AuditedObject]:
    if study_uid:
        yield AuditedObject(
            kind=ObjectKind.STUDY_OR_QUERY,
            id_type=codes.STUDY_INSTANCE_UID,
            object_id=study_uid,
            instances=instances or {},
        )


def _patients(patient_id: str) -> Iterator[AuditedObject]:
    if patient_id:
        yield AuditedObject(kind=ObjectKind.PATIENT, id_type=codes.PATIENT_NUMBER, object_id=patient_id)
