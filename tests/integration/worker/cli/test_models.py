import hashlib
import io
import shutil
import zipfile
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner, Result

from models.registry import MODELS, model_card
from tests.fixtures.models.range_server import Served, serving
from tests.fixtures.models.unsafe_pickle import Poison
from worker.cli.main import app


def models(*words: object) -> Result:
    return CliRunner().invoke(app, ["models", *map(str, words)])


def released() -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as packed:
        for name in ("model.toml", "README.md", "lung_tumour.safetensors"):
            packed.write(MODELS["lung_tumour"] / name, name)
    return memory.getvalue()


def test_the_list_names_every_shipped_model_its_version_and_its_hash() -> None:
    listed = models("list").output

    for name in MODELS:
        card = model_card(name)
        assert all(fact in listed for fact in (name, card.version, card.licence, card.weights_sha256[:16]))
    assert "nnunet:FOLDER" in listed


def test_show_says_all_facts_and_the_card_for_people() -> None:
    shown = models("show", "lung_tumour").output

    card = model_card("lung_tumour")
    assert f"{card.weights_sha256}\n" in shown
    assert f"threshold            {card.threshold}\n" in shown
    assert "## Limits" in shown


def test_verify_takes_a_name_or_a_folder_and_refuses_changed_weights(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(MODELS["lung_tumour"], folder)
    for name in ("lung_tumour", folder, f"lung_tumour:{folder}"):
        done = models("verify", name)
        assert (done.exit_code, model_card("lung_tumour").weights_sha256 in done.output) == (0, True)
    with (folder / "lung_tumour.safetensors").open("ab") as file:
        file.write(b"!")

    refused = models("verify", folder)

    assert refused.exit_code == 2
    assert refused.stderr.count("\n") == 1
    assert "the weights' SHA-256 is" in refused.stderr


def test_an_unknown_name_is_refused_in_one_line() -> None:
    refused = models("show", "liver")

    assert refused.exit_code == 2
    assert refused.stderr.startswith("lungspread: no model is called liver; there are: lung_tumour")


def test_pull_goes_on_after_a_cut_and_says_the_line_of_the_configuration(tmp_path: Path) -> None:
    content = released()
    with serving(Served(content=content, cuts=[500_000, 0])) as server:
        words = ("pull", server.url("m.zip"), "--sha256", hashlib.sha256(content).hexdigest(), "--to", tmp_path / "m")
        cut, done = models(*words), models(*words)

    assert (cut.exit_code, done.exit_code) == (1, 0)
    assert "500000 bytes are kept, the same command goes on" in cut.stderr
    assert server.asked == ["", "bytes=500000-", "bytes=500000-"]
    assert f'model = "lung_tumour:{tmp_path}/m"' in done.output
    assert models("verify", tmp_path / "m").exit_code == 0


def test_pull_refuses_a_wrong_hash_and_a_pickle_that_is_more_than_weights(tmp_path: Path) -> None:
    memory = io.BytesIO()
    torch.save(Poison(tmp_path / "it-ran"), memory)
    digest = hashlib.sha256(memory.getvalue()).hexdigest()
    with serving(Served(content=memory.getvalue())) as server:
        wrong = models("pull", server.url("x.pt"), "--sha256", "0" * 64, "--to", tmp_path / "m")
        poisoned = models("pull", server.url("x.pt"), "--sha256", digest, "--to", tmp_path / "m")

    assert (wrong.exit_code, poisoned.exit_code) == (2, 2)
    assert "0" * 64 in wrong.stderr
    assert "x.pt is refused: it holds more than weights" in poisoned.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["list", "show", "pull", "verify"])
def test_every_command_explains_itself(command: str) -> None:
    assert models(command, "--help").exit_code == 0
