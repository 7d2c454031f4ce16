import csv
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from typer.testing import CliRunner

from models.lung_tumour.network import build_network
from tests.fixtures.training.short_run import RECIPE, phantom_stack, settings
from training.cli import app
from training.data.volume import Stack
from training.optimise.initial_weights import initial_weights
from training.optimise.train import train
from training.readers.case import DataRefused
from training.run_folder import trained_network
from training.sampling.batches import WHOLE_CROP, Batches, Share, recipe_for, whole_slices
from training.sampling.blocks import BLOCK_SLICES, draw_block


def curve(run: Path) -> list[tuple[int, float]]:
    with (run / "curve.csv").open() as file:
        return [(int(row["step"]), float(row["loss"])) for row in csv.DictReader(file)]


def start(run: Path, *launcher: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, *launcher, "-m", "tests.fixtures.training.short_run", str(run)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=Path(__file__).parents[4])


def test_a_run_writes_its_weights_curves_and_settings(tmp_path: Path) -> None:
    train([phantom_stack()], tmp_path, settings(steps=3))

    build_network().load_state_dict(torch.load(tmp_path / "average.pt", weights_only=True))
    assert [step for step, _ in curve(tmp_path)] == [1, 2, 3]
    facts = json.loads((tmp_path / "run.json").read_text())
    assert facts["settings"]["steps"] == 3
    assert facts["libraries"]["torch"] == torch.__version__
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [point.step for point in events.Scalars("loss")] == [1, 2, 3]


def test_a_killed_run_continues_on_the_same_curve(tmp_path: Path) -> None:
    assert start(tmp_path / "whole").wait(120) == 0

    killed = start(tmp_path / "killed")
    until = time.monotonic() + 120
    while not (tmp_path / "killed" / "checkpoint.pt").exists() and time.monotonic() < until:
        time.sleep(0.01)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    before = curve(tmp_path / "killed")
    assert start(tmp_path / "killed").wait(120) == 0

    assert len(before) < len(curve(tmp_path / "whole"))
    assert curve(tmp_path / "killed") == curve(tmp_path / "whole")


def test_two_processes_train_one_network(tmp_path: Path) -> None:
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    assert start(tmp_path, *launcher).wait(180) == 0

    assert len(curve(tmp_path)) == 6


def test_a_folder_of_another_run_is_refused(tmp_path: Path) -> None:
    train([phantom_stack()], tmp_path, settings(steps=1))

    with pytest.raises(ValueError, match="other settings: steps"):
        train([phantom_stack()], tmp_path, settings(steps=2))


def test_a_run_older_than_a_setting_continues(tmp_path: Path) -> None:
    train([phantom_stack()], tmp_path, settings(steps=2))
    facts = json.loads((tmp_path / "run.json").read_text())
    for name in ("network", "data", "whole_slices"):
        del facts["settings"][name]
    (tmp_path / "run.json").write_text(json.dumps(facts))

    train([phantom_stack()], tmp_path, settings(steps=2))

    with pytest.raises(ValueError, match="other settings: network"):
        train([phantom_stack()], tmp_path, replace(settings(steps=2), network="3d"))


RELEASED = Path(__file__).parents[4] / "models" / "lung_tumour"


def test_a_run_can_start_from_any_network_of_the_released_model(tmp_path: Path) -> None:
    frozen = replace(settings(steps=1), learning_rate=0.0)
    stored = load_file(RELEASED / "lung_tumour.safetensors")

    for number, network in ((0, "2.5d-residual"), (3, "2.5d-efficientnet")):
        run = tmp_path / network
        train([phantom_stack()], run, replace(frozen, init_from=Path(f"{RELEASED}:{number}"), network=network))
        begun = torch.load(run / "checkpoint.pt", weights_only=True)["network"]
        prefix = f"networks.{number}."
        kernels = {name: one for name, one in stored.items() if name.startswith(prefix) and one.dtype == torch.float16}
        assert len(kernels) > 10
        assert all(torch.equal(begun[name.removeprefix(prefix)], one.float()) for name, one in kernels.items())


@pytest.mark.parametrize(
    ("init_from", "why"),
    [
        (f"{RELEASED}:5", "it has 5 networks, counted from 0"),
        (f"{RELEASED}:1", "network 1 is of kind 2.5d-efficientnet, the run trains 2.5d-residual"),
        ("nowhere/average.pt", "neither a run's average.pt nor a model's folder"),
    ],
)
def test_a_run_cannot_start_from_missing_weights(init_from: str, why: str) -> None:
    with pytest.raises(DataRefused, match=why):
        initial_weights(Path(init_from), "2.5d-residual")


def test_the_same_loop_trains_the_3d_network(tmp_path: Path) -> None:
    train([phantom_stack()], tmp_path, replace(settings(steps=2), network="3d"))

    build_network("3d").load_state_dict(torch.load(tmp_path / "average.pt", weights_only=True))
    assert np.isfinite([loss for _, loss in curve(tmp_path)]).all()
    assert trained_network(tmp_path) == "3d"


def test_the_time_of_the_steps_is_stored(tmp_path: Path) -> None:
    train([phantom_stack()], tmp_path, settings(steps=1))

    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["seconds"] > 0


def test_a_block_has_the_tumour_in_its_middle_and_marks_the_ends_of_the_stack() -> None:
    stack = phantom_stack()  # six slices, 5 mm apart
    middle = int(np.asarray(stack.mask).sum((1, 2)).argmax())
    rows, columns = np.nonzero(stack.mask[middle])
    block = draw_block(stack, middle, (rows.mean(), columns.mean()), 64, np.random.default_rng(2))

    assert block.image.shape == (1, BLOCK_SLICES, 64, 64)
    assert block.target.shape == block.known.shape == (BLOCK_SLICES, 64, 64)
    assert block.target[15:17, 30:34, 30:34].min() == 1
    litres = block.target.sum() * 2.5 / 1e6
    assert litres == pytest.approx(
        np.asarray(stack.mask).sum() * np.prod(stack.spacing_mm) / 1e6, rel=0.5
    )  # scaled at random
    known = block.known.any((1, 2))
    assert 6 <= known.sum() <= 14  # 25 mm from the first slice's centre to the last one's, 2.5 mm apart, scaled
    assert not block.target[~known].any()


def test_a_recipe_for_any_data_has_its_sources_and_needs_a_tumour() -> None:
    stacks = [phantom_stack(), replace(phantom_stack(), source="dicom")]

    recipe = recipe_for(stacks)

    assert [(share.source, share.tumour, share.count) for share in recipe] == [
        ("phantom", True, 2),
        ("phantom", None, 1),
        ("dicom", True, 8),
        ("dicom", None, 4),
    ]
    assert sum(share.count for share in recipe_for(stacks, "3d")) == 6
    with pytest.raises(ValueError, match="no stack of the training part has a tumour"):
        recipe_for([replace(stacks[1], mask=np.zeros_like(stacks[1].mask))])


def test_a_batch_is_determined_by_its_number() -> None:
    batches = Batches([phantom_stack()], RECIPE, 32, seed=(1, 0))
    first, again, another = batches[7], batches[7], batches[8]

    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], another[0])


def whole_scan() -> Stack:
    """Slices of 220 mm, every one with the same tumour on 8 % of its area."""
    stack = phantom_stack()
    mask = np.zeros((6, 100, 100), bool)
    mask[:, 30:50, 20:60] = True
    return replace(stack, source="dicom", hu=stack.hu[:, 30:130, 30:130], mask=mask)


def test_every_other_batch_has_whole_slices() -> None:
    stacks = [phantom_stack(), whole_scan()]
    batches = Batches(stacks, RECIPE, 32, seed=(1, 0), whole=whole_slices(stacks, 6))

    assert [batches[number][0].shape[2:] for number in range(4)] == [(32, 32), (WHOLE_CROP, WHOLE_CROP)] * 2
    for number in (1, 3, 5):
        _, target, known = batches[number]
        assert len(target) == 6
        shares = target.sum((1, 2, 3)) / known.sum((1, 2, 3))  # independent of rotation and scale
        assert shares.numpy() == pytest.approx([0.08] * 6, rel=0.05)


def test_whole_slices_come_from_real_whole_scans_some_without_tumour() -> None:
    scan, nodule = whole_scan(), replace(whole_scan(), source="lidc", whole=False)
    partly = replace(scan, source="msd", mask=scan.mask & (np.arange(6) < 3)[:, None, None])

    recipe = whole_slices([phantom_stack(), nodule, scan, partly], 6)

    assert recipe == (
        Share(source="dicom", centre="middle", tumour=True, count=4),
        Share(source="dicom", centre="middle", tumour=None, count=2),
        Share(source="msd", centre="middle", tumour=True, count=4),
        Share(source="msd", centre="middle", tumour=None, count=1),
        Share(source="msd", centre="middle", tumour=False, count=1),
    )
    with pytest.raises(DataRefused, match="no whole scan of the training part has a tumour"):
        whole_slices([phantom_stack(), nodule], 6)


def test_the_3d_network_supports_no_whole_slices(tmp_path: Path) -> None:
    refused = CliRunner().invoke(app, ["train", "--data", str(tmp_path), "--network", "3d", "--whole-slices", "6"])

    assert refused.exit_code == 2
    assert "train: --whole-slices: the 3D network is trained on blocks, not on slices" in refused.output


def test_whole_slices_are_used_in_the_same_step(tmp_path: Path) -> None:
    stacks = [phantom_stack(), whole_scan()]
    for name, whole in (("crops", ()), ("both", whole_slices(stacks, 2))):
        train(stacks, tmp_path / name, replace(settings(steps=2), whole_slices=whole))

    crops, both = curve(tmp_path / "crops"), curve(tmp_path / "both")
    assert len(both) == len(crops) == 2
    assert both[0][1] != crops[0][1]


def test_summed_gradients_of_two_batches_update_the_weights_once(tmp_path: Path) -> None:
    train([phantom_stack()], tmp_path, settings(steps=2, accumulate=2))

    assert len(curve(tmp_path)) == 2
    assert np.isfinite([loss for _, loss in curve(tmp_path)]).all()
