"""`lungspread send`: send a folder to a peer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from worker.cli.terminal import FAILED, Config, exit_codes, fail, out, progress_bar


@exit_codes()
def send(
    folder: Annotated[Path, typer.Argument(exists=True, file_okay=False)],
    to: Annotated[str, typer.Option(help="Name of a peer in the configuration.")],
    config: Config = None,
) -> None:
    """Send the DICOM files of a folder to a peer, by C-STORE or STOW-RS."""
    from dicom_node.network.sender import make_sender
    from worker.ct.files import dicom_files
    from worker.settings import load_settings

    settings = load_settings(config)
    peer = next((peer for peer in settings.peers if peer.name == to), None)
    if peer is None:
        fail(f"no peer is called {to}; there are: {', '.join(p.name for p in settings.peers) or 'none'}", FAILED)
    files, refused = dicom_files(folder), 0
    with progress_bar("sending") as progress:
        for count, outcome in enumerate(make_sender(peer, settings.node).store(files), start=1):
            progress(count / len(files))
            if outcome.error is not None:
                refused += 1
                out.print(str(outcome.error))
    out.print(f"{len(files) - refused} of {len(files)} instances stored by {to}")
    if refused or not files:
        raise typer.Exit(FAILED)
