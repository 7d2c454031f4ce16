"""MODELS: an explicit dict from the name in the configuration to a model's folder.

Other models are named by kind and folder: `lung_tumour:FOLDER` for our own training, `nnunet:FOLDER`,
`monai_bundle:FOLDER` (models/README.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
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
EXTERNAL = ("nnunet", "monai_bundle")
KINDS = (OWN_KIND, *EXTERNAL)
"""Allowed text before the colon of a model's name."""
_LIBRARIES = {"nnunet": ("nnunetv2", "nnunet"), "monai_bundle": ("monai", "monai-bundle")}
"""The library that a kind needs, and the extra that installs it."""


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


def load_model(name: str, settings: InferenceSettings = DEFAULTS, *, sha256: str = "") -> Segmenter:
    """Load a model with verified weights. Raises ModelError.

    sha256: `worker.model_sha256`. A model of another library is loaded only if its files have this hash, since its
    folder may hold code. Ensemble size, flips and cascade apply to models of our own training only; the other kinds are
    configured in their folders (models/README.md).
    """
    card = model_card(name)
    require_pinned(name, card, sha256)
    kind, folder = _kind_and_folder(name)
    if kind == "nnunet":
        return _load_nnunet(folder, card, settings)
    if kind == "monai_bundle":
        return _load_bundle(folder, card, settings)
    from models.lung_tumour.segmenter import LungTumourSegmenter

    return LungTumourSegmenter(card, verified_weights(model_folder(name), card), settings)


def check_model(name: str, settings: InferenceSettings = DEFAULTS) -> ModelCheck:
    """Check a model's files, and return its card and the device. Raises ModelError.

    A model of our own training is loaded, which is data alone, and the card has its engine. Of another library's model
    all is read as data, and nothing is executed.
    """
    from models.devices import choose_device

    if _kind_and_folder(name)[0] in EXTERNAL:
        card = model_card(name)
        _check_external(name)
    else:
        card = load_model(name, settings).card
    return ModelCheck(card=card, device=str(choose_device(settings.device)))


def require_pinned(name: str, card: ModelCard, sha256: str) -> None:
    """Raise ModelError unless the model has the hash of `worker.model_sha256`, without which others are not loaded."""
    if not sha256 and _kind_and_folder(name)[0] in EXTERNAL:
        why = f"worker.model_sha256 is needed; `lungspread models verify {name}` prints it"
        raise ModelError(f"model {card.name} {card.version}: {why}")
    if sha256 not in ("", card.weights_sha256):
        found = f"its files have the hash {card.weights_sha256[:12]}..., worker.model_sha256 is {sha256[:12]}..."
        raise ModelError(f"model {card.name} {card.version}: {found}")


def verify_files(name: str, card: ModelCard) -> None:
    """Raise ModelError unless the weights match the card; for nnU-Net and MONAI the card is made from the files."""
    if _kind_and_folder(name)[0] not in EXTERNAL:
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


def _check_external(name: str) -> None:
    """Raise ModelError if a part of another library's model is missing, holds code, or its library is not installed."""
    from models.external.bundle_folder import check_configuration, read_bundle
    from models.external.nnunet_folder import check_plans, read_nnunet
    from models.store.checkpoints import load_weights

    kind, folder = _kind_and_folder(name)
    library, extra = _LIBRARIES[kind]
    if find_spec(library) is None:
        raise ModelError(f"a model of kind {kind} needs {library}: pip install 'lungspread[{extra}]'")
    if kind == "nnunet":
        trained = read_nnunet(folder)
        check_plans(trained)
        checkpoints = trained.checkpoints
    else:
        bundle = read_bundle(folder)
        check_configuration(bundle)
        checkpoints = () if bundle.weights.suffix == ".ts" else (bundle.weights,)  # TorchScript is code
    for checkpoint in checkpoints:
        load_weights(checkpoint)


def _load_nnunet(folder: Path, card: ModelCard, settings: InferenceSettings) -> Segmenter:
    from models.external.nnunet_folder import read_nnunet

    try:
        from models.external.nnunet import NnunetSegmenter
    except ModuleNotFoundError as missing:
        raise ModelError(f"an nnU-Net needs {_library(missing)}: pip install 'lungspread[nnunet]'") from None
    return NnunetSegmenter(read_nnunet(folder), card, settings)


def _load_bundle(folder: Path, card: ModelCard, settings: InferenceSettings) -> Segmenter:
    from models.external.bundle_folder import read_bundle

    try:
        from models.external.monai_bundle import BundleSegmenter
    except ModuleNotFoundError as missing:
        raise ModelError(f"a MONAI bundle needs {_library(missing)}: pip install 'lungspread[monai-bundle]'") from None
    return BundleSegmenter(read_bundle(folder), card, settings)


def _library(missing: ModuleNotFoundError) -> str:
    return (missing.name or "a library").partition(".")[0]
