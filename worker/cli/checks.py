"""The checks of `lungspread doctor`: one per part that the service needs, each with a hint for its repair."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from dicom_node.errors import NodeError
from dicom_node.journal.journal import Journal
from dicom_node.network.scu import PacsClient
from dicom_node.network.stow import StowClient
from dicom_node.network.tls import server_context
from dicom_node.priors.source import try_search
from dicom_node.queue.redis_server import embedded_version, redis_url, version_at
from dicom_node.queue.server_version import ServerVersion
from dicom_node.setting_types import ANY_ADDRESS
from dicom_node.settings import NodeSettings, Peer
from dicom_node.storage.private_folder import PRIVATE, open_to_others, remedy
from models.registry import check_model, require_pinned
from models.segmenter import ModelError
from worker.settings import Settings

_ECHO_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """Result of one check. hint: what the user can do if it failed."""

    subject: str
    passed: bool
    fact: str
    hint: str = ""


def run_checks(settings: Settings) -> Iterator[Check]:
    """Run all checks, one after the other, and yield their results."""
    yield Check(subject="configuration", passed=True, fact=f"{len(settings.peers)} peers")
    yield _disk(settings.node)
    yield _private(settings.node)
    yield _redis(settings)
    yield _journal(settings)
    yield _model(settings)
    yield _node(settings.node)
    if settings.node.tls != "off":
        yield _tls(settings.node)
    for peer in settings.peers:
        if peer.has_address:
            yield _echo(peer, settings.node)
        if ANY_ADDRESS in peer.addresses:
            fact = "is accepted from any address: by its AE title alone, unless it has tls"
            yield Check(subject=f"addresses of {peer.name}", passed=True, fact=fact)
        if peer.query_priors:
            yield _find(peer, settings.node)
        if peer.deliver == "stow":
            yield _probe(peer, settings.node)


def _disk(node: NodeSettings) -> Check:
    try:
        node.data_dir.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        probe = node.data_dir / ".doctor"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        return Check(
            subject="disk",
            passed=False,
            fact=f"{node.data_dir}: {error.strerror}",
            hint="make node.data_dir writable for the user that runs lungspread",
        )
    free_mb = shutil.disk_usage(node.data_dir).free >> 20
    return Check(
        subject="disk",
        passed=free_mb >= node.min_free_mb,
        fact=f"{free_mb} MiB free, node.min_free_mb is {node.min_free_mb}",
        hint="free some space: below the limit every C-STORE is answered 0xA700 (out of resources)",
    )


def _private(node: NodeSettings) -> Check:
    subject = "privacy"
    try:
        found = open_to_others(node.data_dir)
    except OSError as error:
        hint = "make node.data_dir a folder of the user that runs lungspread"
        return Check(subject=subject, passed=False, fact=f"{node.data_dir}: {error.strerror}", hint=hint)
    if not found:
        return Check(subject=subject, passed=True, fact=f"{node.data_dir} is private to this user")
    fact = f"{found[0]} is open to other users of this machine, and {len(found) - 1} of our files and folders in it"
    return Check(
        subject=subject, passed=False, fact=fact, hint=f"{remedy(node.data_dir)}; the node does so when it starts"
    )


def _redis(settings: Settings) -> Check:
    data_dir = settings.node.data_dir
    version = version_at(redis_url(settings.queue, data_dir))
    if version is not None:
        return _without_holes(version, f"{version} answers")
    if settings.queue.url != "embedded":
        hint = "start that server, or set queue.url"
        return Check(subject="redis", passed=False, fact="does not answer", hint=hint)
    try:
        version = embedded_version(data_dir)
    except NodeError as error:
        return Check(subject="redis", passed=False, fact=str(error), hint="set queue.url to a Redis or Valkey server")
    return _without_holes(version, f"embedded {version}, not running; `lungspread serve` starts it")


def _without_holes(version: ServerVersion | None, fact: str) -> Check:
    needed = version.needed if version is not None else ""
    return Check(
        subject="redis",
        passed=not needed,
        fact=f"{fact}; it has known holes" if needed else fact,
        hint=f"install {needed} or newer; a distribution may have mended its package under the old number",
    )


def _journal(settings: Settings) -> Check:
    def probe() -> str:
        with Journal(settings.journal.url_in(settings.node.data_dir)) as journal:
            return f"{len(journal.jobs.find())} jobs"

    return _checked("journal", probe, "check journal.url, and that its database runs and is not locked")


def _model(settings: Settings) -> Check:
    def probe() -> str:
        worker = settings.worker
        check = check_model(worker.model, worker.inference)
        require_pinned(worker.model, check.card, worker.model_sha256)
        name = f"{check.card.name} {check.card.version}, weights verified"
        return f"{name}, runs on {check.device} by {check.card.engine or 'its own library'}"

    hint = "set worker.model, worker.model_sha256 and worker.device, or restore the model's files"
    return _checked("model", probe, hint)


def _node(node: NodeSettings) -> Check:
    """Check whether the node listens, by a plain TCP connection: it answers C-ECHO to its peers alone."""
    import socket

    try:
        with socket.create_connection((node.host, node.port), timeout=_ECHO_TIMEOUT_S):
            return Check(subject="node", passed=True, fact=f"{node.ae_title} listens on {node.host}:{node.port}")
    except OSError:
        return Check(
            subject="node",
            passed=True,
            fact=f"nothing listens on {node.host}:{node.port} yet; `lungspread serve` starts it",
        )


def _tls(node: NodeSettings) -> Check:
    def probe() -> str:
        server_context(node)
        return f"certificate, key and authorities can be read; port {node.tls_port}"

    return _checked("tls", probe, "check node.tls_certificate, tls_key and tls_ca, and that the user may read them")


def _echo(peer: Peer, node: NodeSettings) -> Check:
    short_timeouts = _with_short_timeouts(node)

    def probe() -> str:
        PacsClient(peer, short_timeouts).echo()
        return f"{peer.ae_title} at {peer.host}:{peer.port} answers C-ECHO"

    return _checked(
        f"peer {peer.name}",
        probe,
        f"check host, port and AE title of {peer.name}, and that {node.ae_title} is configured there as a peer",
    )


def _find(peer: Peer, node: NodeSettings) -> Check:
    """Check whether the peer accepts a query for priors; the query matches no patient."""
    short_timeouts = _with_short_timeouts(node)
    retrieve = {"move": f"C-MOVE to {node.ae_title}", "get": "C-GET", "wado": "WADO-RS"}[peer.retrieve]

    def probe() -> str:
        try_search(peer, short_timeouts)
        return f"answers a query; priors are retrieved by {retrieve}"

    return _checked(
        f"priors of {peer.name}",
        probe,
        f"allow {node.ae_title} to query and retrieve there, and configure host and port of {node.ae_title} there",
    )


def _probe(peer: Peer, node: NodeSettings) -> Check:
    """Check whether the peer's DICOMweb services answer; the token may allow storing alone, so that 403 is no fault."""
    subject, hint = f"STOW-RS to {peer.name}", f"check dicomweb_url and dicomweb_authorization of {peer.name}"
    try:
        status = StowClient(peer, _with_short_timeouts(node)).probe()
    except NodeError as error:
        return Check(subject=subject, passed=False, fact=str(error), hint=hint)
    passed = status < 400 or status == 403
    return Check(subject=subject, passed=passed, fact=f"{peer.dicomweb_url} answers {status}", hint=hint)


def _with_short_timeouts(node: NodeSettings) -> NodeSettings:
    return node.model_copy(update={"connect_timeout_s": _ECHO_TIMEOUT_S, "network_timeout_s": _ECHO_TIMEOUT_S})


def _checked(subject: str, probe: Callable[[], str], hint: str) -> Check:
    try:
        return Check(subject=subject, passed=True, fact=probe())
    except (NodeError, ModelError) as error:
        return Check(subject=subject, passed=False, fact=str(error), hint=hint)
