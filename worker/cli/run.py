"""`lungspread run`: analyse a folder without a PACS."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from worker.cli.terminal import Config, exit_codes, out, progress_bar


@exit_codes()
def run(
    ct_folder: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="One CT series.")],
    out_folder: Annotated[Path, typer.Option("--out", help="Receives seg.dcm, sr.dcm and findings.json.")],
    prior: Annotated[
        list[Path] | None,
        typer.Option(exists=True, file_okay=False, help="A prior CT series, its results, or both; may be repeated."),
    ] = None,
    pictures: Annotated[bool, typer.Option(help="Also draw PNG pictures.")] = False,
    config: Config = None,
) -> None:
    """Analyse a folder without a PACS."""
    from models.registry import load_model
    from worker.cli.prior_folders import priors_in_folders
    from worker.folder import analyse_folder
    from worker.outputs.page.pictures import draw
    from worker.settings import load_settings

    with progress_bar("analysing") as progress:
        settings = load_settings(config).worker
        segmenter = load_model(settings.model, settings.inference, sha256=settings.model_sha256)
        priors = priors_in_folders(prior or [], ct_folder, out_folder, settings, segmenter, progress)
        findings = analyse_folder(ct_folder, out_folder, settings, segmenter, progress, priors).report.findings
        if pictures:
            draw(findings, out_folder)
    table = Table(
        "lesion", "volume ml", "long axis mm", "short axis mm", "mean HU", title="research, not for diagnosis"
    )
    for finding in findings.findings:
        measured = finding.measurement
        axes = f"{measured.long_axis.length_mm:.1f}", f"{measured.short_axis.length_mm:.1f}"
        table.add_row(
            finding.lesion.tracking_id, f"{measured.volume_ml:.2f}", *axes, f"{measured.intensity.mean_hu:.0f}"
        )
    out.print(table)
