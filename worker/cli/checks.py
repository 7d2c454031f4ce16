"""The checks of `lungspread doctor`: one per part that the service needs, each with a hint for its repair."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from functools import partial

from dicom_node.errors import JournalDamaged, NodeError
from dicom_node.journal.journal import Journal
from dicom_node.journal.quarantine import health
from dicom_node.network.scu import PacsClient
from dicom_node.network.stow import StowClient
from dicom_node.network.tls import server_context
from dicom_node.priors.source import try_search
from dicom_node.queue.redis_server import embedded_version, redis_url, version_at
from dicom_node.queue.server_version import ServerVersion
from dicom_node.retention.clean_up import folder_mb, size_mb
from dicom_node.setting_types import ANY_ADDRESS
from dicom_node.settings import NodeSettings, Peer
from dicom_node.storage.private_folder import PRIVATE, open_to_others, remedy
from models.registry import check_model, require_pinned
from worker.cli.check import Check, checked, guarded
from worker.cli.clean_up import open_clean_up
from worker.settings import Settings

_ECHO_TIMEOUT_S = 5.0


def run_checks(settings: Settings) -> Iterator[Check]:
    """Run all checks, one after the other, and yield their results."""
    yield Check(subject="configuration", passed=True, fact=f"{len(settings.peers)} peers")
    node = settings.node
    yield guarded("disk", lambda: _disk(node))
    yield guarded("privacy", lambda: _private(node))
    yield guarded("redis", lambda: _redis(settings))
    yield guarded("journal", lambda: _journal(settings))
    yield guarded("storage", lambda: _storage(settings))
    yield guarded("model", lambda: _model(settings))
    yield guarded("node", lambda: _node(node))
    if node.tls != "off":
        yield guarded("tls", lambda: _tls(node))
    for peer in settings.peers:
        if peer.has_address:
            yield guarded(f"peer {peer.name}", partial(_echo, peer, node))
        if ANY_ADDRESS in peer.addresses:
            fact = "is accepted from any address: by its AE title alone, unless it has tls"
            yield Check(subject=f"addresses of {peer.name}", passed=True, fact=fact)
        if peer.query_priors:
            yield guarded(f"priors of {peer.name}", partial(_find, peer, node))
        if peer.deliver == "stow":
            yield guarded(f"STOW-RS to {peer.name}", partial(_probe, peer, node))


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
    subject = "journal"
    try:
        with Journal(settings.journal.url_in(settings.node.data_dir)) as journal:
            journal.jobs.find()  # finds damaged rows
            found = health(journal.database)
    except JournalDamaged as error:
        return Check(subject=subject, passed=False, fact=str(error), hint="`lungspread doctor` again afterwards")
    except NodeError as error:
        hint = "check journal.url, and that its database runs and is not locked"
        return Check(subject=subject, passed=False, fact=str(error), hint=hint)
    if found.problems:
        return Check(
            subject=subject,
            passed=False,
            fact=str(JournalDamaged(found.problems[0])),
            hint="`lungspread doctor` again afterwards",
        )
    return Check(
        subject=subject,
        passed=not found.damaged_rows,
        fact=f"revision {found.revision}, {found.size_mb:.1f} MiB, {found.jobs} jobs ({found.failed} failed, "
        f"{found.rejected} rejected), {found.refused} refused documents, {found.damaged_rows} damaged rows",
        hint="`lungspread repair` shows the damaged rows, and has them made again",
    )


def _storage(settings: Settings) -> Check:
    """Tell how much is stored, and how much the next clean-up removes."""

    def probe() -> str:
        with open_clean_up(settings) as cleaning:
            spool, removable_mb = cleaning.spool, size_mb(cleaning.spool, cleaning.plan(time.time()))
        stored = f"received {folder_mb(spool.inbox):.0f} MiB, results {folder_mb(spool.outbox):.0f} MiB"
        return f"{stored}; the next clean-up removes {removable_mb:.0f} MiB ([retention])"

    return checked("storage", probe, "repair the journal first")


def _model(settings: Settings) -> Check:
    def probe() -> str:
        worker = settings.worker
        check = check_model(worker.model, worker.inference)
        require_pinned(worker.model, check.card, worker.model_sha256)
        name = f"{check.card.name} {check.card.version}, weights verified"
        return f"{name}, runs on {check.device} by {check.card.engine or 'its own library'}"

    hint = "set worker.model, worker.model_sha256 and worker.device, or restore the model's files"
    return checked("model", probe, hint)


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

    return checked("tls", probe, "check node.tls_certificate, tls_key and tls_ca, and that the user may read them")


def _echo(peer: Peer, node: NodeSettings) -> Check:
    short_timeouts = _with_short_timeouts(node)

    def probe() -> str:
        PacsClient(peer, short_timeouts).echo()
        return f"{peer.ae_title} at {peer.host}:{peer.port} answers C-ECHO"

    return checked(
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

    return checked(
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
