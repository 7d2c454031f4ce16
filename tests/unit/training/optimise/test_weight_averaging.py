import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from training.cli import app
from training.run_folder import trained_fold, trained_network


def run_of(folder: Path, value: float, fold: int | None = 1) -> Path:
    folder.mkdir()
    settings = {"network": "2.5d-residual", "fold": fold, "steps": 7}
    (folder / "run.json").write_text(json.dumps({"settings": settings}))
    torch.save({"weight": torch.full((2, 3), float(value)), "seen": torch.tensor(int(value))}, folder / "average.pt")
    return folder


def average(run: Path, *parts: Path) -> tuple[int, str]:
    options = [argument for part in parts for argument in ("--of", str(part))]
    result = CliRunner().invoke(app, ["average", *options, "--run", str(run)])
    return result.exit_code, result.output


def test_the_weights_are_the_mean_and_the_run_names_its_parts(tmp_path: Path) -> None:
    parts = [run_of(tmp_path / "a", 1), run_of(tmp_path / "b", 2), run_of(tmp_path / "c", 6)]
    run = tmp_path / "mean"

    assert average(run, *parts)[0] == 0

    mean = torch.load(run / "average.pt", weights_only=True)
    assert torch.allclose(mean["weight"], torch.full((2, 3), 3.0))
    assert int(mean["seen"]) == 6
    assert (trained_network(run), trained_fold(run)) == ("2.5d-residual", 1)
    assert [part["settings"]["steps"] for part in json.loads((run / "run.json").read_text())["parts"]] == [7, 7, 7]


@pytest.mark.parametrize(
    ("second", "message"), [("other fold", "differ in network or fold"), ("empty", "no weights found")]
)
def test_runs_that_cannot_be_averaged_are_refused(tmp_path: Path, second: str, message: str) -> None:
    first = run_of(tmp_path / "first", 1)
    run_of(tmp_path / "other fold", 1, fold=2)
    (tmp_path / "empty").mkdir()

    code, output = average(tmp_path / "mean", first, tmp_path / second)

    assert code == 2
    assert message in output
    assert not (tmp_path / "mean").exists()


def test_an_existing_run_is_not_overwritten(tmp_path: Path) -> None:
    first = run_of(tmp_path / "first", 1)

    code, output = average(first, run_of(tmp_path / "second", 2))

    assert code == 2
    assert "already contains a run" in output
    assert float(torch.load(first / "average.pt", weights_only=True)["weight"][0, 0]) == 1
