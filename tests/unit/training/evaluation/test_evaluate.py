import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.segmenter import ModelCard, Progress
from tests.fixtures.training.judged import JUDGED_CARD, box, predicted
from training.data.cache import close, write_stack
from training.data.splits import as_text, write_splits
from training.data.volume import Stack
from training.evaluation.evaluate import EvaluationSet, evaluate_model, headlines, held_back
from training.evaluation.predict import OperatingPoint, predict
from training.evaluation.summary import metrics_summary, plain

SHAPE = (6, 48, 48)
TUMOUR = box(SHAPE, (1, 16, 16), (5, 28, 28))
VESSEL = box(SHAPE, (0, 36, 4), (6, 41, 9))
SPLIT = {
    "msd": {"train": [], "validation": [], "test": ["a", "b"]},
    "lidc": {"train": [], "validation": [], "test": ["c"]},
}


class Densities:
    """A model that marks everything denser than -100 HU, with a probability that grows with the density."""

    card: ModelCard = JUDGED_CARD

    def probability(
        self, hu: np.ndarray, spacing: tuple[float, float, float], progress: Progress, *_: object
    ) -> np.ndarray:
        """Return 0.5 at -100 HU and 1 at 100 HU."""
        assert len(spacing) == 3
        progress(1.0)
        return np.clip((hu + 300) / 400, 0, 1).astype(np.float32)


def stack(patient: str, hu: np.ndarray, mask: np.ndarray, **fields: object) -> Stack:
    return predicted(mask, mask * 0.0, patient=patient, name=patient, hu=hu.astype(np.int16), **fields).stack


def stacks() -> list[Stack]:
    """Patient a: outlined exactly. b: a vessel is marked too, and some slices have no tumour. c: a nodule."""
    tissue = np.where(TUMOUR, 60, -850)
    beside = np.where(TUMOUR | VESSEL, 20, -850)
    readers = (TUMOUR * 0b01 + np.roll(TUMOUR, 2, 1) * 0b10).astype(np.uint8)
    return [
        stack("a", tissue, TUMOUR),
        stack("b", beside, TUMOUR),
        stack("b", np.where(VESSEL, 20, -850), np.zeros(SHAPE, bool), first_slice=20),
        stack("c", tissue, TUMOUR, source="lidc", whole=False, readers=readers),
    ]


def numbers_in(value: object) -> list[int | float]:
    if isinstance(value, dict):
        return [number for item in value.values() for number in numbers_in(item)]
    if isinstance(value, list):
        return [number for item in value for number in numbers_in(item)]
    return [value] if isinstance(value, int | float) and not isinstance(value, bool) else []


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "evaluation"
    write_splits(folder.parent / "split.json", SPLIT)
    evaluate_model(
        Densities(), EvaluationSet(stacks=stacks(), part="test", splits=folder.parent / "split.json"), folder, 0
    )
    return folder


@pytest.fixture(scope="module")
def evaluation(folder: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
    return read


def test_the_json_names_model_split_and_operating_point(folder: Path, evaluation: dict[str, Any]) -> None:
    import hashlib

    split = (folder.parent / "split.json").read_bytes()

    assert evaluation["model"]["weights_sha256"] == JUDGED_CARD.weights_sha256
    assert evaluation["split"] == {"file": "split.json", "part": "test", "sha256": hashlib.sha256(split).hexdigest()}
    assert evaluation["operating_point"] == {"peak_threshold": 0.5, "smallest_lesion_ml": 0.1, "threshold": 0.5}
    assert {name: (s["patients"], s["cases"], s["slices"]) for name, s in evaluation["sources"].items()} == {
        "lidc": (1, 1, 6),
        "msd": (2, 2, 18),
    }


def test_the_keys_of_the_json_are_sorted(folder: Path, evaluation: dict[str, Any]) -> None:
    again = json.dumps(evaluation, indent=1, sort_keys=True) + "\n"

    assert (folder / "evaluation.json").read_text(encoding="utf-8") == again


def test_the_numbers_equal_those_computed_by_hand(evaluation: dict[str, Any]) -> None:
    msd = evaluation["sources"]["msd"]
    tumour, vessel = 4 * 12 * 12, 6 * 5 * 5
    dices = {case["case"]: case["dice"] for case in msd["per_case"]}

    assert dices == {"a": 1.0, "b": pytest.approx(2 * tumour / (2 * tumour + 2 * vessel), abs=1e-5)}
    assert msd["over_cases"]["dice_mean"]["value"] == pytest.approx(sum(dices.values()) / 2, abs=1e-4)
    assert msd["over_cases"]["volume_error_ml_mean"]["value"] == pytest.approx(vessel / 1000, abs=1e-4)
    assert msd["over_cases"]["dice_mean"]["few_patients"] is True
    assert msd["detection"]["lesions"] == 2
    assert msd["detection"]["sensitivity_at_operating_point"]["value"] == 1
    assert msd["detection"]["false_per_scan_at_operating_point"]["value"] == 1  # two vessels in b, none in a
    assert msd["false_positives"]["tumour_free_slices"] == 2 + 2 + 6
    assert msd["false_positives"]["marks_per_slice"]["value"] == 8 / 10
    assert [(group["group"], group["lesions"]) for group in msd["by_size"]] == [("all", 2), ("over 10 to 20 mm", 2)]


def test_model_and_readers_are_compared(evaluation: dict[str, Any]) -> None:
    readers = evaluation["sources"]["lidc"]["readers"]
    pairwise = 2 * (4 * 10 * 12) / (2 * 4 * 12 * 12)  # two readers, one of them two rows lower

    assert readers["lesions"] == 1
    assert readers["readers_pairwise_mean"]["value"] == pytest.approx(pairwise, abs=1e-4)
    assert readers["model_to_majority_mean"]["value"] == 1
    assert readers["model_to_readers_mean"]["value"] == pytest.approx((1 + pairwise) / 2, abs=1e-4)


def test_the_page_holds_every_number_of_the_json_and_needs_no_network(folder: Path, evaluation: dict[str, Any]) -> None:
    page = (folder / "report.html").read_text(encoding="utf-8")
    text = re.sub(r"<[^>]*>", " ", re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]*", "", page))
    shown = set(re.findall(r"-?\d+(?:\.\d+)?(?:e-?\d+)?", text))
    wanted = {json.dumps(number) for number in numbers_in(evaluation)}

    assert len(wanted) > 50
    assert wanted <= shown
    assert not re.findall(r"https?://|<script|<link", page)
    assert set(re.findall(r'src="(.{22})', page)) == {"data:image/png;base64,"}
    assert evaluation["split"]["sha256"] in text


def test_the_page_shows_best_median_and_worst_case(folder: Path) -> None:
    captions = re.findall(r"<figcaption>([^<]*case: [^<]*)<", (folder / "report.html").read_text(encoding="utf-8"))

    assert captions == [
        "best case: c",
        "median case: c",
        "worst case: c",
        "best case: a",
        "median case: a",
        "worst case: b",
    ]


def test_the_same_cases_give_the_same_numbers(evaluation: dict[str, Any]) -> None:
    point = OperatingPoint(threshold=JUDGED_CARD.threshold, peak_threshold=JUDGED_CARD.peak_threshold)

    assert plain(metrics_summary(predict(Densities(), stacks()[::-1]), point, JUDGED_CARD)) == evaluation["sources"]


def test_a_generated_chest_without_a_lesion_only_counts_false_positives(tmp_path: Path) -> None:
    write_splits(tmp_path / "split.json", SPLIT)

    evaluation = evaluate_model(
        Densities(), EvaluationSet(stacks=[], part="test", splits=tmp_path / "split.json"), tmp_path, 1
    )

    chest = evaluation["sources"]["phantom-free"]
    assert (chest["detection"], chest["calibration"], chest["over_cases"]["dice_mean"]["value"]) == (None, None, None)
    assert chest["false_positives"]["tumour_free_scans"] == 1
    assert chest["false_positives"]["false_lesions_per_tumour_free_scan"]["value"] >= 1  # the body itself
    assert (tmp_path / "report.html").is_file()
    (line,) = headlines(evaluation)
    assert re.fullmatch(r"phantom-free: false lesions per scan \d+\.\d+ \(None to None\), 1 cases, 1 patients", line)


def test_a_part_is_taken_from_the_split_of_the_cache(tmp_path: Path) -> None:
    entries = [write_stack(tmp_path, item, {}) for item in stacks() if item.patient != "b"]
    split = {**SPLIT, "msd": {"train": ["a"], "validation": [], "test": []}}
    close(tmp_path, entries, as_text(split))

    evaluation_set = held_back(tmp_path, "test", Path("not-read.json"))

    assert [item.patient for item in evaluation_set.stacks] == ["c"]
    assert evaluation_set.stacks[0].readers is not None
    assert evaluation_set.splits == tmp_path / "splits.json"
    with pytest.raises(ValueError, match="no patient of the part validation"):
        held_back(tmp_path, "validation", Path("not-read.json"))
