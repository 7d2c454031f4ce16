"""Any MONAI bundle as a Segmenter, with its own preprocessing, network, inferer and postprocessing.

A bundle's configuration is a program (every "$..." in it is Python): it runs here, only if its files have the hash that
`worker.model_sha256` says. Its weights are opened as weights only.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from monai.bundle.config_parser import ConfigParser
from monai.data.image_reader import ImageReader
from monai.data.utils import decollate_batch, list_data_collate
from monai.transforms.compose import Compose
from monai.transforms.io.array import SaveImage
from monai.transforms.io.dictionary import LoadImaged, SaveImaged
from numpy.typing import NDArray

from models.devices import choose_device, failures_told_apart
from models.engines.in_place import engine_network
from models.engines.networks import TrainedNetworks
from models.engines.torch_engine import by_torch
from models.external.bundle_folder import BundleFolder
from models.external.folder import MISMATCH_ERRORS, PassProgress, one_line
from models.orientation import Orientation, orientation_of
from models.segmenter import InferenceSettings, ModelCard, ModelError, Progress
from models.store.checkpoints import load_weights
from models.volume import Mask, Volume

_WRITERS = (SaveImage, SaveImaged)


class BundleSegmenter:
    """Runs a bundle's inference configuration on volumes in memory, as MONAI's SupervisedEvaluator does on files."""

    def __init__(self, bundle: BundleFolder, card: ModelCard, settings: InferenceSettings) -> None:
        self._bundle = bundle
        self._tumour = bundle.tumour
        self._device = choose_device(settings.device)
        self._reader = _VolumeReader()
        try:
            with warnings.catch_warnings():  # about file readers whose library is missing; they are not used
                warnings.filterwarnings("ignore", category=UserWarning, module="monai")
                self._build()
        except MISMATCH_ERRORS as error:
            raise ModelError(f"{bundle.path}: MONAI cannot build this bundle: {one_line(error)}") from error
        self._card = replace(card, engine=self._run_by_engine(card.weights_sha256, settings))

    @property
    def card(self) -> ModelCard:
        """The model's card."""
        return self._card

    def segment(self, volume: Volume, progress: Progress) -> Mask:
        """Return the mask of all tumours, on the volume's grid.

        Raises ModelError if the device is lost, or the bundle does not return a mask on the image's grid.
        """
        orientation = orientation_of(volume.affine)
        self._reader.set_volume(orientation.upright(volume.hu), _upright_affine(volume, orientation))
        with failures_told_apart(f"model {self._card.name}, the bundle on {self._device.type}"):
            prediction = self._predict(progress)
        marked = self._marked(prediction).transpose(2, 1, 0)
        if marked.shape != orientation.upright(volume.hu).shape:
            raise ModelError(f"model {self._card.name}: its postprocessing does not return the image's grid")
        return Mask(voxels=orientation.stored(marked), affine=volume.affine)

    def _build(self) -> None:
        parser = ConfigParser()
        parser.read_meta(self._bundle.path / "configs" / "metadata.json")
        parser.read_config(self._bundle.configuration)
        parser["bundle_root"] = str(self._bundle.path)
        parser["device"] = f"$torch.device('{self._device}')"
        self._preprocessing = _steps(parser, "preprocessing", "dataset#transform")
        finishing = _steps(parser, "postprocessing", "evaluator#postprocessing")
        self._postprocessing = Compose([step for step in _flat(finishing) if not isinstance(step, _WRITERS)])
        self._inferer = parser.get_parsed_content("inferer")
        self._network = self._load_network(parser).to(self._device).eval()
        self._mixed = bool(parser.get("evaluator#amp", False)) and self._device.type == "cuda"
        loaders = [step for step in _flat(self._preprocessing) if isinstance(step, LoadImaged)]
        if not loaders:
            raise ModelError(f"{self._bundle.path}: its preprocessing has no LoadImaged to read the CT")
        for loader in loaders:
            loader.register(self._reader)

    def _run_by_engine(self, key: str, settings: InferenceSettings) -> str:
        """Let an engine run the network where it can, and return what runs it. key: of the weights."""
        window = getattr(self._inferer, "roi_size", None)
        channels = next((len(weights[0]) for weights in self._network.parameters() if weights.ndim > 2), None)
        own = by_torch("float16" if self._mixed else "float32")
        if channels is None or window is None or isinstance(window, int) or min(window) < 1:
            return own  # nothing tells the shape of its images
        network = self._network
        networks = TrainedNetworks(
            key=f"bundle-{key}", count=1, image_shape=(channels, *window), build=lambda: [network]
        )
        engine = engine_network(networks, settings)
        self._network = engine or network
        return engine.description if engine else own

    def _load_network(self, parser: ConfigParser) -> torch.nn.Module:
        weights = self._bundle.weights
        if weights.suffix == ".ts":
            scripted: torch.nn.Module = torch.jit.load(str(weights), map_location=self._device)  # type: ignore[no-untyped-call]
            return torch.nn.Sequential(scripted)  # a scripted module does not support forward hooks
        content = load_weights(weights)
        network: torch.nn.Module = parser.get_parsed_content("network_def")
        # as MONAI's CheckpointLoader: the state itself, or under a key
        network.load_state_dict(content.get("model", content.get("state_dict", content)))
        return network

    @torch.no_grad()
    def _predict(self, progress: Progress) -> torch.Tensor:
        """Return the postprocessed prediction: (channel, x, y, z) on the grid of the image."""
        names = self._bundle
        batch = list_data_collate([self._preprocessing({names.image: "the volume in memory"})])
        image = batch[names.image].to(self._device)
        hook = self._network.register_forward_hook(PassProgress(progress, _passes(self._inferer, image.shape[2:])))
        try:
            with torch.autocast(self._device.type, enabled=self._mixed):
                batch[names.prediction] = self._inferer(image, self._network)
        finally:
            hook.remove()
        done = self._postprocessing(decollate_batch(batch)[0])
        prediction: torch.Tensor = done[names.prediction]
        return prediction

    def _marked(self, prediction: torch.Tensor) -> NDArray[np.bool_]:
        """Return the voxels (x, y, z) with the tumour label of a label map, or with the tumour channel above 0.5."""
        values = np.asarray(prediction.cpu())
        if len(values) == 1 and len(self._bundle.channels) > 1:
            return np.asarray(values[0] == self._tumour)
        return np.asarray(values[self._tumour if len(values) > 1 else 0] > 0.5)


class _VolumeReader(ImageReader):  # type: ignore[misc, unused-ignore]
    """Returns the volume in memory to LoadImaged, in the form of MONAI's NibabelReader: (x, y, z), RAS."""

    def set_volume(self, upright: NDArray[np.float32], affine: NDArray[np.float64]) -> None:
        """Set the volume to read next: upright, axes (slice, row, column), its affine to LPS mm."""
        to_ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine[:, [2, 1, 0, 3]]
        self._array = np.ascontiguousarray(upright.transpose(2, 1, 0))
        self._metadata = {
            "affine": to_ras,
            "original_affine": to_ras.copy(),
            "spatial_shape": np.array(self._array.shape),
            "original_channel_dim": float("nan"),
            "space": "RAS",
        }

    def verify_suffix(self, filename: object) -> bool:  # noqa: ARG002
        """Accept any file name."""
        return True

    def read(self, data: object, **_: object) -> object:
        """Return the argument for `get_data`; no file is opened."""
        return data

    def get_data(self, img: object) -> tuple[NDArray[np.float32], dict[str, Any]]:  # noqa: ARG002
        """Return the array and its metadata."""
        return self._array, self._metadata


def _steps(parser: ConfigParser, *ids: str) -> Compose:
    """Return the transforms with the first of these ids that exists."""
    for name in ids:
        if name in parser:
            steps = parser.get_parsed_content(name)
            return steps if isinstance(steps, Compose) else Compose(steps)
    raise KeyError(f"no {' or '.join(ids)} in the configuration")


def _flat(steps: Compose) -> list[Any]:
    return list(steps.flatten().transforms)  # type: ignore[no-untyped-call]


def _passes(inferer: object, size: tuple[int, ...]) -> int:
    """Return about how often the inferer runs the network, for the progress: windows by overlap, in batches."""
    window, overlap = getattr(inferer, "roi_size", None), getattr(inferer, "overlap", 0.0)
    if window is None:
        return 1
    sides = [window] * len(size) if isinstance(window, int) else list(window)
    shares = [overlap] * len(size) if isinstance(overlap, float | int) else list(overlap)
    windows = (
        1 if side <= 0 or side >= whole else math.ceil((whole - side) / max(1, int(side * (1 - share)))) + 1
        for whole, side, share in zip(size, sides, shares, strict=True)
    )
    return math.ceil(math.prod(windows) / int(getattr(inferer, "sw_batch_size", 1)))


def _upright_affine(volume: Volume, orientation: Orientation) -> NDArray[np.float64]:
    """Return the affine of the volume's upright array: (slice, row, column, 1) to LPS mm."""
    affine = volume.affine[:, [*orientation.order, 3]].copy()
    for axis in orientation.flips:
        affine[:3, 3] += affine[:3, axis] * (volume.hu.shape[orientation.order[axis]] - 1)
        affine[:3, axis] *= -1
    return affine
