"""An evaluation as one self-contained HTML page: every number of its JSON, plots and pictures.

The tables follow the JSON's structure, so that every number of the JSON appears on the page.
"""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from training.reporting.figures import png_bytes
from training.reporting.plots import froc_plot, readers_plot, reliability_plot, strip_plot

Json = Mapping[str, Any]
Pictures = Mapping[str, Sequence[tuple[str, bytes]]]
"""By source: titles and PNG files."""

ESTIMATE = {"value", "low", "high", "cases", "patients", "few_patients"}
FOLDED = {"curve", "per_case", "per_lesion", "per_reader_case"}
STYLE = """
body{font:16px/1.45 system-ui,sans-serif;max-width:76rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a}
h1,h2{line-height:1.2} h2{border-top:3px solid #0072b2;padding-top:1rem;margin-top:3rem} h3{margin-top:2rem}
table{border-collapse:collapse;margin:.5rem 0;font-size:.9rem;font-variant-numeric:tabular-nums}
th,td{border:1px solid #ccc;padding:.2rem .6rem;text-align:right;white-space:nowrap} th{background:#f2f2f2}
th:first-child,td:first-child{text-align:left} img{max-width:100%} figure{margin:1rem 0} .few{color:#a04000}
.wide{overflow-x:auto} summary{cursor:pointer;margin:.5rem 0}
"""


def report_page(evaluation: Json, pictures: Pictures) -> str:
    """Return the page: the model and the rules, then each source with its tables, plots and pictures."""
    facts = {key: value for key, value in evaluation.items() if key not in {"rules", "sources"}}
    rules = "".join(f"<li>{html.escape(rule)}</li>" for rule in evaluation["rules"])
    sources = "".join(
        _source(name, source, pictures.get(name, ())) for name, source in sorted(evaluation["sources"].items())
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Evaluation</title><style>{STYLE}</style>'
        "</head><body><h1>Evaluation on held-back patients</h1><p>Research use only. Every value in brackets is a 95 % "
        f"bootstrap interval over patients; n counts cases and patients.</p>{_headline(evaluation['sources'])}"
        f"{''.join(_tables('', facts))}<h3>Rules of the evaluation</h3><ul>{rules}</ul>{sources}</body></html>\n"
    )


def _headline(sources: Json) -> str:
    rows = [
        (name, _estimate(source["over_cases"]["dice_mean"]), _estimate(source["over_cases"]["dice_median"]),
         _estimate(source["over_cases"]["surface_dice_2mm_mean"]), _estimate(source["over_cases"]["hd95_mm_median"]),
         _estimate(source["detection"]["sensitivity_at_operating_point"]) if source["detection"] else "-")
        for name, source in sorted(sources.items())
    ]  # fmt: skip
    heads = ("source", "Dice, mean", "Dice, median", "surface Dice at 2 mm, mean", "HD95 mm, median", "sensitivity")
    return _table(heads, rows)


def _source(name: str, source: Json, pictures: Sequence[tuple[str, bytes]]) -> str:
    plots = [("Cases one by one; the line is the median", strip_plot(source))] if source["detection"] else []
    if source["detection"]:
        plots.append(("Sensitivity by lesion against false positives per scan", froc_plot(source)))
        plots.append(("Reliability of probabilities within 10 mm of lesions", reliability_plot(source)))
    if source["readers"]:
        plots.append(("Each lesion: model and readers", readers_plot(source)))
    drawn = "".join(_picture(title, png_bytes(figure)) for title, figure in plots)
    cases = "".join(_picture(title, png) for title, png in pictures)
    return f"<h2>{html.escape(name)}</h2>{''.join(_tables('', source))}{drawn}{cases}"


def _tables(title: str, value: Json) -> Iterator[str]:
    """Yield a mapping's plain values and its estimates as one table each, then nested values with headings."""
    plain = {key: item for key, item in value.items() if not isinstance(item, dict | list)}
    estimates = {key: item for key, item in value.items() if isinstance(item, dict) and set(item) == ESTIMATE}
    if title:
        yield f"<h3>{html.escape(_label(title))}</h3>"
    if plain:
        yield _table(("", "value"), [(_label(key), _text(item)) for key, item in plain.items()])
    if estimates:
        yield _table(("", "value (95 % interval), n"), [(_label(k), _estimate(item)) for k, item in estimates.items()])
    for key, item in value.items():
        if key in plain or key in estimates or not item:
            continue
        inner = _rows(key, item) if isinstance(item, list) else "".join(_tables(key, item))
        yield f"<details><summary>{html.escape(_label(key))}</summary>{inner}</details>" if key in FOLDED else inner


def _rows(title: str, rows: Sequence[Any]) -> str:
    """Return a list as HTML: mappings as a table with a column for each key, values as a line."""
    if not isinstance(rows[0], dict):
        return f"<h3>{html.escape(_label(title))}</h3><p>{', '.join(_text(item) for item in rows)}</p>"
    cells = [[_estimate(item) if isinstance(item, dict) else _text(item) for item in row.values()] for row in rows]
    return f"<h3>{html.escape(_label(title))}</h3>{_table([_label(key) for key in rows[0]], cells)}"


def _estimate(item: Json) -> str:
    interval = "no interval" if item["low"] is None else f"({_text(item['low'])} to {_text(item['high'])})"
    count = f"n = {item['cases']}, {item['patients']} patients"
    few = ' <span class="few">few patients: a hint</span>' if item["few_patients"] and item["patients"] else ""
    return f"{_text(item['value'])} {interval}; {count}{few}"


def _text(item: object) -> str:
    """Return a value as JSON writes it, so that it can be searched for; "-" for None."""
    if item is None:
        return "-"
    return html.escape(item) if isinstance(item, str) else json.dumps(item)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table; the cells are HTML already."""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in heads)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'


def _label(key: str) -> str:
    return key.replace("_", " ")


def _picture(title: str, png: bytes) -> str:
    source = base64.b64encode(png).decode("ascii")
    return (
        f'<figure><img alt="{html.escape(title)}" src="data:image/png;base64,{source}">'
        f"<figcaption>{html.escape(title)}</figcaption></figure>"
    )
