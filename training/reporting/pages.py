"""Opens Jinja2 templates, and renders the HTML pages of this folder."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

ESTIMATE = {"value", "low", "high", "cases", "patients", "few_patients"}


def templates_of(package: str) -> Environment:
    """Return the templates of a package: in those of HTML every value is escaped; a missing value is an error."""
    return Environment(
        loader=PackageLoader(package),
        autoescape=select_autoescape(["html.j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def rendered(template: str, values: Mapping[str, object]) -> str:
    """Return the page of a template with these values. Raises UndefinedError if the template needs another one."""
    environment = templates_of("training.reporting")
    environment.filters |= {"text": _text, "label": _label, "base64": _base64}
    environment.tests |= {"estimate": _is_estimate, "plain": _is_plain}
    return environment.get_template(template).render(values)


def _text(item: object) -> str:
    """Return a value as JSON writes it, so that it can be searched for; "-" for None."""
    if item is None:
        return "-"
    return item if isinstance(item, str) else json.dumps(item)


def _label(key: str) -> str:
    return key.replace("_", " ")


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _is_estimate(item: object) -> bool:
    return isinstance(item, Mapping) and set(item) == ESTIMATE


def _is_plain(item: object) -> bool:
    return not isinstance(item, Mapping | list)
