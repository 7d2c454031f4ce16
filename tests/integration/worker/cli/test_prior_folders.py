from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest
from pydicom import dcmread

from dicom_node.errors import SettingsError
from dicom_node.prior import PriorSearch
from models.segmenter import ModelCard, Progress
from models.volume import Mask, Volume
from tests.fixtures.models.model_card import CARD
from tests.fixtures.worker.multi_frame import enhanced, groups_of
from tests.fixtures.worker.phantom_timeline import TrueLesion, true_mask
from tests.fixtures.worker.reading import everything
from worker.cli.prior_folders import priors_in_folders
from worker.folder import analyse_folder
from worker.follow_up.comparison import Comparison, ComparisonStatus
from worker.follow_up.matching import Event
from worker.phantom.chest import PhantomLesion, PhantomSpec, chest_phantom
from worker.phantom.dicom import write_series
from worker.priors.files import NOT_QUERIED, CollectedFiles
from worker.settings import WorkerSettings

LESION = PhantomLesion(centre_mm=(-78.0, -12.0, 20.0), half_axes_mm=(14.0, 14.0, 14.0))
SETTINGS = WorkerSettings(device="cpu", outputs=("seg", "sr"))


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedLesionSegmenter:
    """A segmenter that marks the same lesion at the same place in every scan."""

    card: ModelCard = CARD

    def segment(self, volume: Volume, progress: Progress) -> Mask:
        progress(1.0)
        lesion = TrueLesion(key="one", ellipsoids=(LESION,))
        return Mask(voxels=true_mask(lesion, volume.hu.shape, volume.affine), affine=volume.affine)


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two CT series of one patient, half a year apart."""
    root = tmp_path_factory.mktemp("scans")
    phantom = chest_phantom(PhantomSpec(shape=(52, 176, 176), spacing_mm=(5.0, 2.0, 2.0), lesions=(LESION,)))
    for name, when in (("first", datetime(2026, 1, 5)), ("later", datetime(2026, 7, 6))):
        write_series(root / name, phantom, name=name, when=when)
    return {name: root / name for name in ("first", "later")}


def priors_in(out: Path, *folders: Path, ct: Path | None = None) -> CollectedFiles:
    return priors_in_folders(folders, ct or folders[0], out, SETTINGS, FixedLesionSegmenter(), lambda _: None)


def compare(ct: Path, out: Path, priors: CollectedFiles) -> Comparison:
    return analyse_folder(ct, out, SETTINGS, FixedLesionSegmenter(), lambda _: None, priors).report.comparison


def test_a_prior_ct_without_results_is_analysed_before_the_comparison(scans: dict[str, Path], tmp_path: Path) -> None:
    priors = priors_in(tmp_path, scans["first"])
    comparison = compare(scans["later"], tmp_path, priors)

    assert {path.name for path in (tmp_path / "priors" / "1").iterdir()} >= {"seg.dcm", "sr.dcm", "lungs.nii.gz"}
    assert comparison.statement is ComparisonStatus.COMPARED
    (lesion,) = comparison.lesions
    assert lesion.event is Event.SAME
    first = dcmread(tmp_path / "priors" / "1" / "seg.dcm").SegmentSequence[0].TrackingUID
    assert lesion.tracking_uid == dcmread(tmp_path / "seg.dcm").SegmentSequence[0].TrackingUID == first


def test_a_prior_of_multi_frame_images_is_analysed_and_its_frame_is_referred_to(
    scans: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "multi").mkdir()
    image = enhanced([dcmread(file) for file in sorted(scans["first"].iterdir())])
    image.save_as(tmp_path / "multi" / "1.dcm", enforce_file_format=True)
    comparison = compare(scans["later"], tmp_path / "out", priors_in(tmp_path / "out", tmp_path / "multi"))

    assert [lesion.event for lesion in comparison.lesions] == [Event.SAME]
    sr = dcmread(tmp_path / "out" / "sr.dcm")
    (reference,) = {
        (each.ReferencedSOPInstanceUID, each.ReferencedFrameNumber)
        for each in (item.ReferencedSOPSequence[0] for item in everything(sr) if item.ValueType == "IMAGE")
        if each.ReferencedSOPClassUID == image.SOPClassUID
    }
    uid, number = reference
    plane = groups_of(image, number).PlanePositionSequence[0]
    assert (uid, plane.ImagePositionPatient[2]) == (image.SOPInstanceUID, pytest.approx(LESION.centre_mm[2], abs=2.6))


def test_results_without_ct_are_sufficient(scans: dict[str, Path], tmp_path: Path) -> None:
    """The output folder of an earlier run, without its CT: SEG, SR and the lung mask."""
    analyse_folder(scans["first"], tmp_path / "before", SETTINGS, FixedLesionSegmenter(), lambda _: None)
    comparison = compare(scans["later"], tmp_path / "now", priors_in(tmp_path / "now", tmp_path / "before"))

    assert not (tmp_path / "now" / "priors").exists(), "nothing is analysed again"
    assert comparison.statement is ComparisonStatus.COMPARED
    assert [lesion.event for lesion in comparison.lesions] == [Event.SAME]


def test_without_folders_no_priors_are_queried(tmp_path: Path) -> None:
    assert priors_in(tmp_path, ct=tmp_path) == NOT_QUERIED
    assert NOT_QUERIED.search is PriorSearch.NOT_QUERIED


def test_a_different_comparison_has_different_uids(scans: dict[str, Path], tmp_path: Path) -> None:
    compare(scans["later"], tmp_path / "alone", NOT_QUERIED)
    compare(scans["later"], tmp_path / "with-prior", priors_in(tmp_path / "with-prior", scans["first"]))
    uids = [dcmread(tmp_path / name / "sr.dcm").SOPInstanceUID for name in ("alone", "with-prior")]

    assert uids[0] != uids[1]


def test_an_empty_folder_is_rejected_by_its_number(scans: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "SECRET^NAME").mkdir()

    with pytest.raises(SettingsError, match=r"^--prior 2: the folder holds neither") as rejected:
        priors_in(tmp_path, scans["first"], tmp_path / "SECRET^NAME")
    assert "SECRET" not in str(rejected.value)


def test_a_prior_without_a_study_date_is_rejected(scans: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "undated").mkdir()
    image = dcmread(next(scans["first"].iterdir()))
    del image.StudyDate
    image.save_as(tmp_path / "undated" / "1.dcm")

    with pytest.raises(SettingsError, match="no StudyDate"):
        priors_in(tmp_path, tmp_path / "undated")


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PatientID", "SECRET-2"),
        ("PatientBirthDate", "19771224"),
        ("PatientSex", "F"),
        ("IssuerOfPatientID", "SECRET-B"),
    ],
)
def test_a_prior_of_another_patient_is_rejected(
    keyword: str, value: str, scans: dict[str, Path], tmp_path: Path
) -> None:
    (other, ct) = (tmp_path / name for name in ("other", "ct"))
    for folder, changed in ((other, {keyword: value}), (ct, {"IssuerOfPatientID": "SECRET-A"})):
        folder.mkdir()
        image = dcmread(next(scans["first"].iterdir()))
        for name, own in changed.items():
            setattr(image, name, own)
        image.save_as(folder / "1.dcm")

    with pytest.raises(SettingsError, match=r"^--prior 1: another patient: patient ID, its issuer") as rejected:
        priors_in(tmp_path, other, ct=ct)
    assert "SECRET" not in str(rejected.value)
