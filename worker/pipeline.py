"""The analysis pipeline: load -> segment -> measure -> compare -> encode. Files at both ends, pure steps between."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dicom_node.jobs import job_key
from dicom_node.series import Document
from models.lungs.lungs import Lungs
from models.lungs.outline import find_lung_air, outline_lungs
from models.segmenter import ModelCard, Progress, Segmenter
from models.volume import Mask, Volume
from worker.ct.chest import require_lungs
from worker.ct.plausibility import require_hounsfield
from worker.ct.reader import LoadedSeries, load
from worker.findings import Finding, Findings
from worker.follow_up.acquisition import Acquisition
from worker.follow_up.compare import compare, with_known_identities
from worker.lesions.lesion import Lesion, find_lesions
from worker.lesions.location import locate
from worker.lesions.measure import measure
from worker.lesions.uncertainty import sizes_of, uncertainty_of
from worker.outputs.dicom.source import Source, source_of
from worker.outputs.encode import encode
from worker.outputs.json.write import write_findings
from worker.outputs.page.page import write_page
from worker.priors.acquisition import acquisition_of
from worker.priors.collect import read_priors
from worker.priors.files import LUNGS_FILE, NOT_QUERIED, CollectedFiles
from worker.priors.lung_mask import write_lungs
from worker.report import Report
from worker.staging.extent import extent_of

PAGE = "page"
"""The output that is not a DICOM document: report.png and report.pdf."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisRequest:
    """The parameters of one analysis. priors: the files of the prior scans.

    images_sha256: `dicom_node.series.images_sha256` of the series. replaces: key of the job whose report this one's
    replaces.
    needs_whole_lungs: whether another series of the study is tried first if this scan ends within the lungs.
    on_step: called with the name of each step as it begins; what it raises ends the analysis.
    """

    job_key: str
    images_sha256: str
    config_hash: str
    outputs: tuple[str, ...]
    priors: CollectedFiles = NOT_QUERIED
    needs_whole_lungs: bool = False
    on_step: Callable[[str], None] = lambda _step: None
    replaces: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """Result of one analysis: the report, and its DICOM documents in the output folder."""

    report: Report
    documents: list[Document]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadScan:
    """A series with all that the comparison and the documents take from its headers."""

    series: LoadedSeries
    source: Source
    acquisition: Acquisition


def analyse(
    paths: Sequence[Path], request: AnalysisRequest, segmenter: Segmenter, out: Path, progress: Progress
) -> Analysis:
    """Analyse the files of one CT series and write its documents, findings.json and page into the folder `out`.

    Raises SeriesRejected if the series cannot be analysed, ModelError if the model cannot run.
    """
    request.on_step("read")
    scan = read_scan(paths)
    series = scan.series
    request.on_step("find lungs")
    air = find_lung_air(series.volume)
    require_lungs(series, air, whole=request.needs_whole_lungs)
    request.on_step("segment")
    mask = segmenter.segment(series.volume, progress)
    request.on_step("measure")
    images_key = job_key(request.images_sha256, request.config_hash)
    findings = find(series, mask, outline_lungs(air), segmenter.card, request.job_key, images_key)
    request.on_step("compare")
    comparison = compare(findings, scan.acquisition, read_priors(request.priors, segmenter.card))
    report = Report(
        findings=with_known_identities(findings, comparison), comparison=comparison, replaces=request.replaces
    )
    request.on_step("write")
    write_findings(report, out / "findings.json")
    if findings.lungs is not None:
        write_lungs(findings.lungs, out / LUNGS_FILE)
    if PAGE in request.outputs:
        write_page(report, out)
    return Analysis(report=report, documents=_write_documents(scan.source, report, request.outputs, out))


def read_scan(paths: Sequence[Path]) -> ReadScan:
    """Read and check all that is needed of the files of a series. Raises SeriesRejected."""
    series = load(paths)
    require_hounsfield(series)
    return ReadScan(series=series, source=source_of(series), acquisition=acquisition_of(series.datasets[0]))


def find(
    series: LoadedSeries,
    mask: Mask,
    lungs: Lungs | None,
    card: ModelCard,
    job_key: str,
    images_key: str | None = None,
) -> Findings:
    """Return the findings of a mask: its lesions, measured in the volume and located in the lungs, and their extent.

    lungs: None if they could not be outlined. images_key: the job key without priors; default: `job_key`. The lesions'
    tracking UIDs are derived from it, so that they stay the same if a prior arrives later and the comparison is
    repeated.
    """
    lesions = find_lesions(mask, card, images_key or job_key)
    findings = tuple(_finding(lesion, series.volume, lungs) for lesion in lesions)
    return Findings(
        job_key=job_key,
        study_uid=series.study_uid,
        series_uid=series.series_uid,
        frame_of_reference_uid=series.frame_of_reference_uid,
        frames=series.frames,
        volume=series.volume,
        card=card,
        findings=findings,
        lungs=lungs,
        extent=extent_of(findings, lungs),
    )


def _finding(lesion: Lesion, volume: Volume, lungs: Lungs | None) -> Finding:
    measurement = measure(lesion, volume)
    sizes = sizes_of(lesion, measurement, volume)
    return Finding(
        lesion=lesion,
        measurement=measurement,
        sizes=sizes,
        uncertainty=uncertainty_of(sizes),
        location=locate(lesion, volume.affine, lungs) if lungs is not None else None,
    )


def _write_documents(source: Source, report: Report, outputs: Sequence[str], out: Path) -> list[Document]:
    documents = []
    for name, dataset in encode(report, source, outputs).items():
        dataset.save_as(out / f"{name}.dcm", enforce_file_format=True)
        documents.append(
            Document(
                sop_class_uid=str(dataset.SOPClassUID),
                sop_instance_uid=str(dataset.SOPInstanceUID),
                file_name=f"{name}.dcm",
            )
        )
    return documents
