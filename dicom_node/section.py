"""A section of the configuration, whose secrets may be in files of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

_FILE = "_file"
_MAX_SECRET_BYTES = 65_536


class Section(BaseModel):
    """A section: unknown keys are refused, and values do not change.

    A setting that is not shown (`repr=False`) is a secret. `NAME_file`, in place of NAME, is the path of a file with
    it, as Docker, systemd and Kubernetes provide them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _read_secrets(cls, given: Any) -> Any:  # noqa: ANN401 - whatever stands in the file
        if not isinstance(given, dict):
            return given
        files = {name: given[name + _FILE] for name in cls.secrets() if given.get(name + _FILE)}
        for name in files:
            if given.get(name) not in (None, "", cls.model_fields[name].default):
                raise ValueError(f"{name} and {name}{_FILE} are both set")
        others = {key: value for key, value in given.items() if key not in {name + _FILE for name in cls.secrets()}}
        return others | {name: _read(name, path) for name, path in files.items()}

    @classmethod
    def secrets(cls) -> list[str]:
        """Return the names of the settings that are never shown."""
        return [name for name, field in cls.model_fields.items() if not field.repr]


def _read(name: str, path: object) -> str:
    """Return the secret in a file, without the end of its line. The error names the setting, and not the content."""
    try:
        with Path(str(path)).open("rb") as file:
            content = file.read(_MAX_SECRET_BYTES + 1)
        if len(content) > _MAX_SECRET_BYTES:
            raise ValueError(f"{name}{_FILE}: the file has more than {_MAX_SECRET_BYTES} bytes")
        return content.decode("utf-8").rstrip("\r\n")
    except OSError as error:
        raise ValueError(f"{name}{_FILE}: {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{name}{_FILE}: {path} is not a text") from None
