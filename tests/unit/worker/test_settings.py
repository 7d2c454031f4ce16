from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from dicom_node.errors import SettingsError
from dicom_node.settings import Peer
from models.segmenter import InferenceSettings
from tests.fixtures.models.model_card import CARD
from worker.settings import Settings, WorkerSettings, config_hash, load_settings

SHIPPED_TOML = Path(__file__).parents[3] / "lungspread.toml"


def write(folder: Path, text: str) -> Path:
    config = folder / "lungspread.toml"
    config.write_text(text, encoding="utf-8")
    return config


def as_json(section: BaseModel) -> dict[str, Any]:
    return section.model_dump(mode="json", exclude_none=True)


# -- lungspread.toml --


def test_lungspread_toml_lists_every_setting_with_its_default() -> None:
    shipped = tomllib.loads(SHIPPED_TOML.read_text(encoding="utf-8"))
    defaults = as_json(Settings())
    assert defaults.pop("peers") == []

    assert shipped == defaults
    assert load_settings(SHIPPED_TOML) == Settings()


def test_lungspread_toml_lists_every_setting_of_a_peer_with_its_default() -> None:
    uncommented = re.sub(r"(?m)^#(?=[\[a-z])", "", SHIPPED_TOML.read_text(encoding="utf-8"))
    (peer,) = tomllib.loads(uncommented)["peers"]

    required = {name: peer[name] for name in ("name", "ae_title", "host", "port")}
    assert peer == as_json(Peer(**required))


def test_every_setting_in_lungspread_toml_has_a_comment() -> None:
    settings = [
        line for line in SHIPPED_TOML.read_text(encoding="utf-8").splitlines() if re.match(r"#?[a-z_]+ = ", line)
    ]

    without_comment = [line for line in settings if not re.search(r"  # .{5,}", line)]
    assert without_comment == ["#port = 4242"]


# -- file and environment --


def test_the_environment_overrides_the_file_and_the_file_overrides_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write(tmp_path, '[node]\nport = 104\nae_title = "FILE"\n')
    monkeypatch.setenv("LUNGSPREAD_NODE__PORT", "105")
    monkeypatch.setenv("LUNGSPREAD_WORKER__OUTPUTS", '["sr"]')

    settings = load_settings(config)

    assert (settings.node.port, settings.node.ae_title, settings.node.quiet_period_s) == (105, "FILE", 20.0)
    assert settings.worker.outputs == ("sr",)


def test_peers_come_from_the_file_or_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = write(tmp_path, '[[peers]]\nname = "a"\nae_title = "A"\nhost = "h"\nport = 104\nmay_send = true\n')
    assert [peer.may_send for peer in load_settings(config).peers] == [True]

    monkeypatch.setenv("LUNGSPREAD_PEERS", '[{"name": "b", "ae_title": "B", "host": "h", "port": 104}]')
    assert [peer.name for peer in load_settings(config).peers] == ["b"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[node]\nprt = 1", "node.prt: there is no such setting"),
        ("[nde]\nport = 1", "nde: there is no such setting"),
        ("[node]\nport = 99999", "node.port: Input should be less than or equal to 65535"),
        ("[node]\nport = -1\nmin_free_mb = -1", "node.port: Input should be greater than or equal to 0 (and 1 more)"),
        ("[worker]\noutputs = ['pdf']", "worker.outputs.0: Input should be 'seg', 'sr' or 'page'"),
        ("[[peers]]\nname = 'a'\nhost = 'h'\nport = 1", "peers.0.ae_title: Field required"),
    ],
)
def test_an_invalid_setting_is_reported_in_one_line(tmp_path: Path, text: str, line: str) -> None:
    with pytest.raises(SettingsError, match=f"^{re.escape(line)}$"):
        load_settings(write(tmp_path, text))


def test_two_peers_with_the_same_name_are_rejected(tmp_path: Path) -> None:
    peer = '[[peers]]\nname = "a"\nae_title = "A"\nhost = "h"\nport = 104\n'

    with pytest.raises(SettingsError, match="two peers have the same name"):
        load_settings(write(tmp_path, peer * 2))


def test_two_peers_with_the_same_token_are_rejected(tmp_path: Path) -> None:
    peer = '[[peers]]\nname = "{}"\nae_title = "A"\ndicomweb_token = "0123456789abcdef"\n'

    with pytest.raises(SettingsError, match="two peers have the same dicomweb_token"):
        load_settings(write(tmp_path, peer.format("a") + peer.format("b")))


def test_the_peer_of_requests_without_a_token_exists(tmp_path: Path) -> None:
    web = '[dicomweb]\npeer_without_token = "viewer"\n'
    with pytest.raises(SettingsError, match=r"dicomweb\.peer_without_token is not the name of a peer"):
        load_settings(write(tmp_path, web))

    viewer = '[[peers]]\nname = "viewer"\nae_title = "VIEWER"\nmay_retrieve = true\n'
    assert load_settings(write(tmp_path, web + viewer)).dicomweb.peer_without_token == "viewer"


def test_an_unreadable_file_is_reported_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"absent\.toml: No such file or directory$"):
        load_settings(tmp_path / "absent.toml")
    with pytest.raises(SettingsError, match="not TOML"):
        load_settings(write(tmp_path, "[node"))


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("LUNGSPREAD_NODE__PRT", "1", "node.prt: there is no such setting"),
        ("LUNGSPREAD_NDE__PORT", "1", "environment: LUNGSPREAD_NDE__PORT: there is no section 'nde'"),
        ("LUNGSPREAD_NODE_PORT", "1", "environment: LUNGSPREAD_NODE_PORT: there is no section 'node_port'"),
        ("LUNGSPREAD_PEERS", "pacs", 'environment: error parsing value for field "peers"'),
    ],
)
def test_a_misspelt_variable_is_reported_in_one_line(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, line: str
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(SettingsError, match=f"^{re.escape(line)}[^\n]*$"):
        load_settings(None)


def test_a_secret_in_an_invalid_url_is_not_in_the_message(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as rejected:
        load_settings(write(tmp_path, "[journal]\nurl = 'postgresql://user:secret@host/journal'"))

    assert "secret" not in str(rejected.value)


# -- config hash --


def test_a_config_hash_does_not_depend_on_the_device_or_the_order_of_outputs() -> None:
    first = config_hash(WorkerSettings(outputs=("seg", "sr")), CARD)

    assert re.fullmatch(r"[0-9a-f]{64}", first)
    assert config_hash(WorkerSettings(outputs=("sr", "seg"), device="cpu"), CARD) == first


@pytest.mark.parametrize(
    "changed",
    [
        {"version": "2"},
        {"weights_sha256": "cd"},
        {"name": "other"},
        {"threshold": 0.4},
        {"smallest_lesion_ml": 0.2},
        {"peak_threshold": 0.9},
    ],
)
def test_a_config_hash_depends_on_every_card_field_that_changes_a_result(changed: dict[str, Any]) -> None:
    assert config_hash(WorkerSettings(), replace(CARD, **changed)) != config_hash(WorkerSettings(), CARD)


@pytest.mark.parametrize(
    "changed",
    [
        {"outputs": ("sr",)},
        {"ensemble_size": 1},
        {"flip_tta": False},
        {"cascade": False},
        {"engine": "torch"},
        {"precision": "float32"},
    ],
)
def test_a_config_hash_depends_on_every_setting_that_changes_a_result(changed: dict[str, Any]) -> None:
    assert config_hash(WorkerSettings(**changed), CARD) != config_hash(WorkerSettings(), CARD)


def test_an_own_model_is_selected_by_its_folder(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, "[worker]\nmodel = 'lung_tumour:/models/mine'\nensemble_size = 1"))

    assert settings.worker.model == "lung_tumour:/models/mine"
    assert settings.worker.inference == InferenceSettings(ensemble_size=1)
