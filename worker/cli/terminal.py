"""The `--config` option, standard output, progress bar and exit codes that the commands share."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.progress import Progress

from dicom_node.errors import JournalDamaged, NodeError, SeriesRejected
from models.segmenter import ModelError
from models.segmenter import Progress as ProgressCallback

REJECTED, FAILED, DAMAGED = 2, 1, 3
"""Exit codes besides 0: the input was rejected; any other error; the journal is damaged, and a restart is of no use.

The reason is one line on standard error.
"""

Config = Annotated[Path | None, typer.Option(help="Path of lungspread.toml. Default: built-in values and environment.")]
out = Console()


@contextmanager
def exit_codes() -> Iterator[None]:
    """Turn the errors of the service into an exit code and one line on standard error. Also a decorator of commands."""
    try:
        yield
    except SeriesRejected as rejection:
        fail(str(rejection), REJECTED)
    except JournalDamaged as error:
        fail(str(error), DAMAGED)
    except (NodeError, ModelError) as error:
        fail(str(error), FAILED)


def fail(line: str, code: int) -> NoReturn:
    """Write the line to standard error and exit with this code."""
    sys.stderr.write(f"lungspread: {line}\n")
    raise typer.Exit(code) from None


@contextmanager
def progress_bar(description: str) -> Iterator[ProgressCallback]:
    """Yield a callback that takes the fraction done, 0 to 1, and draws it on standard error if that is a terminal."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(description, total=1.0)
        yield lambda fraction: progress.update(task, completed=fraction)
