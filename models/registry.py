"""MODELS: an explicit dict from the name in the configuration to a model's folder.

Other models are named by kind and folder: `lung_tumour:FOLDER` for our own training, `nnunet:FOLDER`,
`monai_bundle:FOLDER` (models/README.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from models.segmenter import (
    DEFAULTS,
    InferenceSettings,
    ModelCard,
    ModelError,
    Segmenter,
    read_card,
)
from models.store.weights import verified_weights

MODELS: dict[str, Path] = {"lung_tumour": Path(__file__).parent / "lung_tumour"}
OWN_KIND = "lung_tumour"
KINDS = (OWN_KIND, "nnunet", "monai_bundle")
"""Allowed text before the colon of a model's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCheck:
    """Result of `check_model`: the card, verified against the weights, and the device."""

    card: ModelCard
    device: str


def model_card(name: str) -> ModelCard:
    """Return the card of a model by its name, without loading it. Raises ModelError for an unknown name."""
    from models.external.bundle_folder import bundle_card, read_bundle
    from models.external.nnunet_folder import nnunet_card, read_nnunet

    kind, folder = _kind_and_folder(name)
    if kind == "nnunet":
        return nnunet_card(read_nnunet(folder))
    if kind == "monai_bundle":
        return bundle_card(read_bundle(folder))
    return read_card(model_folder(name) / "model.toml")


def load_model(name: str, settings: InferenceSettings = DEFAULTS) -> Segmenter:
    """Load a model with verified weights. Raises ModelError.

    Ensemble size, flips and cascade apply to models of our own training only; the other kinds are configured in their
    folders (models/README.md).
    """
    kind, folder = _kind_and_folder(name)
    if kind == "nnunet":
        return _load_nnunet(folder, settings)
    if kind == "monai_bundle":
        return _load_bundle(folder, settings)
    from models.lung_tumour.segmenter import LungTumourSegmenter

    card = model_card(name)
    return LungTumourSegmenter(card, verified_weights(model_folder(name), card), settings)


def check_model(name: str, settings: InferenceSettings = DEFAULTS) -> ModelCheck:
    """Load a model with verified weights, and return its card with the engine, and the device. Raises ModelError."""
    from models.devices import choose_device

    model = load_model(name, settings)
    return ModelCheck(card=model.card, device=str(choose_device(settings.device)))


def verify_files(name: str, card: ModelCard) -> None:
    """Raise ModelError unless the weights match the card; for nnU-Net and MONAI the card is made from the files."""
    if _kind_and_folder(name)[0] in {"", OWN_KIND}:
        verified_weights(model_folder(name), card)


def kind_of(folder: Path) -> str:
    """Return the kind of the model in a folder, "" if there is none."""
    if (folder / "model.toml").is_file():
        return OWN_KIND
    if (folder / "plans.json").is_file() and (folder / "dataset.json").is_file():
        return "nnunet"
    return "monai_bundle" if (folder / "configs" / "metadata.json").is_file() else ""


def model_folder(name: str) -> Path:
    """Return the folder of a model by its name. Raises ModelError for an unknown name."""
    kind, folder = _kind_and_folder(name)
    if kind:
        return folder
    if name not in MODELS:
        available = ", ".join([*sorted(MODELS), *(f"{kind}:FOLDER" for kind in KINDS)])
        raise ModelError(f"no model is called {name}; there are: {available}")
    return MODELS[name]


def _kind_and_folder(name: str) -> tuple[str, Path]:
    """Return kind and folder of a KIND:FOLDER name; an empty kind for a name of MODELS."""
    kind, _, folder = name.partition(":")
    return (kind, Path(folder)) if folder and kind in KINDS else ("", Path())


def _load_nnunet(folder: Path, settings: InferenceSettings) -> Segmenter:
    from models.external.nnunet_folder import read_nnunet

    trained = read_nnunet(folder)
    try:
        from models.external.nnunet import NnunetSegmenter
    except ModuleNotFoundError as missing:
        raise ModelError(f"an nnU-Net needs {_library(missing)}: pip install 'lungspread[nnunet]'") from None
    return NnunetSegmenter(trained, settings)


def _load_bundle(folder: Path, settings: InferenceSettings) -> Segmenter:
    from models.external.bundle_folder import read_bundle

    bundle = read_bundle(folder)
    try:
        from models.external.monai_bundle import BundleSegmenter
    except ModuleNotFoundError as missing:
        raise ModelError(f"a MONAI bundle needs {_library(missing)}: pip install 'lungspread[monai-bundle]'") from None
    return BundleSegmenter(bundle, settings)


def _library(missing: ModuleNotFoundError) -> str:
    return (missing.name or "a library").partition(".")[0]
