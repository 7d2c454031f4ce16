"""THE LINE: load -> segment -> find lesions -> measure -> place -> encode. Pure in the middle, files at both ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dicom_node.series import Document
from models.lungs.lungs import Lungs
from models.lungs.outline import outline_lungs
from models.segmenter import ModelCard, Progress, Segmenter
from models.volume import Mask, Volume
from worker.anatomy import place
from worker.findings import Finding, Findings
from worker.lesions import Lesion, find_lesions
from worker.load import LoadedSeries, load
from worker.measurements import measure
from worker.outputs import encode
from worker.outputs.findings_json import write_findings
from worker.outputs.page import write_page
from worker.spread import spread_of
from worker.uncertainty import sizes_of, uncertainty_of

PAGE = "page"
"""The output that is no DICOM document: report.png and report.pdf."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisRequest:
    """What a job asks of the line besides its images."""

    job_key: str
    recipe: str
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """What came of a series: the findings, and the documents in the folder that was given."""

    findings: Findings
    documents: list[Document]


def analyse(
    paths: Sequence[Path], request: AnalysisRequest, segmenter: Segmenter, out: Path, progress: Progress
) -> Analysis:
    """Analyse the files of one CT series and write its documents, findings.json and page into the folder `out`.

    Raises SeriesRejected when the series cannot be analysed, ModelError when the model cannot run.
    """
    series = load(paths)
    mask = segmenter.segment(series.volume, progress)
    findings = find(series, mask, segmenter.card, request.job_key)
    write_findings(findings, out / "findings.json")
    if PAGE in request.outputs:
        write_page(findings, out)
    return Analysis(findings=findings, documents=_write_documents(series, findings, request.outputs, out))


def find(series: LoadedSeries, mask: Mask, card: ModelCard, job_key: str) -> Findings:
    """Turn a mask into findings: lesions, each measured in the volume and placed in the lungs, and their spread."""
    lungs = outline_lungs(series.volume)
    findings = tuple(_finding(lesion, series.volume, lungs) for lesion in find_lesions(mask, card, job_key))
    return Findings(
        job_key=job_key,
        study_uid=series.study_uid,
        series_uid=series.series_uid,
        frame_of_reference_uid=series.frame_of_reference_uid,
        sop_instance_uids=series.sop_instance_uids,
        volume=series.volume,
        card=card,
        findings=findings,
        lungs=lungs,
        spread=spread_of(findings, lungs),
    )


def _finding(lesion: Lesion, volume: Volume, lungs: Lungs | None) -> Finding:
    measurement = measure(lesion, volume)
    return Finding(
        lesion=lesion,
        measurement=measurement,
        uncertainty=uncertainty_of(sizes_of(lesion, measurement, volume)),
        place=place(lesion, volume.affine, lungs) if lungs is not None else None,
    )


def _write_documents(series: LoadedSeries, findings: Findings, outputs: Sequence[str], out: Path) -> list[Document]:
    documents = []
    for name, dataset in encode(findings, series.datasets, outputs).items():
        dataset.save_as(out / f"{name}.dcm", enforce_file_format=True)
        documents.append(
            Document(
                sop_class_uid=str(dataset.SOPClassUID),
                sop_instance_uid=str(dataset.SOPInstanceUID),
                file_name=f"{name}.dcm",
            )
        )
    return documents
