"""`lungspread doctor`: is everything there that a service needs, and what to do where it is not. Repairs nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from dicom_node.errors import NodeError
from dicom_node.journal.journal import Journal
from dicom_node.network.scu import PacsClient
from dicom_node.priors.source import try_search
from dicom_node.queue.redis_server import is_ready, redis_url, server_command
from dicom_node.settings import NodeSettings, Peer
from models.registry import check_model
from models.segmenter import ModelError
from worker.settings import Settings

_ECHO_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at. remedy: what to do, when it is not well."""

    what: str
    is_well: bool
    fact: str
    hint: str = ""


def run_checks(settings: Settings) -> Iterator[Check]:
    """Look at everything, one after the other."""
    yield Check(what="configuration", is_well=True, fact=f"{len(settings.peers)} peers")
    yield _disk(settings.node)
    yield _redis(settings)
    yield _journal(settings)
    yield _model(settings)
    yield _node(settings.node)
    for peer in settings.peers:
        yield _echo(peer, settings.node)
        if peer.query_priors:
            yield _find(peer, settings.node)


def _disk(node: NodeSettings) -> Check:
    try:
        node.data_dir.mkdir(parents=True, exist_ok=True)
        probe = node.data_dir / ".doctor"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        return Check(
            what="disk",
            is_well=False,
            fact=f"{node.data_dir}: {error.strerror}",
            hint="make node.data_dir writable for the user that runs lungspread",
        )
    free_mb = shutil.disk_usage(node.data_dir).free >> 20
    return Check(
        what="disk",
        is_well=free_mb >= node.min_free_mb,
        fact=f"{free_mb} MiB free, node.min_free_mb is {node.min_free_mb}",
        hint="free some space: below the limit every C-STORE is answered 0xA700 (out of resources)",
    )


def _redis(settings: Settings) -> Check:
    if is_ready(redis_url(settings.queue, settings.node.data_dir)):
        return Check(what="redis", is_well=True, fact="answers")
    if settings.queue.url != "embedded":
        hint = "start that Redis server, or set queue.url"
        return Check(what="redis", is_well=False, fact="does not answer", hint=hint)
    return _caught(
        "redis",
        lambda: f"embedded, not running; `lungspread serve` starts {server_command(settings.node.data_dir)[0]}",
        "set queue.url to a Redis server",
    )


def _journal(settings: Settings) -> Check:
    def look() -> str:
        journal = Journal(settings.journal.url_in(settings.node.data_dir))
        count = len(journal.jobs())
        journal.close()
        return f"{count} jobs"

    return _caught("journal", look, "check journal.url and that its database runs and is not locked")


def _model(settings: Settings) -> Check:
    def look() -> str:
        check = check_model(settings.worker.model, settings.worker.inference)
        what = f"{check.card.name} {check.card.version}, weights verified"
        return f"{what}, runs on {check.device} by {check.card.engine or 'its own library'}"

    return _caught("model", look, "set worker.model and worker.device, or restore the weights from the repository")


def _node(node: NodeSettings) -> Check:
    """Whether a node listens here: only a peer may echo it, so a plain connection is tried."""
    import socket

    try:
        with socket.create_connection((node.host, node.port), timeout=_ECHO_TIMEOUT_S):
            return Check(what="node", is_well=True, fact=f"{node.ae_title} listens on {node.host}:{node.port}")
    except OSError:
        return Check(
            what="node",
            is_well=True,
            fact=f"nothing listens on {node.host}:{node.port} yet; `lungspread serve` starts it",
        )


def _echo(peer: Peer, node: NodeSettings) -> Check:
    quick = node.model_copy(update={"connect_timeout_s": _ECHO_TIMEOUT_S, "network_timeout_s": _ECHO_TIMEOUT_S})

    def look() -> str:
        PacsClient(peer, quick).echo()
        return f"{peer.ae_title} at {peer.host}:{peer.port} answers C-ECHO"

    return _caught(
        f"peer {peer.name}",
        look,
        f"check host, port and AE title of {peer.name}, and that it knows {node.ae_title} as a peer",
    )


def _find(peer: Peer, node: NodeSettings) -> Check:
    """Whether it lets itself be asked for earlier scans: for those of nobody."""
    quick = node.model_copy(update={"connect_timeout_s": _ECHO_TIMEOUT_S, "network_timeout_s": _ECHO_TIMEOUT_S})
    comes = {"move": f"C-MOVE to {node.ae_title}", "get": "C-GET", "wado": "WADO-RS"}[peer.retrieve]

    def look() -> str:
        try_search(peer, quick)
        return f"answers a search; earlier scans come by {comes}"

    return _caught(
        f"priors of {peer.name}",
        look,
        f"allow {node.ae_title} to query and retrieve there, and let it know host and port of {node.ae_title}",
    )


def _caught(what: str, look: Callable[[], str], hint: str) -> Check:
    try:
        return Check(what=what, is_well=True, fact=look())
    except (NodeError, ModelError) as error:
        return Check(what=what, is_well=False, fact=str(error), hint=hint)
