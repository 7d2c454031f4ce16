"""All settings, read once at the entry point, from lungspread.toml and the environment; passed down from there."""

from __future__ import annotations

import hashlib
import json
import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as UnreadableEnvironment

from dicom_node.errors import SettingsError
from dicom_node.settings import JournalSettings, NodeSettings, Peer, QueueSettings
from models.segmenter import EngineName, InferenceSettings, ModelCard, PrecisionName

_PREFIX = "LUNGSPREAD_"
_DELIMITER = "__"


class WorkerSettings(BaseModel):
    """Which model a worker runs, on what, and what it makes of the findings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: Annotated[str, Field(pattern=r"^([a-z0-9_]+|(lung_tumour|nnunet|monai_bundle):[^\x00-\x1f]+)$")] = (
        "lung_tumour"
    )
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"
    engine: EngineName = "auto"
    precision: PrecisionName = "auto"
    ensemble_size: Annotated[int, Field(ge=0, le=20)] = 0
    """How many of the model's networks are averaged; 0: all. Of a model of our own training, as are the next two."""
    flip_tta: bool = True
    """Whether each of them also looks at the mirrored chest, as operating points are chosen: twice the work."""
    cascade: bool = True
    """Whether one network looks at whole slices, and all of them only where it sees something."""
    outputs: tuple[Literal["seg", "sr", "page"], ...] = ("seg", "sr", "page")
    report_rejected: bool = False
    """Whether the PACS gets an SR of a series that was refused, with the reason."""

    @property
    def inference(self) -> InferenceSettings:
        """How the model runs."""
        return InferenceSettings(
            engine=self.engine,
            device=self.device,
            precision=self.precision,
            ensemble_size=self.ensemble_size,
            flip_tta=self.flip_tta,
            cascade=self.cascade,
        )


class Settings(BaseSettings):
    """Everything that can be configured."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=_PREFIX,
        env_nested_delimiter=_DELIMITER,
        nested_model_default_partial_update=True,
    )

    node: NodeSettings = NodeSettings()
    peers: tuple[Peer, ...] = ()
    worker: WorkerSettings = WorkerSettings()
    queue: QueueSettings = QueueSettings()
    journal: JournalSettings = JournalSettings()

    @model_validator(mode="after")
    def _peers_have_names_of_their_own(self) -> Self:
        names = [peer.name for peer in self.peers]
        if len(set(names)) < len(names):
            raise ValueError("two peers have the same name")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment win over the file, whose content `load_settings` hands to `__init__`."""
        return env_settings, init_settings


def load_settings(config: Path | None) -> Settings:
    """Read the configuration file, if one is given, and the environment.

    Raises SettingsError, in one line that holds no value, for it may be a secret.
    """
    written = {} if config is None else _read_toml(config)
    _refuse_unknown_variables()
    try:
        return Settings(**written)
    except ValidationError as invalid:
        raise SettingsError(_first_of(invalid)) from None
    except UnreadableEnvironment as unreadable:
        raise SettingsError(f"environment: {unreadable}") from None


def config_hash(settings: WorkerSettings, card: ModelCard) -> str:
    """Return the hash of all that decides what a job computes from its images; the node treats it as opaque."""
    decisive = {
        "name": card.name,
        "version": card.version,
        "weights_sha256": card.weights_sha256,
        "threshold": card.threshold,
        "peak_threshold": card.peak_threshold,
        "smallest_lesion_ml": card.smallest_lesion_ml,
        "first_network": card.first_network,
        "engine": settings.engine,
        "precision": settings.precision,
        "ensemble_size": settings.ensemble_size,
        "flip_tta": settings.flip_tta,
        "cascade": settings.cascade,
        "outputs": sorted(set(settings.outputs)),
        "report_rejected": settings.report_rejected,
    }
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode("ascii")).hexdigest()


def _read_toml(config: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(config.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{config}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{config}: not TOML: {error}") from None


def _refuse_unknown_variables() -> None:
    """pydantic-settings overlooks a misspelt section; a misspelt key within one it refuses."""
    for name in sorted(os.environ):
        section = name.upper().removeprefix(_PREFIX).split(_DELIMITER)[0].lower()
        if name.upper().startswith(_PREFIX) and section not in Settings.model_fields:
            raise SettingsError(f"environment: {name}: there is no section {section!r}")


def _first_of(invalid: ValidationError) -> str:
    first, *others = invalid.errors(include_url=False, include_input=False, include_context=False)
    place = ".".join(str(part) for part in first["loc"]) or "settings"
    what = "there is no such setting" if first["type"] == "extra_forbidden" else first["msg"]
    return f"{place}: {what}" + (f" (and {len(others)} more)" if others else "")
