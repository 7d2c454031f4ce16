import hashlib
import io
import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from models.registry import MODELS, load_model, model_card
from models.segmenter import ON_CPU, ModelError
from models.store.downloads import DownloadInterrupted
from models.store.pull import DownloadRequest, pull
from tests.fixtures.models.range_server import Served, serving
from tests.fixtures.models.unsafe_pickle import UnsafePickle


@pytest.fixture
def server() -> Iterator[Served]:
    with serving(Served(content=b"")) as served:
        yield served


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def fetch(server: Served, folder: Path, name: str = "model.zip", sha256: str = "") -> list[str]:
    wanted = sha256 or hashlib.sha256(server.content).hexdigest()
    return pull(DownloadRequest(url=server.url(name), sha256=wanted, folder=folder), lambda *_: None)


def zipped(**files: bytes) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return memory.getvalue()


def released(**changed: bytes) -> bytes:
    """The released model's folder as a zip, below a folder of its own."""
    names = ("model.toml", "README.md", "lung_tumour.safetensors", "candidates.safetensors")
    files = {name: (MODELS["lung_tumour"] / name).read_bytes() for name in names}
    return zipped(**{f"lung_tumour-0.1/{name}": content for name, content in {**files, **changed}.items()})


def saved(content: object) -> bytes:
    memory = io.BytesIO()
    torch.save(content, memory)
    return memory.getvalue()


def nnunet(checkpoint: bytes) -> bytes:
    folder = "Dataset006_Lung/nnUNetTrainer__nnUNetPlans__3d_fullres"
    plans = {"dataset_name": "Dataset006_Lung", "configurations": {"3d_fullres": {}}}
    dataset = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "cancer": 1}}
    return zipped(
        **{
            f"{folder}/plans.json": json.dumps(plans).encode(),
            f"{folder}/dataset.json": json.dumps(dataset).encode(),
            f"{folder}/fold_0/checkpoint_final.pth": checkpoint,
        }
    )


def test_a_pulled_model_can_be_loaded(server: Served, tmp_path: Path) -> None:
    server.content = released()

    names = fetch(server, tmp_path / "mine")

    assert names == [f"lung_tumour:{tmp_path}/mine/lung_tumour-0.1"]
    assert model_card(names[0]) == model_card("lung_tumour")
    assert load_model(names[0], ON_CPU).card.version == model_card("lung_tumour").version
    assert names_in(tmp_path) == ["mine"]


def test_an_interrupted_pull_resumes_and_writes_nothing_before_it_is_complete(server: Served, tmp_path: Path) -> None:
    server.content = released()
    server.cuts = [1_000_000, 0]
    with pytest.raises(DownloadInterrupted):
        fetch(server, tmp_path / "mine")
    assert not (tmp_path / "mine").exists()

    fetch(server, tmp_path / "mine")

    assert server.asked == ["", "bytes=1000000-", "bytes=1000000-"]
    assert (tmp_path / "mine" / "lung_tumour-0.1" / "model.toml").is_file()
    assert names_in(tmp_path) == ["mine"]


def test_a_wrong_hash_leaves_nothing(server: Served, tmp_path: Path) -> None:
    server.content = released()

    with pytest.raises(ModelError, match="SHA-256"):
        fetch(server, tmp_path / "mine", sha256="0" * 64)
    assert names_in(tmp_path) == []


def test_weights_that_do_not_match_the_card_are_rejected(server: Served, tmp_path: Path) -> None:
    server.content = released(**{"lung_tumour.safetensors": b"others"})

    with pytest.raises(ModelError, match="the card says"):
        fetch(server, tmp_path / "mine")
    assert names_in(tmp_path) == []


def test_an_nnunet_keeps_the_folder_named_after_its_configuration(server: Served, tmp_path: Path) -> None:
    server.content = nnunet(saved({"network_weights": {"a": torch.zeros(3)}}))

    (name,) = fetch(server, tmp_path / "mine")

    assert name == f"nnunet:{tmp_path}/mine/Dataset006_Lung/nnUNetTrainer__nnUNetPlans__3d_fullres"
    assert model_card(name).name == "Dataset006_Lung 3d_fullres"


@pytest.mark.parametrize("inside", ["fold_0/checkpoint_final.pth", "notes.dat"])
def test_an_unsafe_pickle_is_rejected_with_its_name_and_not_executed(
    server: Served, tmp_path: Path, inside: str
) -> None:
    unsafe = saved({"network_weights": {}, "more": UnsafePickle(tmp_path / "it-ran")})
    server.content = released(**{inside: unsafe})

    with pytest.raises(ModelError, match=rf"{Path(inside).name} is refused: it holds more than weights \(posix.mkdir"):
        fetch(server, tmp_path / "mine")
    assert names_in(tmp_path) == []


def test_a_single_file_of_weights_is_checked_as_well(server: Served, tmp_path: Path) -> None:
    server.content = saved({"a": torch.arange(3)})
    assert fetch(server, tmp_path / "mine", "average.pt") == []
    assert torch.load(tmp_path / "mine" / "average.pt", weights_only=True)["a"].tolist() == [0, 1, 2]

    server.content = saved(UnsafePickle(tmp_path / "it-ran"))
    with pytest.raises(ModelError, match=r"worse\.pt is refused"):
        fetch(server, tmp_path / "mine", "worse.pt")
    assert names_in(tmp_path / "mine") == ["average.pt"]
    assert not (tmp_path / "it-ran").exists()


def test_an_archive_with_a_path_outside_its_folder_is_rejected(server: Served, tmp_path: Path) -> None:
    server.content = zipped(**{"model.toml": b"", "../../out-there": b""})

    with pytest.raises(ModelError, match="outside the destination"):
        fetch(server, tmp_path / "mine")
    assert names_in(tmp_path) == []


@pytest.mark.parametrize(
    ("toml", "named"),
    [
        (b"[model", "not TOML"),
        (b"", "no field 'name'"),
        (
            b'[model]\nname="x"\nversion="1"\nweights_file="../x"\nweights_sha256=""\nlicence=""\nthreshold=0.5\n'
            b"smallest_lesion_ml=0.1\npeak_threshold=0.5\n",
            "weights_file names a file in another folder",
        ),
    ],
)
def test_an_invalid_card_is_rejected(server: Served, tmp_path: Path, toml: bytes, named: str) -> None:
    server.content = released(**{"model.toml": toml})

    with pytest.raises(ModelError, match=named):
        fetch(server, tmp_path / "mine")


def test_an_archive_without_a_model_is_refused(server: Served, tmp_path: Path) -> None:
    server.content = zipped(**{"README.md": b"nothing here"})

    with pytest.raises(ModelError, match="the archive contains no model"):
        fetch(server, tmp_path / "mine")


def test_a_folder_that_holds_something_is_left_alone(server: Served, tmp_path: Path) -> None:
    server.content = released()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")

    with pytest.raises(ModelError, match="already exists"):
        fetch(server, tmp_path / "mine")
    assert server.asked == []

    shutil.rmtree(tmp_path / "mine")
    (tmp_path / "mine").mkdir()
    assert len(fetch(server, tmp_path / "mine")) == 1
