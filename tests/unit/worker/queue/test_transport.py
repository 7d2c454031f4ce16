from __future__ import annotations

import base64
import json
import zlib
from typing import Any

import pytest

from dicom_node.jobs import TASK
from worker.queue.transport import MAX_BODY, MalformedMessage, own_message

KEY = "a" * 64


def encoded(content: object) -> str:
    return base64.b64encode(json.dumps(content).encode()).decode()


def message(**changes: object) -> dict[str, Any]:
    """A message as kombu writes it for Celery's protocol 2."""
    return {
        "body": encoded([[], {"job_key": KEY, "study_uid": "1.2", "schema_version": 1}, {"callbacks": None}]),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"lang": "py", "task": TASK, "id": "1", "eta": None, "ignore_result": True},
        "properties": {
            "correlation_id": "1",
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": "lungspread"},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": "b",
        },
        **changes,
    }


def test_of_our_message_the_job_key_alone_is_delivered() -> None:
    own = own_message(message())

    assert json.loads(base64.b64decode(own["body"])) == [[], {"job_key": KEY}, {}]
    assert own["headers"] | {"id": ""} == {"lang": "py", "task": TASK, "id": ""}


@pytest.mark.parametrize(
    "malformed",
    [
        None,
        [],
        "text",
        {},
        message(headers=None),
        message(properties={}),
        message(properties={"delivery_tag": "b", "delivery_info": "x"}),
        message(headers={"task": "celery.backend_cleanup", "id": "1"}),
        message(headers={"task": ["unhashable"], "id": "1"}),
        message(headers={"task": TASK, "compression": "application/x-gzip"}, body=zlib.compress(b"0" * 10_000)),
        message(**{"content-type": "application/x-python-serialize"}),
        message(body=None),
        message(body="not base64"),
        message(body=base64.b64encode(b"not JSON").decode()),
        message(body=base64.b64encode(b"[" * 40_000).decode()),
        message(body="A" * (MAX_BODY + 4)),
        message(body=encoded({"job_key": KEY})),
        message(body=encoded([[], {}, {}])),
        message(body=encoded([[], {"job_key": 7}, {}])),
        message(body=encoded([[], {"job_key": "../../etc/passwd"}, {}])),
        message(body=encoded([[], [KEY], {}])),
    ],
)
def test_what_the_node_did_not_send_is_malformed(malformed: object) -> None:
    with pytest.raises(MalformedMessage):
        own_message(malformed)
