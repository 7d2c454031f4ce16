"""A small real HTTP server on loopback that serves one file with Range, and breaks off where it is told to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


@dataclass(slots=True, kw_only=True)
class Served:
    """content: of /model.zip and any other path. cuts: after how many bytes each answer breaks off, None for never.

    asked: the Range of every request, "" without one. status: what is answered in place of the file. knows_range: False
    for a server that sends everything always.
    """

    content: bytes
    cuts: list[int | None] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    status: int = 200
    knows_range: bool = True
    port: int = 0

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.port}/{name}"


@contextmanager
def serving(served: Served) -> Iterator[Served]:
    """Serve on a free port until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self, served)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.port = server.server_address[1]
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def answer(request: BaseHTTPRequestHandler, served: Served) -> None:
    wanted = request.headers.get("Range", "")
    served.asked.append(wanted)
    if served.status != 200:
        request.send_error(served.status)
        return
    begin = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted and served.knows_range else 0
    if begin and begin >= len(served.content):
        request.send_error(416)
        return
    body = served.content[begin:]
    request.send_response(206 if begin else 200)
    request.send_header("Content-Length", str(len(body)))
    if begin:
        request.send_header("Content-Range", f"bytes {begin}-{len(served.content) - 1}/{len(served.content)}")
    request.end_headers()
    cut = served.cuts.pop(0) if served.cuts else None
    request.wfile.write(body if cut is None else body[:cut])
