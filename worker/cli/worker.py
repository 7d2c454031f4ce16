"""`lungspread worker`: run a worker alone."""

from __future__ import annotations

import typer

from worker.cli.terminal import Config, exit_codes


@exit_codes()
def worker(config: Config = None) -> None:
    """Run a worker alone: it takes jobs from the queue."""
    from models.registry import load_model
    from worker.queue.tasks import run_worker
    from worker.settings import load_settings

    settings = load_settings(config)
    chosen = settings.worker
    segmenter = load_model(chosen.model, chosen.inference, sha256=chosen.model_sha256)
    raise typer.Exit(run_worker(settings, segmenter))
