"""`lungspread models`: which models there are, what they are, fetching one, and whether their files are whole.

Exit codes as in main.py: 2 where a model is refused, with the reason in one line; 1 where a connection failed, and the
same command goes on.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn
from rich.table import Table

from models.registry import KINDS, MODELS, check_model, kind_of, model_card, model_folder
from models.segmenter import InferenceSettings, ModelError
from models.store.downloads import DownloadInterrupted, ProgressCallback

REFUSED, FAILED = 2, 1

app = typer.Typer(no_args_is_help=True, help="List, show, fetch and verify models.")
out = Console()
Name = Annotated[
    str, typer.Argument(help=f"A name of the list, KIND:FOLDER ({', '.join(KINDS)}), or a model's folder.")
]


@app.command("list")
def list_models() -> None:
    """List the models that are shipped, and how one made elsewhere is named."""
    table = Table("name", "version", "licence", "SHA-256 of the weights")
    for name in sorted(MODELS):
        card = model_card(name)
        table.add_row(name, card.version, card.licence, card.weights_sha256[:16])
    out.print(table)
    out.print(f"made elsewhere: {', '.join(f'{kind}:FOLDER' for kind in KINDS)}", highlight=False)


@app.command()
def show(name: Name) -> None:
    """Show a model's facts, and its card for people."""
    with _exit_codes():
        full = _named(name)
        facts = asdict(model_card(full))
        for fact, value in facts.items():
            out.print(f"{fact:20} {value}", highlight=False, markup=False, soft_wrap=True)
        card = model_folder(full) / "README.md"
    if card.is_file():
        out.print(f"\n{card.read_text(encoding='utf-8')}", highlight=False, markup=False, soft_wrap=True)


@app.command()
def pull(
    url: Annotated[str, typer.Argument(help="A zip or tar archive of a model, or one file of weights.")],
    sha256: Annotated[str, typer.Option(help="What the file at the URL must be.")],
    to: Annotated[Path, typer.Option(help="Folder that receives it; not there yet, or empty.")],
) -> None:
    """Fetch a model, or go on with it; a wrong hash, or a pickle that is more than weights, is refused."""
    from models.store.pull import Wanted
    from models.store.pull import pull as fetch

    with _exit_codes(), _bytes_bar() as told:
        names = fetch(Wanted(url=url, sha256=sha256, folder=to), told)
    for name in names:
        out.print(f'verified; in lungspread.toml: model = "{name}"', highlight=False, markup=False, soft_wrap=True)
    if not names:
        out.print(f"verified: one file, in {to}", highlight=False, markup=False, soft_wrap=True)


@app.command()
def verify(name: Name, device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto") -> None:
    """Check that a model's weights are those of its card; one made elsewhere is loaded once, too."""
    with _exit_codes():
        check = check_model(_named(name), InferenceSettings(device=device))
    card = check.card
    line = f"{card.name} {card.version} is whole: {card.weights_sha256}"
    out.print(line, highlight=False, markup=False, soft_wrap=True)


def _named(name: str) -> str:
    """Return the name of a model that may have been given as its folder alone."""
    kind = kind_of(Path(name)) if name not in MODELS else ""
    return f"{kind}:{name}" if kind else name


@contextmanager
def _exit_codes() -> Iterator[None]:
    try:
        yield
    except ModelError as error:
        sys.stderr.write(f"lungspread: {error}\n")
        raise typer.Exit(FAILED if isinstance(error, DownloadInterrupted) else REFUSED) from None


@contextmanager
def _bytes_bar() -> Iterator[ProgressCallback]:
    console = Console(stderr=True)
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("pulling", total=None)
        yield lambda there, total: progress.update(task, completed=there, total=total)
