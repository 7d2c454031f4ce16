"""`lungspread models`: list, show, download and verify models.

Exit codes: 2 if a model is rejected, with the reason in one line; 1 if a download was interrupted and the same command
resumes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn
from rich.table import Table

from models.registry import EXTERNAL, KINDS, MODELS, check_model, kind_of, model_card, model_folder
from models.segmenter import InferenceSettings, ModelError
from models.store.downloads import DownloadInterrupted, ProgressCallback
from worker.cli.terminal import FAILED, REJECTED, fail, out

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="List, show, download and verify models.")
Name = Annotated[
    str, typer.Argument(help=f"A name of the list, KIND:FOLDER ({', '.join(KINDS)}), or a model's folder.")
]


@app.command("list")
def list_models() -> None:
    """List the shipped models and the name patterns of external ones."""
    table = Table("name", "version", "licence", "SHA-256 of the weights")
    for name in sorted(MODELS):
        card = model_card(name)
        table.add_row(name, card.version, card.licence, card.weights_sha256[:16])
    out.print(table)
    out.print(f"external models: {', '.join(f'{kind}:FOLDER' for kind in KINDS)}", highlight=False)


@app.command()
def show(name: Name) -> None:
    """Show the fields of a model's card and its README."""
    with _exit_codes():
        full_name = _full_name(name)
        fields = asdict(model_card(full_name))
        for field, value in fields.items():
            out.print(f"{field:20} {value}", highlight=False, markup=False, soft_wrap=True)
        readme = model_folder(full_name) / "README.md"
    if readme.is_file():
        out.print(f"\n{readme.read_text(encoding='utf-8')}", highlight=False, markup=False, soft_wrap=True)


@app.command()
def pull(
    url: Annotated[str, typer.Argument(help="A zip or tar archive of a model, or one file of weights.")],
    sha256: Annotated[str, typer.Option(help="Expected SHA-256 of the file at the URL.")],
    to: Annotated[Path, typer.Option(help="Target folder; must be new or empty.")],
) -> None:
    """Download a model, or resume a download; reject a wrong hash, or a pickle that holds more than weights."""
    from models.store.pull import DownloadRequest
    from models.store.pull import pull as fetch

    with _exit_codes(), _download_bar() as progress_callback:
        names = fetch(DownloadRequest(url=url, sha256=sha256, folder=to), progress_callback)
    for name in names:
        out.print(f'verified; in lungspread.toml: model = "{name}"', highlight=False, markup=False, soft_wrap=True)
    if not names:
        out.print(f"verified: one file, in {to}", highlight=False, markup=False, soft_wrap=True)


@app.command()
def verify(name: Name, device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto") -> None:
    """Check a model's files and hashes, and print its hash for the configuration; no code of a model is executed."""
    with _exit_codes():
        full_name = _full_name(name)
        card = check_model(full_name, InferenceSettings(device=device)).card
    line = f"{card.name} {card.version}: weights verified, SHA-256 {card.weights_sha256}"
    out.print(line, highlight=False, markup=False, soft_wrap=True)
    if full_name.partition(":")[0] in EXTERNAL:
        pin = f'model = "{full_name}"\nmodel_sha256 = "{card.weights_sha256}"'
        out.print(f"in lungspread.toml, [worker]:\n{pin}", highlight=False, markup=False, soft_wrap=True)


def _full_name(name: str) -> str:
    """Return KIND:FOLDER if only a model's folder was given, else the name."""
    kind = kind_of(Path(name)) if name not in MODELS else ""
    return f"{kind}:{name}" if kind else name


@contextmanager
def _exit_codes() -> Iterator[None]:
    try:
        yield
    except ModelError as error:
        fail(str(error), FAILED if isinstance(error, DownloadInterrupted) else REJECTED)


@contextmanager
def _download_bar() -> Iterator[ProgressCallback]:
    console = Console(stderr=True)
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("pulling", total=None)
        yield lambda received, total: progress.update(task, completed=received, total=total)
