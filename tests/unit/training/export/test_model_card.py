import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fixtures.training.judged import JUDGED_CARD
from training.data.cache import Entry
from training.export.model_card import CardContent, card_text
from training.run_once import Step, run_once

ENTRY = Entry(
    source="dicom",
    patient="Smith",
    name="Smith/1.2.3",
    folder="x",
    shape=(40, 512, 512),
    spacing_mm=(2.0, 0.7, 0.7),
    whole=True,
    first_slice=0,
    has_readers=False,
    tumour_slices=5,
    tumour_ml=1.5,
    recipe="dicom 1",
    files={},
)
CONTENT = CardContent(
    card=JUDGED_CARD,
    parameters=1_500_000,
    data_licence="in house",
    entries=(ENTRY, replace(ENTRY, patient="Jones", name="Jones/1.2.4", spacing_mm=(3.5, 0.7, 0.7))),
    splits={"dicom": {"train": ["Smith"], "validation": [], "test": ["Jones"]}},
    splits_sha256="5" * 64,
    evaluation=None,
    run={
        "settings": {"steps": 700, "crop": 128},
        "gpus": ["NVIDIA X"],
        "machine": "x86_64",
        "threads": 4,
        "git_revision": "",
        "python": "3.11",
        "libraries": {"torch": "2.13.0"},
    },
    seconds=7200.0,
)


def test_names_of_a_sites_folders_are_not_in_the_card() -> None:
    text = card_text(CONTENT)

    assert "Smith" not in text
    assert "Jones" not in text
    assert f"* dicom, train: 1: {hashlib.sha256(b'dicom/Smith').hexdigest()[:12]}" in text


def test_the_card_names_the_data_the_budget_and_that_nothing_was_evaluated() -> None:
    text = card_text(CONTENT)

    assert "| dicom | in house | 2 | 2 | 80 | 10 | 3.0 | 2 to 3.5 |" in text
    assert "Trained on slices of 2 mm" in text  # the slices of the test part are not trained on
    assert "* 700 steps in 120 min on NVIDIA X" in text
    assert "1.50 million parameters" in text
    assert "Not evaluated" in text


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            {"network": "2.5d-efficientnet", "imagenet": True},
            "EfficientNet-lite0 trained on ImageNet",
        ),
        ({"network": "2.5d-efficientnet", "imagenet": False}, "random"),
        ({"network": "2.5d-residual", "imagenet": True}, "random"),
        ({"network": "2.5d", "init_from": "runs/Smith/average.pt"}, "those of another run."),
        (
            {"network": "2.5d", "init_from": "models/Smith:3"},
            "those of another model, whose data and licence also apply.",
        ),
    ],
)
def test_the_card_names_the_initial_weights(settings: dict[str, object], expected: str) -> None:
    text = card_text(replace(CONTENT, run={**CONTENT.run, "settings": {**CONTENT.run["settings"], **settings}}))

    assert f"* Initial weights: {expected}" in text
    assert "Smith" not in text


def test_a_step_runs_once_for_the_same_inputs_while_its_outputs_exist(tmp_path: Path) -> None:
    output, calls = tmp_path / "output", []

    def step(**inputs: object) -> Step:
        def work() -> None:
            calls.append(inputs)
            output.write_text("")

        return Step(name="train", inputs=inputs, outputs=[output], work=work)

    assert run_once(tmp_path, step(data="a"))
    assert not run_once(tmp_path, step(data="a"))
    assert run_once(tmp_path, step(data="b"))
    output.unlink()
    assert run_once(tmp_path, step(data="b"))
    assert calls == [{"data": "a"}, {"data": "b"}, {"data": "b"}]


def test_a_step_that_failed_is_not_done(tmp_path: Path) -> None:
    def fail() -> None:
        raise MemoryError

    for _ in range(2):
        with pytest.raises(MemoryError):
            run_once(tmp_path, Step(name="train", inputs={}, outputs=[], work=fail))
