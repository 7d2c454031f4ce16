"""The notebook for Google Colab, run from the first to the last cell on a small data set."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from models.registry import check_model
from models.segmenter import ON_CPU
from tests.fixtures.training.msd_data import write_msd

ROOT = Path(__file__).parent.parent.parent
NOTEBOOK = ROOT / "training" / "lung_tumour_colab.ipynb"


def read_notebook() -> nbformat.NotebookNode:
    notebook: nbformat.NotebookNode = nbformat.read(NOTEBOOK, as_version=4)
    return notebook


def output_of(cell: nbformat.NotebookNode) -> str:
    return "".join(output.get("text", "") for output in cell.outputs)


def pictures_in(cell: nbformat.NotebookNode) -> int:
    return sum("image/png" in output.get("data", {}) for output in cell.outputs)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("colab")
    write_msd(folder / "DATA", patients=4, shape=(8, 38, 48), spacing_mm=(5.0, 6.0, 7.5))
    named = {f"{name}_FOLDER": str(folder / name) for name in ("DATA", "CACHE", "RUN", "MODEL")}
    return {**named, "OPTIONS": "--steps 2 --crop 32 --chests 0 --shown 1 --device cpu", "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def cells(folders: dict[str, str]) -> list[nbformat.NotebookNode]:
    """The code cells after a run outside Colab; a failing cell raises an error."""
    notebook = read_notebook()
    client = NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}})
    client.execute(env={**os.environ, **folders})
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_it_is_committed_without_outputs() -> None:
    notebook = read_notebook()
    nbformat.validate(notebook)

    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code)


def test_it_contains_no_logic() -> None:
    code = "\n".join(cell.source for cell in read_notebook().cells if cell.cell_type == "code")

    assert not [
        pattern for pattern in ("def ", "class ", "import torch\n", "from training", "while ") if pattern in code
    ]
    assert code.count('"$PYTHON" -m training ') == 2


def test_it_trains_a_model_that_the_worker_can_load(
    cells: list[nbformat.NotebookNode], folders: dict[str, str]
) -> None:
    printed = "".join(map(output_of, cells))

    card = check_model(f"lung_tumour:{folders['MODEL_FOLDER']}", ON_CPU).card
    assert (card.name, card.version) == ("RUN", card.weights_sha256[:12])
    assert "msd: 4 patients, 4 stacks" in printed
    assert "train: 2 patients" in printed
    assert [
        step for step in ("prepare\n", "train\n", "evaluate\n", "figures\n", "export\n") if step not in printed
    ] == []


def test_it_shows_the_curve_the_four_pictures_a_montage_and_the_card(cells: list[nbformat.NotebookNode]) -> None:
    assert [pictures_in(cell) for cell in cells if pictures_in(cell)] == [1, 1, 1]
    assert "# Model card: RUN" in cells[-1].outputs[0]["data"]["text/markdown"]


def test_google_drive_is_not_mounted_outside_colab(cells: list[nbformat.NotebookNode]) -> None:
    assert "drive.mount" in cells[0].source
    assert cells[0].outputs == []
