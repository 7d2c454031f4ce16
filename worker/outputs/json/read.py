"""Reads a findings.json."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import ValidationError

from dicom_node.errors import NodeError
from worker.outputs.json.findings_model import SCHEMA_VERSION, FindingsJson


class UnreadableFindings(NodeError):  # noqa: N818 - named for the fact
    """There is no findings.json, or it does not conform to the schema of this version."""


def read_findings(path: Path) -> FindingsJson:
    """Return the content of a findings.json. Raises UnreadableFindings if it is missing or does not conform."""
    try:
        content = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UnreadableFindings("there is no findings.json") from None
    try:
        return FindingsJson.model_validate_json(content)
    except ValidationError as error:
        raise UnreadableFindings(_reason(content, error)) from None


def _reason(content: str, error: ValidationError) -> str:
    """Return the schema version, if it is another one, or where the first fault is; no values."""
    try:
        version = json.loads(content).get("schema_version")
    except (ValueError, AttributeError):
        return "findings.json holds no JSON object"
    if version != SCHEMA_VERSION:
        return f"findings.json has schema_version {version}, {SCHEMA_VERSION} is needed"
    first = error.errors(include_input=False, include_url=False)[0]
    return f"findings.json: {'.'.join(map(str, first['loc']))}: {first['msg']}"
