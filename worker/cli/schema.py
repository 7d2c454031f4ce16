"""`lungspread schema`: print the JSON schema of an output."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import typer


class JsonOutput(StrEnum):
    """An output with a schema."""

    FINDINGS = "findings"
    TIMELINE = "timeline"


def schema(
    output: Annotated[JsonOutput, typer.Argument(help="findings.json, or what `lungspread timeline` writes.")],
) -> None:
    """Print the JSON schema of findings.json or of a timeline."""
    from worker.outputs.json.findings_model import FindingsJson
    from worker.outputs.json.schema import schema_text
    from worker.timeline.model import TimelineJson

    sys.stdout.write(schema_text(FindingsJson if output is JsonOutput.FINDINGS else TimelineJson))
