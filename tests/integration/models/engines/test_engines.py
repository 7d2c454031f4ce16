"""OpenVINO against torch, with which the networks were trained: same logits, one conversion."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from models.engines.engine import build_engines
from models.engines.networks import TrainedNetworks
from models.lung_tumour.kinds import NETWORKS
from models.lung_tumour.network import build_network
from models.segmenter import InferenceSettings, ModelError

ROOT = Path(__file__).parents[4]
FLOAT32 = InferenceSettings(device="cpu", precision="float32")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache folder for this test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def trained(kind: str, count: int = 1) -> list[nn.Module]:
    """Networks whose normalisation has statistics, as after training."""
    torch.manual_seed(1)
    networks = [build_network(kind) for _ in range(count)]
    shape = (2, 1, 32, 32, 32) if kind == "3d" else (2, 5, 64, 64)
    for network in networks:
        network.train()(torch.randn(shape))
    return [network.eval() for network in networks]


def networks_of(built: Sequence[nn.Module], kind: str, key: str = "") -> TrainedNetworks:
    shape = (1, 32, 32, 32) if kind == "3d" else (5, 64, 64)
    return TrainedNetworks(key=key, count=len(built), image_shape=shape, build=lambda: built)


def images(kind: str, sides: tuple[int, ...], count: int = 1) -> torch.Tensor:
    return torch.randn((count, 1 if kind == "3d" else 5, *sides))


SIGNALLED = """
import faulthandler, gc, os, signal, sys
from models.engines.engine import build_engines
from models.engines.networks import TrainedNetworks
from models.lung_tumour.network import build_network
from models.segmenter import InferenceSettings

faulthandler.enable()
signal.signal(signal.SIGUSR1, lambda *_: print("handled"))
networks = TrainedNetworks(key="key", count=1, image_shape=(5, 64, 64), build=lambda: [build_network().eval()])
for _ in range(2):  # engines are freed in the order in which they were built
    engines = [build_engines(networks, InferenceSettings(device="cpu")) for _ in range(2)]
    while engines:
        del engines[0]
        gc.collect()
os.kill(os.getpid(), signal.SIGUSR1)
"""


def test_a_process_handles_signals_after_engines_were_freed() -> None:
    """OpenVINO left an unmapped signal stack behind, on which the next signal, of a worker's end too, crashed."""
    done = subprocess.run([sys.executable, "-c", SIGNALLED], cwd=ROOT, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (0, "handled\n"), done.stderr


@pytest.mark.parametrize("kind", NETWORKS)
def test_openvino_computes_the_same_as_torch_at_any_size(kind: str) -> None:
    built = trained(kind)
    (engine,) = build_engines(networks_of(built, kind), replace(FLOAT32, engine="openvino"))

    for sides, count in (((64, 96), 1), ((32, 32), 3), ((96, 64), 2)):
        seen = images(kind, (32, *sides) if kind == "3d" else sides, count)
        with torch.inference_mode():
            expected = built[0](seen)
        assert engine.logits(seen).shape == expected.shape
        assert engine.logits(seen).numpy() == pytest.approx(expected.numpy(), abs=1e-3)


def test_the_torch_engine_computes_the_same_as_the_network() -> None:
    built = trained("2.5d-efficientnet")
    (engine,) = build_engines(networks_of(built, "2.5d-efficientnet"), replace(FLOAT32, engine="torch"))
    seen = images("2.5d-efficientnet", (64, 96))

    with torch.inference_mode():
        assert engine.logits(seen).numpy() == pytest.approx(built[0](seen).numpy(), abs=1e-4)
    assert engine.description.startswith("torch 2.")
    assert engine.description.endswith(" float32")


def test_a_cpu_uses_openvino_unless_torch_is_requested_or_openvino_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    networks = networks_of(trained("2.5d"), "2.5d")

    assert build_engines(networks, FLOAT32)[0].description.startswith("OpenVINO 20")
    assert build_engines(networks, replace(FLOAT32, engine="torch"))[0].description.startswith("torch")
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.setattr("models.engines.engine.find_spec", lambda _: None)
    assert build_engines(networks, FLOAT32)[0].description.startswith("torch")
    with pytest.raises(ModelError, match="not installed"):
        build_engines(networks, replace(FLOAT32, engine="openvino"))


def never_built() -> list[nn.Module]:
    raise AssertionError("the networks are converted already")


def test_converted_networks_are_cached_and_not_built_again(cache: Path) -> None:
    built = trained("2.5d", count=2)
    seen = images("2.5d", (32, 32))
    first = build_engines(networks_of(built, "2.5d", "key"), FLOAT32)
    again = build_engines(replace(networks_of(built, "2.5d", "key"), build=never_built), FLOAT32)

    for one, other in zip(first, again, strict=True):
        assert torch.equal(one.logits(seen), other.logits(seen))
    assert not torch.equal(again[0].logits(seen), again[1].logits(seen))
    with pytest.raises(AssertionError, match="already"):
        build_engines(replace(networks_of(built, "2.5d", "other"), build=never_built), FLOAT32)


def test_a_damaged_cache_entry_is_converted_again(cache: Path) -> None:
    built = trained("2.5d")
    build_engines(networks_of(built, "2.5d", "key"), FLOAT32)
    (kept,) = cache.rglob("network.xml")
    kept.write_text("<net")

    (engine,) = build_engines(networks_of(built, "2.5d", "key"), FLOAT32)

    seen = images("2.5d", (32, 32))
    with torch.inference_mode():
        assert engine.logits(seen).numpy() == pytest.approx(built[0](seen).numpy(), abs=1e-3)


def test_a_network_runs_without_a_writable_cache(cache: Path) -> None:
    cache.write_text("a file where a folder should be")
    built = trained("2.5d")

    (engine,) = build_engines(networks_of(built, "2.5d", "key"), FLOAT32)

    assert engine.logits(images("2.5d", (32, 32))).shape == (1, 1, 32, 32)
