"""Runs networks with OpenVINO on a CPU. Each network is converted once and kept in the user's cache folder."""

from __future__ import annotations

import logging
import shutil
import tempfile
import warnings
from functools import cache
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
            self._request = _core().compile_model(model, "CPU", options).create_infer_request()
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
        """Return float32 logits (n, class, ...) of images (n, channel, ...)."""
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
                models[number] = convert(built[number], networks.image_shape)
                _store(models[number], folder)
    return [OpenvinoEngine(model, dtype) for model in models]


def convert(network: nn.Module, image_shape: tuple[int, ...]) -> openvino.Model:
    """Return a network as an OpenVINO model with dynamic batch and sides, and a fixed number of channels.

    Raises ModelError if OpenVINO cannot convert it, or it has several outputs.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # OpenVINO uses torch's tracing, which is deprecated
            model = openvino.convert_model(network.eval(), example_input=torch.zeros(1, *image_shape))
        model.reshape([-1, image_shape[0], *[-1] * (len(image_shape) - 1)])
    except Exception as error:
        raise ModelError(f"OpenVINO cannot convert the network ({type(error).__name__})") from error
    if len(model.outputs) != 1:
        raise ModelError(f"OpenVINO cannot run the network: it has {len(model.outputs)} outputs, 1 is needed")
    return model


@cache
def _core() -> openvino.Core:
    """Return the only core of the process.

    Each core installs an alternate signal stack and unmaps it when freed (openvino#11894). If several are freed in
    another order than the reverse, an unmapped stack remains, and the next signal ends the process with SIGSEGV.
    """
    return openvino.Core()


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


def _store(model: openvino.Model, folder: Path | None) -> None:
    """Store a converted network in the cache atomically; without a writable cache, log a warning."""
    if folder is None:
        return
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as hidden:
            openvino.save_model(model, Path(hidden) / "made" / _FILE, compress_to_fp16=False)
            (Path(hidden) / "made").rename(folder)
    except (OSError, RuntimeError) as error:
        if not folder.is_dir():  # else another process has stored it
            log.warning("converted network cannot be cached (%s); each start converts it again", type(error).__name__)
