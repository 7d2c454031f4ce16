from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from dicom_node.errors import PacsRefused, PacsUnavailable
from dicom_node.network.stow import read_answer

UID = "1.2.3"


def module(sequence: str, uid: str = UID, **attributes: int) -> dict[str, Any]:
    """A Store Instances Response Module with one item (PS3.18 Annex I)."""
    tags = {"failure": "00081197", "warning": "00081196"}
    item: dict[str, Any] = {"00081155": {"vr": "UI", "Value": [uid]}}
    item |= {tags[name]: {"vr": "US", "Value": [value]} for name, value in attributes.items()}
    tag = {"stored": "00081199", "failed": "00081198"}[sequence]
    return {tag: {"vr": "SQ", "Value": [item]}}


def answer(status: int, body: object) -> PacsRefused | None:
    return read_answer("pacs", UID, status, body if isinstance(body, bytes) else json.dumps(body).encode())


@pytest.mark.parametrize("status", [200, 202])
def test_a_document_is_stored_if_the_answer_names_it(status: int) -> None:
    assert answer(status, module("stored")) is None
    assert answer(status, [module("stored")]) is None


def test_a_warning_is_logged_and_the_document_is_stored(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert answer(202, module("stored", warning=0xB006)) is None
    assert caplog.messages == ["instance 1.2.3: pacs stored it with warning 0xB006"]


@pytest.mark.parametrize(
    "body", [b"", b"<html>login</html>", b"[]", b"7", b"{}", module("stored", uid="1.2.4"), module("failed")]
)
@pytest.mark.parametrize("status", [200, 202, 409])
def test_a_document_that_the_answer_does_not_speak_of_is_sent_again(status: int, body: object) -> None:
    with pytest.raises(PacsUnavailable, match=f"HTTP status {status}, and no DICOM JSON on the instance"):
        answer(status, body)


# PS3.18 table I.2-2, as PS3.4 table B.2-1 for C-STORE.
@pytest.mark.parametrize("reason", [0xA700, 0xA7FF, 0x0110, 0x0213])
@pytest.mark.parametrize("status", [202, 409])
def test_a_reason_that_may_pass_is_retried(status: int, reason: int) -> None:
    with pytest.raises(PacsUnavailable, match=f"0x{reason:04X}") as unavailable:
        answer(status, module("failed", failure=reason))
    assert unavailable.value.status == reason


@pytest.mark.parametrize("reason", [0xA900, 0xC000, 0xC122, 0x0122, 0x0124])
def test_any_other_reason_is_final(reason: int) -> None:
    refused = answer(409, module("failed", failure=reason))

    assert refused is not None
    assert str(refused) == f"instance 1.2.3: refused with status 0x{reason:04X}"


@pytest.mark.parametrize("reason", [0x0111, 45070])
def test_a_document_that_the_peer_has_already_is_stored(reason: int) -> None:
    assert answer(409, module("failed", failure=reason)) is None


@pytest.mark.parametrize("status", [400, 406, 413, 415, 422])
def test_a_request_that_the_peer_does_not_understand_is_refused(status: int) -> None:
    assert str(answer(status, b"")) == f"instance 1.2.3: refused with HTTP status {status}"


@pytest.mark.parametrize("status", [204, 301, 302, 401, 403, 404, 408, 429, 500, 502, 503])
def test_any_other_http_status_is_retried(status: int) -> None:
    with pytest.raises(PacsUnavailable, match=f"pacs: STOW-RS: HTTP status {status}"):
        answer(status, module("stored"))
