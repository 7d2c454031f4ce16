"""`lungspread node`: run the DICOM node alone."""

from __future__ import annotations

import signal
import threading

from worker.cli.terminal import Config, exit_codes


@exit_codes()
def node(config: Config = None) -> None:
    """Run the node alone: it receives series, queues jobs and delivers results."""
    from dicom_node.node import run_node
    from dicom_node.parts import NodeConfiguration
    from models.registry import model_card
    from worker.settings import config_hash, load_settings

    settings = load_settings(config)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    run_node(
        NodeConfiguration(
            node=settings.node,
            peers=settings.peers,
            queue=settings.queue,
            journal=settings.journal,
            selection=settings.selection,
            retention=settings.retention,
            priority=settings.priority,
            dicomweb=settings.dicomweb,
            audit=settings.audit,
            config_hash=config_hash(settings.worker, model_card(settings.worker.model)),
        ),
        stop,
    )
