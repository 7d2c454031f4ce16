"""The queue's connection, which delivers nothing but well-formed messages of our one task.

Whoever can write to the queue's server can send anything. Kombu inflates a compressed body before anyone has seen it,
and what it cannot parse ends the worker; Celery keeps a message with a start time in memory, and runs callbacks that a
message names. So each message is read here first, and replaced by one that holds its job key alone.
"""

from __future__ import annotations

import base64
import json
import logging
import re
import uuid
from typing import Any

from kombu.transport import TRANSPORT_ALIASES, redis

from dicom_node.jobs import TASK

log = logging.getLogger(__name__)

MAX_BODY = 64 * 1024
"""Characters of the encoded body; ours have about 700."""
_JOB_KEY = re.compile("[0-9a-f]{64}")


class MalformedMessage(Exception):  # noqa: N818 - named for the fact
    """A message that the node did not send; the text says why, without its content."""


def own_message(message: Any) -> dict[str, Any]:  # noqa: ANN401 - from outside
    """Return a message of ours, with the job key and the properties that its delivery needs alone.

    message: as the queue holds it (kombu's virtual transports). Raises MalformedMessage.
    """
    try:
        headers, properties, body = message["headers"], message["properties"], message["body"]
        delivery = {"delivery_tag": str(properties["delivery_tag"]), "delivery_info": properties["delivery_info"]}
        delivery["delivery_info"] = {key: str(delivery["delivery_info"][key]) for key in ("exchange", "routing_key")}
        task, is_compressed = headers["task"], "compression" in headers
    except (KeyError, TypeError):
        raise MalformedMessage("it has no headers, properties or body of a task") from None
    if task != TASK:
        raise MalformedMessage("it is of another task")
    if is_compressed or message.get("content-type") != "application/json":
        raise MalformedMessage("it is compressed, or not JSON")
    return {
        "body": _body(_job_key(body)),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {"lang": "py", "task": TASK, "id": str(uuid.uuid4())},
        "properties": {"body_encoding": "base64", **delivery},
    }


def install_transport() -> None:
    """Have every connection that this process opens to a Redis use our transport."""
    TRANSPORT_ALIASES.update(dict.fromkeys(("redis", "rediss"), f"{__name__}:Transport"))


class Channel(redis.Channel):
    """Discards what is no message at all, which kombu would raise as an error that ends the worker."""

    def _brpop_read(self, **options: Any) -> Any:  # noqa: ANN401 - as kombu's
        try:
            return super()._brpop_read(**options)  # type: ignore[no-untyped-call]
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            log.warning("a message was discarded: it cannot be read (%s)", type(error).__name__)
            return True


class Transport(redis.Transport):
    """Discards the messages that are not of our task."""

    Channel = Channel

    def _deliver(self, message: Any, queue: str) -> None:  # noqa: ANN401 - from outside
        try:
            own = own_message(message)
        except MalformedMessage as malformed:
            log.warning("a message was discarded: %s", malformed)
        else:
            super()._deliver(own, queue)  # type: ignore[no-untyped-call]


def _job_key(body: object) -> str:
    if not isinstance(body, str) or len(body) > MAX_BODY:
        raise MalformedMessage(f"its body has more than {MAX_BODY} characters, or is none")
    try:
        _, arguments, _ = json.loads(base64.b64decode(body, validate=True))
        key = arguments["job_key"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise MalformedMessage("its body does not hold the arguments of a task") from None
    if not isinstance(key, str) or not _JOB_KEY.fullmatch(key):
        raise MalformedMessage("it names no job key")
    return key


def _body(job_key: str) -> str:
    return base64.b64encode(json.dumps([[], {"job_key": job_key}, {}]).encode()).decode()
