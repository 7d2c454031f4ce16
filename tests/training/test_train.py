import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from models.lung_tumour.network import build_network
from tests.training.short_run import RECIPE, phantom_stack, settings
from training.examples import Batches
from training.train import train


def curve(run: Path) -> list[tuple[int, float]]:
    with (run / "curve.csv").open() as file:
        return [(int(row["step"]), float(row["loss"])) for row in csv.DictReader(file)]


def start(run: Path, *launcher: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, *launcher, "-m", "tests.training.short_run", str(run)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=Path(__file__).parent.parent.parent)


def test_a_run_writes_weights_that_the_network_takes_its_curves_and_what_it_was(tmp_path: Path) -> None:
    train([phantom_stack()], tmp_path, settings(steps=3))

    build_network().load_state_dict(torch.load(tmp_path / "average.pt", weights_only=True))
    assert [step for step, _ in curve(tmp_path)] == [1, 2, 3]
    facts = json.loads((tmp_path / "run.json").read_text())
    assert facts["settings"]["steps"] == 3
    assert facts["libraries"]["torch"] == torch.__version__
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [point.step for point in events.Scalars("loss")] == [1, 2, 3]


def test_a_run_that_was_killed_goes_on_to_the_same_curve(tmp_path: Path) -> None:
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


def test_a_batch_follows_from_its_number_alone() -> None:
    batches = Batches([phantom_stack()], RECIPE, 32, seed=(1, 0))
    first, again, another = batches[7], batches[7], batches[8]

    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], another[0])


def test_summed_gradients_of_two_batches_move_the_weights_once(tmp_path: Path) -> None:
    train([phantom_stack()], tmp_path, settings(steps=2, accumulate=2))

    assert len(curve(tmp_path)) == 2
    assert np.isfinite([loss for _, loss in curve(tmp_path)]).all()
