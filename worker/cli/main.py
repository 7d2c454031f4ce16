"""The `lungspread` command: each subcommand reads the settings, calls one function, and says what came of it.

Exit codes: 0 done; 2 the input was refused, with the reason in one line on standard error; 1 anything else.
"""

from __future__ import annotations

import json
import logging
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from dicom_node.errors import NodeError, SeriesRejected
from dicom_node.network.status import silence_libraries
from models.segmenter import ModelError
from models.segmenter import Progress as ShareDone
from worker.cli.models import app as models_app
from worker.cli.timeline import timeline
from worker.settings import load_settings

REFUSED, FAILED = 2, 1

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.add_typer(models_app, name="models")
app.command()(timeline)
out = Console()
Config = Annotated[Path | None, typer.Option(help="lungspread.toml; without it, defaults and environment.")]


@app.callback()
def lungspread() -> None:
    """Outline lung tumours in chest CT, beside a PACS. Research use only."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    silence_libraries()
    logging.getLogger("highdicom").setLevel(logging.WARNING)


@app.command()
def run(
    ct_folder: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="One CT series.")],
    out_folder: Annotated[Path, typer.Option("--out", help="Receives seg.dcm, sr.dcm and findings.json.")],
    prior: Annotated[
        list[Path] | None,
        typer.Option(exists=True, file_okay=False, help="An earlier CT series, its results, or both; may be repeated."),
    ] = None,
    pictures: Annotated[bool, typer.Option(help="Also draw PNG pictures.")] = False,
    config: Config = None,
) -> None:
    """Analyse a folder without a PACS."""
    from models.registry import load_model
    from worker.cli.prior_folders import priors_in_folders
    from worker.folder import analyse_folder
    from worker.outputs.page.pictures import draw

    with _exit_codes(), _bar("analysing") as bar:
        settings = load_settings(config).worker
        segmenter = load_model(settings.model, settings.inference)
        earlier = priors_in_folders(prior or [], out_folder, settings, segmenter, bar)
        findings = analyse_folder(ct_folder, out_folder, settings, segmenter, bar, earlier).findings
        if pictures:
            draw(findings, out_folder)
    table = Table(
        "lesion", "volume ml", "long axis mm", "short axis mm", "mean HU", title="research, not for diagnosis"
    )
    for finding in findings.findings:
        measured = finding.measurement
        axes = f"{measured.long_axis.length_mm:.1f}", f"{measured.short_axis.length_mm:.1f}"
        table.add_row(finding.lesion.tracking_id, f"{measured.volume_ml:.2f}", *axes, f"{measured.mean_hu:.0f}")
    out.print(table)


@app.command()
def serve(config: Config = None) -> None:
    """Run node, worker and an embedded Redis on this machine."""
    from worker.cli.serve import serve as supervise

    with _exit_codes():
        raise typer.Exit(supervise(load_settings(config), config))


@app.command()
def node(config: Config = None) -> None:
    """Run the node alone: receives, queues, delivers."""
    from dicom_node.node import NodeConfiguration, run_node
    from models.registry import model_card
    from worker.settings import config_hash

    with _exit_codes():
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
                config_hash=config_hash(settings.worker, model_card(settings.worker.model)),
            ),
            stop,
        )


@app.command()
def worker(config: Config = None) -> None:
    """Run a worker alone: takes jobs from the queue."""
    from models.registry import load_model
    from worker.queue.tasks import run_worker

    with _exit_codes():
        settings = load_settings(config)
        chosen = settings.worker
        raise typer.Exit(run_worker(settings, load_model(chosen.model, chosen.inference)))


@app.command()
def demo(
    ct: Annotated[
        list[Path] | None,
        typer.Option(exists=True, file_okay=False, help="CT of your own; several folders are several dates."),
    ] = None,
    out_folder: Annotated[Path, typer.Option("--out", help="Receives all that the demo makes.")] = Path("demo-out"),
) -> None:
    """Run the whole round against a small PACS of its own, and show what came of it."""
    from worker.demo.run_demo import run_demo

    logging.getLogger().setLevel(logging.WARNING)
    with _exit_codes():
        raise typer.Exit(0 if run_demo(out, out_folder, ct or []) else FAILED)


@app.command()
def send(
    folder: Annotated[Path, typer.Argument(exists=True, file_okay=False)],
    to: Annotated[str, typer.Option(help="Name of a peer in the configuration.")],
    config: Config = None,
) -> None:
    """C-STORE the DICOM files of a folder to a peer."""
    from dicom_node.network.scu import PacsClient
    from worker.folder import dicom_files

    with _exit_codes():
        settings = load_settings(config)
        peer = next((peer for peer in settings.peers if peer.name == to), None)
        if peer is None:
            _fail(f"no peer is called {to}; there are: {', '.join(p.name for p in settings.peers) or 'none'}", FAILED)
        files, refused = dicom_files(folder), 0
        with _bar("sending") as bar:
            for count, outcome in enumerate(PacsClient(peer, settings.node).store(files), start=1):
                bar(count / len(files))
                if outcome.refusal is not None:
                    refused += 1
                    out.print(str(outcome.refusal))
        out.print(f"{len(files) - refused} of {len(files)} instances stored by {to}")
        if refused or not files:
            raise typer.Exit(FAILED)


@app.command()
def jobs(as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False, config: Config = None) -> None:
    """List every series and where its job stands, with the reason."""
    from worker.cli.jobs import list_jobs

    with _exit_codes():
        rows = list_jobs(load_settings(config))
    if as_json:
        sys.stdout.write(json.dumps(rows, indent=1) + "\n")
        return
    table = Table("job", "series", "instances", "state", "reason")
    for row in rows:
        table.add_row(
            str(row["job_key"] or "")[:12],
            *(str(row[key] or "") for key in ("series_uid", "instances", "state", "reason")),
        )
    out.print(table)


@app.command()
def retry(job: Annotated[str, typer.Argument(help="A job key, or its first digits.")], config: Config = None) -> None:
    """Queue a job that is at its end once more; its results keep their UIDs."""
    from worker.cli.jobs import retry_job

    with _exit_codes():
        out.print(f"job {retry_job(load_settings(config), job)} is queued")


@app.command()
def doctor(config: Config = None) -> None:
    """Check all that the service needs, and say what to do about each failure."""
    from worker.cli.doctor import run_checks

    with _exit_codes():
        failed = 0
        for diagnosis in run_checks(load_settings(config)):
            failed += not diagnosis.is_well
            mark = "[green]ok[/]  " if diagnosis.is_well else "[red]FAIL[/]"
            out.print(f"{mark} {diagnosis.what}: {diagnosis.fact}", highlight=False, soft_wrap=True)
            if not diagnosis.is_well:
                out.print(f"     -> {diagnosis.hint}", highlight=False, soft_wrap=True)
    if failed:
        raise typer.Exit(FAILED)


@contextmanager
def _exit_codes() -> Iterator[None]:
    try:
        yield
    except SeriesRejected as refusal:
        _fail(str(refusal), REFUSED)
    except (NodeError, ModelError) as error:
        _fail(str(error), FAILED)


def _fail(line: str, code: int) -> NoReturn:
    sys.stderr.write(f"lungspread: {line}\n")
    raise typer.Exit(code) from None


@contextmanager
def _bar(what: str) -> Iterator[ShareDone]:
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=1.0)
        yield lambda share: progress.update(task, completed=share)


def main() -> None:
    """Run the command line."""
    app()
