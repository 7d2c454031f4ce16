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
from tests.fixtures.models.unsafe_pickle import UnsafePickle
from worker.cli.main import app


def models(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["models", *map(str, arguments)])


def released_model_zip() -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as packed:
        for name in ("model.toml", "README.md", "lung_tumour.safetensors", "candidates.safetensors"):
            packed.write(MODELS["lung_tumour"] / name, name)
    return memory.getvalue()


def test_list_shows_name_version_and_hash_of_every_shipped_model() -> None:
    listed = models("list").output

    for name in MODELS:
        card = model_card(name)
        assert all(fact in listed for fact in (name, card.version, card.licence, card.weights_sha256[:16]))
    assert "nnunet:FOLDER" in listed


def test_show_prints_all_fields_of_the_card_and_its_readme() -> None:
    shown = models("show", "lung_tumour").output

    card = model_card("lung_tumour")
    assert f"{card.weights_sha256}\n" in shown
    assert f"threshold            {card.threshold}\n" in shown
    assert "## Limits" in shown


def test_verify_accepts_a_name_or_a_folder_and_rejects_changed_weights(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(MODELS["lung_tumour"], folder)
    for name in ("lung_tumour", folder, f"lung_tumour:{folder}"):
        done = models("verify", name)
        assert (done.exit_code, model_card("lung_tumour").weights_sha256 in done.output) == (0, True)
    with (folder / "lung_tumour.safetensors").open("ab") as file:
        file.write(b"!")

    rejected = models("verify", folder)

    assert rejected.exit_code == 2
    assert rejected.stderr.count("\n") == 1
    assert "the SHA-256 of lung_tumour.safetensors is" in rejected.stderr


def test_an_unknown_name_is_rejected_in_one_line() -> None:
    rejected = models("show", "liver")

    assert rejected.exit_code == 2
    assert rejected.stderr.startswith("lungspread: no model is called liver; there are: lung_tumour")


def test_pull_resumes_an_interrupted_download_and_prints_the_configuration_line(tmp_path: Path) -> None:
    content = released_model_zip()
    with serving(Served(content=content, cuts=[500_000, 0])) as server:
        arguments = (
            "pull",
            server.url("m.zip"),
            "--sha256",
            hashlib.sha256(content).hexdigest(),
            "--to",
            tmp_path / "m",
        )
        interrupted, done = models(*arguments), models(*arguments)

    assert (interrupted.exit_code, done.exit_code) == (1, 0)
    assert "500000 bytes are kept, the same command goes on" in interrupted.stderr
    assert server.asked == ["", "bytes=500000-", "bytes=500000-"]
    assert f'model = "lung_tumour:{tmp_path}/m"' in done.output
    assert models("verify", tmp_path / "m").exit_code == 0


def test_pull_rejects_a_wrong_hash_and_a_pickle_that_holds_more_than_weights(tmp_path: Path) -> None:
    memory = io.BytesIO()
    torch.save(UnsafePickle(tmp_path / "it-ran"), memory)
    digest = hashlib.sha256(memory.getvalue()).hexdigest()
    with serving(Served(content=memory.getvalue())) as server:
        wrong = models("pull", server.url("x.pt"), "--sha256", "0" * 64, "--to", tmp_path / "m")
        poisoned = models("pull", server.url("x.pt"), "--sha256", digest, "--to", tmp_path / "m")

    assert (wrong.exit_code, poisoned.exit_code) == (2, 2)
    assert "0" * 64 in wrong.stderr
    assert "x.pt is refused: it holds more than weights" in poisoned.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["list", "show", "pull", "verify"])
def test_every_command_has_a_help_text(command: str) -> None:
    assert models(command, "--help").exit_code == 0
