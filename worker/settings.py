"""All settings, read once at the entry point from lungspread.toml and the environment."""

from __future__ import annotations

import hashlib
import json
import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as EnvironmentParseError

from dicom_node.audit.settings import AuditSettings
from dicom_node.errors import SettingsError
from dicom_node.priority.settings import PrioritySettings
from dicom_node.retention.settings import RetentionSettings
from dicom_node.selection.rules import SelectionSettings
from dicom_node.setting_types import Seconds
from dicom_node.settings import DicomwebSettings, JournalSettings, NodeSettings, Peer, QueueSettings
from models.segmenter import EngineName, InferenceSettings, ModelCard, PrecisionName

_PREFIX = "LUNGSPREAD_"
_DELIMITER = "__"


class WorkerSettings(BaseModel):
    """The model that a worker runs, its device, and the outputs that it writes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: Annotated[str, Field(pattern=r"^([a-z0-9_]+|(lung_tumour|nnunet|monai_bundle):[^\x00-\x1f]+)$")] = (
        "lung_tumour"
    )
    model_sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    """Hash over the model's files; needed for kinds nnunet and monai_bundle, whose folders may hold code."""
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"
    engine: EngineName = "auto"
    precision: PrecisionName = "auto"
    ensemble_size: Annotated[int, Field(ge=0, le=20)] = 0
    """Number of the model's networks that are averaged; 0: all. This and the next two: kind lung_tumour only."""
    flip_tta: bool = True
    """Whether each network also runs on the mirrored chest, as when operating points were chosen; doubles the time."""
    cascade: bool = True
    """Whether one network runs on whole slices, and the ensemble only where that network responds."""
    outputs: tuple[Literal["seg", "sr", "page"], ...] = ("seg", "sr", "page")
    report_rejected: bool = False
    """Whether an SR with the reason is sent to the PACS for a rejected series."""
    step_time_limit_s: Seconds = 1800.0
    """A step without progress for this long ends the attempt and the worker. Networks report every slice or block."""
    job_time_limit_s: Seconds = 14400.0
    """As long as that for a whole job: all networks on 1,200 slices may take an hour on a CPU."""
    memory_limit_mb: Annotated[int, Field(ge=0)] = 0
    """A job that needs more memory (MiB) than this besides the model fails; 0: three quarters of the machine's."""

    @property
    def inference(self) -> InferenceSettings:
        """The settings that the model is loaded with."""
        return InferenceSettings(
            engine=self.engine,
            device=self.device,
            precision=self.precision,
            ensemble_size=self.ensemble_size,
            flip_tta=self.flip_tta,
            cascade=self.cascade,
        )


class Settings(BaseSettings):
    """All settings of node, peers, selection, worker, queue, journal, DICOMweb server and audit trail."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=_PREFIX,
        env_nested_delimiter=_DELIMITER,
        nested_model_default_partial_update=True,
    )

    node: NodeSettings = NodeSettings()
    peers: tuple[Peer, ...] = ()
    selection: SelectionSettings = SelectionSettings()
    worker: WorkerSettings = WorkerSettings()
    queue: QueueSettings = QueueSettings()
    journal: JournalSettings = JournalSettings()
    dicomweb: DicomwebSettings = DicomwebSettings()
    audit: AuditSettings = AuditSettings()
    priority: PrioritySettings = PrioritySettings()
    retention: RetentionSettings = RetentionSettings()

    @model_validator(mode="after")
    def _peers_are_distinct(self) -> Self:
        names = [peer.name for peer in self.peers]
        tokens = [token for peer in self.peers if (token := peer.dicomweb_token.get_secret_value())]
        if len(set(names)) < len(names):
            raise ValueError("two peers have the same name")
        if len(set(tokens)) < len(tokens):
            raise ValueError("two peers have the same dicomweb_token")
        if self.dicomweb.peer_without_token not in ("", *names):
            raise ValueError("dicomweb.peer_without_token is not the name of a peer")
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
        """Give the environment precedence over the file, whose content `load_settings` passes to `__init__`."""
        return env_settings, init_settings


def load_settings(config: Path | None) -> Settings:
    """Return the settings of the configuration file, if one is given, and of the environment.

    Raises SettingsError if they cannot be read or are invalid. Its message is one line without the invalid value, which
    may be a secret.
    """
    from_file = {} if config is None else _read_toml(config)
    _reject_unknown_variables()
    try:
        return Settings(**from_file)
    except ValidationError as invalid:
        raise SettingsError(_first_error(invalid)) from None
    except EnvironmentParseError as error:
        raise SettingsError(f"environment: {error}") from None


def config_hash(settings: WorkerSettings, card: ModelCard) -> str:
    """Return a SHA-256 of everything, besides the images, that determines a job's results. Opaque to the node."""
    hashed = {
        "name": card.name,
        "version": card.version,
        "weights_sha256": card.weights_sha256,
        "threshold": card.threshold,
        "peak_threshold": card.peak_threshold,
        "smallest_lesion_ml": card.smallest_lesion_ml,
        "candidate_sha256": card.candidate_sha256,
        "engine": settings.engine,
        "precision": settings.precision,
        "ensemble_size": settings.ensemble_size,
        "flip_tta": settings.flip_tta,
        "cascade": settings.cascade,
        "outputs": sorted(set(settings.outputs)),
        "report_rejected": settings.report_rejected,
    }
    return hashlib.sha256(json.dumps(hashed, sort_keys=True).encode("ascii")).hexdigest()


def _read_toml(config: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(config.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{config}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{config}: not TOML: {error}") from None


def _reject_unknown_variables() -> None:
    """Reject a misspelt section: pydantic-settings ignores it, and only rejects misspelt keys within a section."""
    for name in sorted(os.environ):
        section = name.upper().removeprefix(_PREFIX).split(_DELIMITER)[0].lower()
        if name.upper().startswith(_PREFIX) and section not in Settings.model_fields:
            raise SettingsError(f"environment: {name}: there is no section {section!r}")


def _first_error(invalid: ValidationError) -> str:
    first, *others = invalid.errors(include_url=False, include_input=False, include_context=False)
    path = ".".join(str(part) for part in first["loc"]) or "settings"
    message = "there is no such setting" if first["type"] == "extra_forbidden" else first["msg"]
    return f"{path}: {message}" + (f" (and {len(others)} more)" if others else "")
