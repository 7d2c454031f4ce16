from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pydicom
import pytest

from dicom_node.errors import SeriesRejected
from models.segmenter import ModelCard, ModelError, Progress
from models.volume import Mask, Volume
from tests.fixtures.models.threshold_segmenter import LARGE_ONLY, ThresholdSegmenter
from tests.fixtures.worker.multi_frame import converted
from worker.ct.rejections import MissingSlices
from worker.phantom.chest import PhantomLesion, PhantomSpec, chest_phantom
from worker.phantom.dicom import write_series
from worker.pipeline import Analysis, AnalysisRequest, analyse

KEY = "e" * 64
LESIONS = (
    PhantomLesion(centre_mm=(-78.0, -12.0, 4.0), half_axes_mm=(18.0, 14.0, 16.0), turn_rad=0.5),
    PhantomLesion(centre_mm=(82.0, 14.0, -12.0), half_axes_mm=(12.0, 12.0, 12.0)),
)
SPEC = PhantomSpec(
    shape=(32, 200, 200), spacing_mm=(2.5, 1.75, 1.75), lesions=LESIONS, noise_hu=5.0, vessels_per_lung=0
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FailingSegmenter:
    """A segmenter whose device is lost."""

    card: ModelCard = LARGE_ONLY

    def segment(self, volume: Volume, progress: Progress) -> Mask:
        """Raise ModelError after the first progress call."""
        progress(0.1)
        raise ModelError(f"device lost over {volume.hu.size} voxels")


@pytest.fixture(scope="module")
def ct(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_series(tmp_path_factory.mktemp("ct"), chest_phantom(SPEC))


def run_pipeline(ct: list[Path], out: Path, segmenter: Any, outputs: tuple[str, ...] = ("seg", "sr")) -> Analysis:  # noqa: ANN401  (a Segmenter)
    out.mkdir(exist_ok=True)
    request = AnalysisRequest(job_key=KEY, images_sha256=KEY, config_hash="r", outputs=outputs)
    return analyse(ct, request, segmenter, out, lambda _fraction: None)


def test_the_pipeline_finds_and_measures_the_lesions_of_a_phantom(ct: list[Path], tmp_path: Path) -> None:
    findings = run_pipeline(ct, tmp_path, ThresholdSegmenter(lesions=LESIONS)).report.findings.findings

    assert len(findings) == 2
    for finding, truth in zip(findings, LESIONS, strict=True):
        assert finding.lesion.centroid_mm == pytest.approx(truth.centre_mm, abs=0.5)
        assert finding.measurement.volume_ml == pytest.approx(truth.volume_ml, rel=0.05)
        assert finding.measurement.long_axis.length_mm == pytest.approx(truth.long_axis_mm, abs=1.75)
        assert finding.measurement.short_axis.length_mm == pytest.approx(truth.short_axis_mm, abs=1.75)


def test_a_multi_frame_image_has_the_findings_of_its_single_frames(ct: list[Path], tmp_path: Path) -> None:
    converted([pydicom.dcmread(file) for file in ct]).save_as(tmp_path / "ct.dcm", enforce_file_format=True)
    for name, files in (("single", ct), ("multi", [tmp_path / "ct.dcm"])):
        run_pipeline(files, tmp_path / name, ThresholdSegmenter(lesions=LESIONS))

    single, multi = (
        without_uids(json.loads((tmp_path / name / "findings.json").read_text())) for name in ("single", "multi")
    )
    assert len(multi["lesions"]) == 2
    assert multi == single


def without_uids(content: Any) -> Any:  # noqa: ANN401  (JSON)
    """Return the content of findings.json without what differs between images with other UIDs."""
    if isinstance(content, list):
        return [without_uids(each) for each in content]
    if not isinstance(content, dict):
        return content
    others = {"sop_instance_uid", "frame_number", "tracking_uid"}
    return {key: without_uids(value) for key, value in content.items() if key not in others}


def test_returned_documents_are_those_in_the_folder(ct: list[Path], tmp_path: Path) -> None:
    documents = run_pipeline(ct, tmp_path, ThresholdSegmenter(lesions=LESIONS)).documents

    assert [document.file_name for document in documents] == ["seg.dcm", "sr.dcm"]
    assert {path.name for path in tmp_path.iterdir()} == {"seg.dcm", "sr.dcm", "findings.json"}
    for document in documents:
        written = pydicom.dcmread(tmp_path / document.file_name)
        assert written.SOPInstanceUID == document.sop_instance_uid
        assert written.SOPClassUID == document.sop_class_uid


def test_only_the_requested_outputs_are_written(ct: list[Path], tmp_path: Path) -> None:
    documents = run_pipeline(ct, tmp_path, ThresholdSegmenter(lesions=LESIONS), outputs=("sr",)).documents

    assert [document.file_name for document in documents] == ["sr.dcm"]
    assert {path.name for path in tmp_path.iterdir()} == {"sr.dcm", "findings.json"}


def test_a_scan_without_a_lesion_has_a_report_and_no_segmentation(ct: list[Path], tmp_path: Path) -> None:
    analysis = run_pipeline(ct, tmp_path, ThresholdSegmenter(lesions=()))

    assert analysis.report.findings.findings == ()
    assert [document.file_name for document in analysis.documents] == ["sr.dcm"]
    assert json.loads((tmp_path / "findings.json").read_text())["lesions"] == []


def test_a_repeated_job_writes_the_same_bytes(ct: list[Path], tmp_path: Path) -> None:
    for name in ("first", "second"):
        run_pipeline(ct[:: 1 if name == "first" else -1], tmp_path / name, ThresholdSegmenter(lesions=LESIONS))

    for file in ("findings.json", "seg.dcm", "sr.dcm"):
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes()


def test_findings_json_holds_every_number_of_the_report_with_its_unit(ct: list[Path], tmp_path: Path) -> None:
    run_pipeline(ct, tmp_path, ThresholdSegmenter(lesions=LESIONS))
    written = json.loads((tmp_path / "findings.json").read_text())
    report = pydicom.dcmread(tmp_path / "sr.dcm")

    numbers, axes = set(), []
    for item in content(report):
        if item.ValueType == "NUM":
            numbers.add(round(float(item.MeasuredValueSequence[0].NumericValue), 4))
        if item.ValueType == "SCOORD":
            axes.append([round(value - 0.5, 3) for value in item.GraphicData])
    assert len(written["lesions"]) == 2
    for lesion in written["lesions"]:
        for key in ("volume_ml", "long_axis_mm", "short_axis_mm", "mean_hu", "sd_hu"):
            assert lesion[key] in numbers
        for axis in (lesion["long_axis"], lesion["short_axis"]):
            ends = [*axis["start_column_row_px"], *axis["end_column_row_px"]]
            assert any(ends == pytest.approx(drawn_axis, abs=0.002) for drawn_axis in axes)


def content(item: Any) -> list[Any]:  # noqa: ANN401  (an item of a report)
    """Return all items below this one."""
    below = list(item.get("ContentSequence", []))
    return below + [deeper for each in below for deeper in content(each)]


def test_findings_json_names_model_and_series_and_no_patient_or_time(ct: list[Path], tmp_path: Path) -> None:
    analysis = run_pipeline(ct, tmp_path, ThresholdSegmenter(lesions=LESIONS))
    text = (tmp_path / "findings.json").read_text()
    written = json.loads(text)

    assert written["schema_version"] == 5
    assert written["model"]["weights_sha256"] == "0123456789abcdef" * 4
    assert written["series_uid"] == analysis.report.findings.series_uid
    assert written["frame_of_reference_uid"] == analysis.report.findings.frame_of_reference_uid
    assert [lesion["tracking_uid"] for lesion in written["lesions"]] == [
        finding.lesion.tracking_uid for finding in analysis.report.findings.findings
    ]
    assert list(written) == sorted(written)
    for identifying in ("PHANTOM", "PH-0001", "19500101", "20260504"):
        assert identifying not in text


def test_lesions_below_the_cards_smallest_volume_are_not_reported(ct: list[Path], tmp_path: Path) -> None:
    card = replace(LARGE_ONLY, smallest_lesion_ml=10.0)

    findings = run_pipeline(ct, tmp_path, ThresholdSegmenter(lesions=LESIONS, card=card)).report.findings.findings

    assert len(findings) == 1


def test_a_rejected_series_leaves_no_document(ct: list[Path], tmp_path: Path) -> None:
    with pytest.raises(MissingSlices) as rejected:
        run_pipeline(ct[:10] + ct[11:], tmp_path, ThresholdSegmenter(lesions=LESIONS))

    assert isinstance(rejected.value, SeriesRejected)
    assert list(tmp_path.iterdir()) == []


def test_a_failing_model_leaves_no_document(ct: list[Path], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="device lost"):
        run_pipeline(ct, tmp_path, FailingSegmenter())

    assert list(tmp_path.iterdir()) == []
