"""What is fed to a running worker: messages in its queue."""

from __future__ import annotations

import base64
import json
import random
import re
import zlib
from typing import Any

import redis

from dicom_node.jobs import QUEUE, TASK, Job, enqueue, make_celery
from dicom_node.queue.redis_server import redis_url, socket_path
from dicom_node.settings import QueueSettings
from tests.fixtures.waiting import wait_until
from tests.fuzz.mutate import bomb, mutated
from tests.fuzz.site_targets import OnSite
from tests.fuzz.targets import Fault

_NO_JOB = "0" * 64
_CONSUMED_WITHIN_S = 15.0
"""Also by a worker that has just been started again."""
_ASIDE = "aside"
"""A queue of which no worker takes the message that is mutated."""


class Messages(OnSite):
    """Messages in the queue; the worker takes each within seconds, and goes on."""

    # Celery writes a traceback of every message that it discards.
    bad_lines = re.compile(rb"thread ended|Segmentation")
    _message: dict[str, Any]
    _worker: int

    def _prepare(self) -> None:
        app = make_celery(redis_url(QueueSettings(), self.site.disk.folder))
        app.conf.task_routes = {TASK: {"queue": _ASIDE}}
        enqueue(app, Job(job_key=_NO_JOB, study_uid="1.2", series_uid="1.2.3", config_hash="c"))
        self._message = json.loads(self._redis().lpop(_ASIDE))
        self._worker = self.site.child("worker").pid
        self._redis().rpush(QUEUE, json.dumps(self._message))
        wait_until(lambda: self._redis().llen(QUEUE) == 0, 30, "the worker consumes")

    def _redis(self) -> Any:  # noqa: ANN401 - redis-py's own type is generic
        return redis.Redis(unix_socket_path=str(socket_path(self.site.disk.folder)))

    def _feed(self, rng: random.Random) -> str:
        raw = json.dumps(self._mutated_message(rng)).encode()
        if rng.random() < 0.2:
            raw = mutated(raw, rng)
        try:
            self._redis().rpush(QUEUE, raw)
        except redis.RedisError:  # longer than it takes
            return "refused"
        wait_until(lambda: self._redis().llen(QUEUE) == 0, _CONSUMED_WITHIN_S, "the worker consumes", 0.005)
        if self.site.child("worker").pid != self._worker:
            self._worker = self.site.child("worker").pid
            raise Fault("the worker was started again")
        return "consumed"

    def _mutated_message(self, rng: random.Random) -> dict[str, Any]:
        sent: dict[str, Any] = json.loads(json.dumps(self._message))
        kind = rng.choice(("body", "body", "header", "property", "type", "compression"))
        if kind == "body":
            sent["body"] = base64.b64encode(mutated(base64.b64decode(sent["body"]), rng)).decode()
        elif kind == "compression":
            sent["headers"]["compression"] = rng.choice(("application/x-gzip", "application/x-bz2", "zlib", "x"))
            sent["body"] = base64.b64encode(_gzip_bomb() if rng.random() < 0.05 else rng.randbytes(50)).decode()
        elif kind == "type":
            sent["content-type"] = rng.choice(("application/x-python-serialize", "application/x-yaml", "x", "", "a/b"))
        else:
            part = sent["headers"] if kind == "header" else sent["properties"]
            part[rng.choice(list(part))] = rng.choice((None, -1, 1 << 70, "", "x" * 3000, [], {}, [[]], "é\0", 1e308))
        return sent


def _gzip_bomb() -> bytes:
    deflated = bomb()
    # RFC 1950: a zlib stream is the deflated one between a header and a checksum; kombu's "gzip" is zlib.
    return b"\x78\xda" + deflated + zlib.adler32(b"").to_bytes(4, "big")
