from pathlib import Path

import numpy as np
import pytest
import torch

from models.segmenter import ModelError
from models.store.checkpoints import load_weights
from tests.fixtures.models.unsafe_pickle import UnsafePickle


def test_weights_and_logged_numbers_are_opened(tmp_path: Path) -> None:
    logged = {"dice": [np.float32(0.5), np.float64(0.25)], "epoch": np.int64(3), "device": torch.device("cuda")}
    torch.save({"weights": {"a": torch.arange(3)}, "logging": logged}, tmp_path / "x.pth")
    content = load_weights(tmp_path / "x.pth")

    assert content["weights"]["a"].tolist() == [0, 1, 2]
    assert content["logging"] == logged


def test_a_pickle_with_code_is_rejected_and_not_executed(tmp_path: Path) -> None:
    torch.save({"weights": torch.zeros(1), "more": UnsafePickle(tmp_path / "it-ran")}, tmp_path / "x.pth")

    with pytest.raises(ModelError, match=r"x\.pth is refused: it holds more than weights \(posix\.mkdir\)$"):
        load_weights(tmp_path / "x.pth")
    assert not (tmp_path / "it-ran").exists()


def test_a_pickled_network_is_rejected(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(1, 1), tmp_path / "x.pt")

    with pytest.raises(
        ModelError, match=r"is refused: it holds more than weights \(torch\.nn\.modules\.linear\.Linear"
    ):
        load_weights(tmp_path / "x.pt")


def test_a_file_that_is_not_a_checkpoint_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty.pt").write_bytes(b"")
    (tmp_path / "text.pt").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    torch.save({"weights": torch.zeros(1000)}, tmp_path / "cut.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "cut.pt").read_bytes()[:2000])
    torch.save(torch.zeros(1), tmp_path / "tensor.pt")

    for name in ("empty.pt", "text.pt", "cut.pt", "tensor.pt", "missing.pt"):
        with pytest.raises(ModelError, match=name) as rejection:
            load_weights(tmp_path / name)
        assert "\n" not in str(rejection.value)
