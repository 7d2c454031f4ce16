"""Runs networks with OpenVINO on a CPU. Each network is converted once and kept in the user's cache folder."""

from __future__ import annotations

import logging
import shutil
import tempfile
import warnings
from pathlib import Path

import openvino
import torch
from platformdirs import user_cache_path
from torch import nn

from models.engines.networks import TrainedNetworks
from models.segmenter import ModelError

log = logging.getLogger(__name__)

_PRECISIONS = {torch.float32: "f32", torch.bfloat16: "bf16", torch.float16: "f16"}
_FILE = "network.xml"


class OpenvinoEngine:
    """A compiled network; the sides of an image may have any size that the network accepts.

    It uses as many threads as torch would (OMP_NUM_THREADS, torch.set_num_threads). Raises ModelError if OpenVINO
    cannot compile the network.
    """

    def __init__(self, model: openvino.Model, dtype: torch.dtype) -> None:
        self._precision = str(dtype).removeprefix("torch.")
        options = {
            "INFERENCE_PRECISION_HINT": _PRECISIONS[dtype],
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "NUM_STREAMS": 1,
        }
        try:
            self._request = openvino.Core().compile_model(model, "CPU", options).create_infer_request()
        except RuntimeError as error:
            raise ModelError(f"OpenVINO cannot run the network in {self._precision} on this CPU") from error

    @property
    def description(self) -> str:
        """Library, version and precision."""
        return f"OpenVINO {_version()} {self._precision}"

    @property
    def device(self) -> torch.device:
        """The device of the input images."""
        return torch.device("cpu")

    def logits(self, images: torch.Tensor) -> torch.Tensor:
        """Return float32 logits (n, 1, ...) of images (n, channel, ...)."""
        self._request.infer([images.contiguous().numpy()], share_inputs=True)
        return torch.from_numpy(self._request.get_output_tensor().data.copy())


def openvino_engines(networks: TrainedNetworks, dtype: torch.dtype) -> list[OpenvinoEngine]:
    """Return an engine for each network; networks missing in the cache are built, converted and stored there."""
    folders = [_cache_folder(networks.key, number) for number in range(networks.count)]
    models = [_read(folder) for folder in folders]
    if None in models:
        built = networks.build()
        for number, folder in enumerate(folders):
            if models[number] is None:
                models[number] = _converted(built[number], networks.image_shape, folder)
    return [OpenvinoEngine(model, dtype) for model in models]


def convert(network: nn.Module, image_shape: tuple[int, ...], folder: Path) -> None:
    """Convert a network and write it into a folder; batch and sides of its images stay open, the channels are fixed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch deprecates its own tracing, by which OpenVINO reads a network
        model = openvino.convert_model(network.eval(), example_input=torch.zeros(1, *image_shape))
    model.reshape([-1, image_shape[0], *[-1] * (len(image_shape) - 1)])
    openvino.save_model(model, folder / _FILE, compress_to_fp16=False)


def _converted(network: nn.Module, image_shape: tuple[int, ...], folder: Path | None) -> openvino.Model:
    """Convert a network, store it in the cache folder if possible, and return what is read back.

    A model converted in memory shares its weights with the torch network, and must not outlive it.
    """
    with tempfile.TemporaryDirectory() as made:
        convert(network, image_shape, Path(made))
        model = _core().read_model(Path(made) / _FILE)
        if folder is not None:
            _store(Path(made), folder)
    return model


def _core() -> openvino.Core:
    """Return a core that reads weights into memory: files in temporary and cache folders may be replaced."""
    core = openvino.Core()
    core.set_property({"ENABLE_MMAP": False})
    return core


def _version() -> str:
    return str(openvino.__version__).partition("-")[0]


def _cache_folder(key: str, number: int) -> Path | None:
    """Return the cache folder of a converted network; None for networks without a key."""
    if not key:
        return None
    return user_cache_path("lungspread") / f"openvino-{_version()}" / f"{key}-{number}"


def _read(folder: Path | None) -> openvino.Model | None:
    """Return the converted network in a folder, None if it is missing or unreadable."""
    if folder is None or not (folder / _FILE).is_file():
        return None
    try:
        return _core().read_model(folder / _FILE)
    except RuntimeError:
        log.warning("converted network %s cannot be read and is converted again", folder)
        shutil.rmtree(folder, ignore_errors=True)
        return None


def _store(made: Path, folder: Path) -> None:
    """Copy a converted network into the cache atomically; without a writable cache, log a warning."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as hidden:
            Path(shutil.copytree(made, Path(hidden) / "made")).rename(folder)
    except OSError as error:
        if not folder.is_dir():  # else another process has stored it
            log.warning("converted network cannot be cached (%s); each start converts it again", type(error).__name__)
