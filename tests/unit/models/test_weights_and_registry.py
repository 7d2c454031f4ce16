import hashlib
from pathlib import Path

import pytest

from models.registry import MODELS, load_model, model_card
from models.segmenter import ON_CPU, ModelError, read_card
from models.store.weights import verified_weights


def test_the_released_weights_match_the_card() -> None:
    card = model_card("lung_tumour")
    weights = MODELS["lung_tumour"] / card.weights_file

    assert hashlib.sha256(weights.read_bytes()).hexdigest() == card.weights_sha256
    assert weights.stat().st_size < 40e6


def test_the_readme_names_the_hash_and_the_version() -> None:
    card = model_card("lung_tumour")
    text = (MODELS["lung_tumour"] / "README.md").read_text(encoding="utf-8")

    assert card.weights_sha256 in text
    assert card.version in text


def test_changed_weights_are_rejected(tmp_path: Path) -> None:
    card = model_card("lung_tumour")
    (tmp_path / card.weights_file).write_bytes(b"something else")

    with pytest.raises(ModelError, match="SHA-256"):
        verified_weights(tmp_path, card)


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="are missing"):
        verified_weights(tmp_path, model_card("lung_tumour"))


def test_an_unknown_model_lists_the_known_ones() -> None:
    with pytest.raises(ModelError, match="there are: lung_tumour"):
        load_model("liver", ON_CPU)


def test_a_card_without_a_field_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "model.toml").write_text('[model]\nname = "x"\n')

    with pytest.raises(ModelError, match="no field 'version'"):
        read_card(tmp_path / "model.toml")
