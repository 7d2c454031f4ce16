"""A MONAI bundle's folder, read as data, without MONAI: card, tumour channel, files.

Nothing in it is executed: its configuration is a program ("$..." is Python, "_target_" any function), and is only run
where the model is loaded (monai_bundle.py).

https://docs.monai.io/en/stable/mb_specification.html: configs/metadata.json, configs/inference.json (or .yaml), and
models/model.pt or, as TorchScript, models/model.ts.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.external.folder import FolderOptions, every_file, folder_card, read_json, read_options, tumour_label
from models.segmenter import ModelCard, ModelError

_CONFIGURATIONS = ("inference.json", "inference.yaml", "inference.yml")
_PARTS = (("preprocessing", "dataset"), ("postprocessing", "evaluator"), ("inferer",))
"""What a configuration needs: one key of each."""
_WEIGHTS = ("models/model.pt", "models/model.ts")


class BundleOptions(FolderOptions):
    """The keys of `lungspread.json` for a MONAI bundle."""

    weights: str | None = None
    """The weights' file below the bundle, .pt or .ts; by default models/model.pt, else models/model.ts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleFolder:
    """A bundle, without its weights.

    image, prediction: the bundle's names of the input and the output. channels: meaning of the output channels by
    number, from the metadata's channel_def, such as {0: background, 1: tumour}.
    """

    path: Path
    options: BundleOptions
    metadata: dict[str, Any]
    configuration: Path
    weights: Path
    image: str
    prediction: str
    channels: dict[int, str]

    @property
    def tumour(self) -> int:
        """Number of the tumour channel."""
        numbers = {name: number for number, name in self.channels.items() if name.lower() != "background"}
        return numbers[tumour_label(list(numbers), self.options, self.path)]


def read_bundle(path: Path) -> BundleFolder:
    """Read a bundle, without its weights. Raises ModelError if it is not one, or needs more input than a CT."""
    options = read_options(path, BundleOptions)
    metadata = read_json(path / "configs" / "metadata.json")
    try:
        inputs, outputs = (metadata["network_data_format"][side] for side in ("inputs", "outputs"))
        (image, input_format), (prediction, output_format) = next(iter(inputs.items())), next(iter(outputs.items()))
        channels = {int(number): str(name) for number, name in output_format["channel_def"].items()}
    except (KeyError, TypeError, ValueError, AttributeError, StopIteration):
        raise ModelError(f"{path}: metadata.json lacks inputs or outputs in network_data_format") from None
    if len(inputs) != 1 or input_format.get("num_channels", 1) != 1:
        raise ModelError(f"{path}: the network needs more than one image of each patient; only the CT is available")
    return BundleFolder(
        path=path,
        options=options,
        metadata=metadata,
        configuration=_first(path, [f"configs/{name}" for name in _CONFIGURATIONS]),
        weights=_first(path, [options.weights] if options.weights else _WEIGHTS),
        image=image,
        prediction=prediction,
        channels=channels,
    )


def bundle_card(bundle: BundleFolder) -> ModelCard:
    """Return the card of a bundle; its hash covers every file, since its configuration may use any."""
    facts = {
        "name": str(bundle.metadata.get("name") or bundle.path.resolve().name),
        "version": str(bundle.metadata.get("version", "")),
        "licence": str(bundle.metadata.get("license", "")),
        "weights_file": bundle.weights.relative_to(bundle.path).as_posix(),
    }
    return folder_card(bundle.path, every_file(bundle.path), bundle.options, facts)


def check_configuration(bundle: BundleFolder) -> None:
    """Raise ModelError unless the inference configuration has all parts; it is read as data."""
    configuration = _read_configuration(bundle.configuration)
    needed = _PARTS if bundle.weights.suffix == ".ts" else (*_PARTS, ("network_def",))
    for keys in needed:
        if not any(key in configuration for key in keys):
            raise ModelError(f"{bundle.configuration}: lacks {' or '.join(keys)}")


def _read_configuration(path: Path) -> dict[str, Any]:
    if path.suffix == ".json":
        return read_json(path)
    import yaml  # of the extra monai-bundle

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}") from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise ModelError(f"{path}: not YAML") from None
    if not isinstance(content, dict):
        raise ModelError(f"{path}: not a mapping")
    return content


def _first(path: Path, names: list[str] | tuple[str, ...]) -> Path:
    for name in names:
        if (path / name).is_file():
            return path / name
    raise ModelError(f"{path}: missing {' or '.join(names)}")
