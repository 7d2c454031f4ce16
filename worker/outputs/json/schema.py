"""Schemas of our JSON files, generated from their models."""

from __future__ import annotations

import json

from worker.outputs.json.values import JsonModel


def schema_text(model: type[JsonModel]) -> str:
    """Return the schema of a model, JSON Schema 2020-12, as the text of a file."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **model.model_json_schema()}
    return json.dumps(schema, indent=1, sort_keys=True) + "\n"
