"""Any trained nnU-Net v2 folder as a Segmenter, with nnU-Net's own classes."""

# mypy: disable-error-code="import-untyped,import-not-found"

from __future__ import annotations

import contextlib
import copy
import io
import math
from dataclasses import replace
from typing import Any

import nibabel
import numpy as np
import torch
from nibabel.filebasedimages import ImageFileError
from nnunetv2.inference.export_prediction import convert_predicted_logits_to_segmentation_with_correct_shape
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.inference.sliding_window_prediction import compute_steps_for_sliding_window
from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name
from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from numpy.typing import NDArray

from models.devices import choose_device, failures_told_apart
from models.engines.in_place import engine_network
from models.engines.networks import TrainedNetworks
from models.engines.torch_engine import by_torch
from models.external.folder import MISMATCH_ERRORS, PassProgress, one_line
from models.external.nnunet_folder import NnunetFolder, require_known_classes
from models.orientation import Orientation, orientation_of
from models.segmenter import InferenceSettings, ModelCard, ModelError, Progress
from models.store.checkpoints import load_weights
from models.volume import Mask, Volume


class NnunetSegmenter:
    """Runs nnU-Net's preprocessing, sliding window, ensemble of folds and export on one volume at a time."""

    def __init__(self, folder: NnunetFolder, card: ModelCard, settings: InferenceSettings) -> None:
        self._tumour = folder.tumour
        self._orientation = trained_orientation(folder)
        self._predictor = _predictor(folder, choose_device(settings.device))
        engine = _run_by_engine(self._predictor, card.weights_sha256, settings)
        self._card = replace(card, engine=engine)

    @property
    def card(self) -> ModelCard:
        """The model's card."""
        return self._card

    def segment(self, volume: Volume, progress: Progress) -> Mask:
        """Return the mask of all tumours, on the volume's grid. Raises ModelError if the device is lost."""
        orientation = facing(volume.affine, self._orientation)
        hu, spacing = orientation.upright(volume.hu), orientation.spacing(volume.spacing)
        with failures_told_apart(f"model {self._card.name}, nnU-Net on {self._predictor.device.type}"):
            labels = self._labels(hu, spacing, progress)
        return Mask(voxels=orientation.stored(np.isin(labels, self._tumour)), affine=volume.affine)

    def _labels(
        self, hu: NDArray[np.float32], spacing: tuple[float, float, float], progress: Progress
    ) -> NDArray[np.integer]:
        """Do the same as nnUNetPredictor.predict_single_npy_array, and report the progress. Axes (z, y, x)."""
        own = self._predictor
        data, _, properties = own.configuration_manager.preprocessor_class(verbose=False).run_case_npy(
            hu[None], None, {"spacing": list(spacing)}, own.plans_manager, own.configuration_manager, own.dataset_json
        )
        hook = own.network.register_forward_hook(PassProgress(progress, self._passes(data.shape[1:])))
        try:
            logits = own.predict_logits_from_preprocessed_data(torch.from_numpy(data))
        finally:
            hook.remove()
        labels: NDArray[np.integer] = convert_predicted_logits_to_segmentation_with_correct_shape(
            logits.cpu(), own.plans_manager, own.configuration_manager, own.label_manager, properties
        )
        return labels

    def _passes(self, shape: tuple[int, ...]) -> int:
        """Return how often the network runs on a preprocessed image: windows, each mirrored, for each fold."""
        own = self._predictor
        patch = own.configuration_manager.patch_size
        image = [max(side, least) for side, least in zip(shape[-len(patch) :], patch, strict=True)]
        steps = compute_steps_for_sliding_window(image, patch, own.tile_step_size)
        slices = shape[0] if len(patch) < len(shape) else 1
        mirrored = 2 ** len(own.allowed_mirroring_axes or ()) if own.use_mirroring else 1
        return int(slices * math.prod(len(axis) for axis in steps) * mirrored * len(own.list_of_parameters))


def trained_orientation(folder: NnunetFolder) -> str:
    """Return where x, y and z of the training images run to, such as LPS.

    nnU-Net uses images as stored in their files, and the plans do not record the orientation; a mirrored chest would be
    a different input. Sources, in this order: the options, a reader that reorients, a case of the validation, LPS as in
    DICOM.
    """
    if folder.options.orientation is not None:
        return folder.options.orientation
    if str(folder.plans.get("image_reader_writer")).endswith("Reorient"):
        return "RAS"  # nnunetv2.imageio: these readers always reorient to RAS
    if folder.predicted is None:
        return "LPS"
    try:
        affine = nibabel.Nifti1Image.from_filename(folder.predicted).affine
    except (OSError, ImageFileError) as error:
        raise ModelError(f"{folder.predicted} cannot be read: {one_line(error)}") from None
    return "".join(nibabel.aff2axcodes(affine))  # type: ignore[no-untyped-call, unused-ignore]


def facing(affine: NDArray[np.float64], letters: str) -> Orientation:
    """Return the axis order and flips that make x, the last axis, run to the first letter, y and z to the others."""
    upright = orientation_of(affine)
    axes = tuple(next(axis for axis, pair in enumerate(("SI", "PA", "LR")) if to in pair) for to in reversed(letters))
    flips = (new for new, axis in enumerate(axes) if (axis in upright.flips) != (letters[2 - new] not in "SPL"))
    return Orientation(order=tuple(upright.order[axis] for axis in axes), flips=tuple(flips))


def _predictor(folder: NnunetFolder, device: torch.device) -> nnUNetPredictor:
    """Return nnU-Net's predictor with the weights of all folds, opened as weights only: nnU-Net would unpickle them."""
    with contextlib.redirect_stdout(io.StringIO()):  # it prints a warning on every machine without a GPU
        predictor = nnUNetPredictor(use_mirroring=folder.options.mirroring, device=device, allow_tqdm=False)
    checkpoints = [load_weights(path) for path in folder.checkpoints]
    try:
        plans = PlansManager(folder.plans)
        configuration = plans.get_configuration(checkpoints[0]["init_args"]["configuration"])
        _require_known_classes(folder, configuration)
        predictor.manual_initialization(
            _network(folder, plans, configuration, checkpoints[0]["trainer_name"]),
            plans,
            configuration,
            [checkpoint["network_weights"] for checkpoint in checkpoints],
            folder.dataset,
            checkpoints[0]["trainer_name"],
            checkpoints[0].get("inference_allowed_mirroring_axes"),
        )
        for weights in predictor.list_of_parameters:
            predictor.network.load_state_dict(weights)
    except MISMATCH_ERRORS as error:
        raise ModelError(f"{folder.path}: nnU-Net cannot build this network: {one_line(error)}") from error
    return predictor


def _run_by_engine(predictor: nnUNetPredictor, key: str, settings: InferenceSettings) -> str:
    """Let an engine run the networks of all folds where it can, and return what runs them. key: of the weights."""

    def build() -> list[torch.nn.Module]:
        folds = []
        for weights in predictor.list_of_parameters:
            predictor.network.load_state_dict(weights)
            folds.append(copy.deepcopy(predictor.network).eval())
        return folds

    channels = determine_num_input_channels(
        predictor.plans_manager, predictor.configuration_manager, predictor.dataset_json
    )
    networks = TrainedNetworks(
        key=f"nnunet-{key}",
        count=len(predictor.list_of_parameters),
        image_shape=(channels, *predictor.configuration_manager.patch_size),
        build=build,
    )
    engines = engine_network(networks, settings)
    if engines is None:
        return by_torch("float32" if predictor.device.type == "cpu" else "float16")
    predictor.network, predictor.list_of_parameters = engines, engines.weights
    return engines.description


def _network(
    folder: NnunetFolder, plans: PlansManager, configuration: ConfigurationManager, trainer: str
) -> torch.nn.Module:
    """Build the network as nnUNetPredictor.initialize_from_trained_model_folder does."""
    network: torch.nn.Module = recursive_find_trainer_class_by_name(trainer).build_network_architecture(
        plans,
        configuration,
        determine_num_input_channels(plans, configuration, folder.dataset),
        plans.get_label_manager(folder.dataset).num_segmentation_heads,
        enable_deep_supervision=False,
    )
    return network


def _require_known_classes(folder: NnunetFolder, configuration: ConfigurationManager) -> None:
    if configuration.previous_stage_name is not None:
        raise ModelError(f"{folder.path}: a cascade's second stage is not supported; use 3d_lowres or 3d_fullres")
    arguments: dict[str, Any] = configuration.network_arch_init_kwargs
    named = [arguments.get(key) for key in configuration.network_arch_init_kwargs_req_import]
    require_known_classes(folder.path, [configuration.network_arch_class_name, *named])
