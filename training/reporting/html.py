"""An evaluation as one self-contained HTML page: every number of its JSON, plots and pictures.

The tables follow the JSON's structure, so that every number of the JSON appears on the page.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from training.reporting.figures import png_bytes
from training.reporting.pages import rendered
from training.reporting.plots import froc_plot, readers_plot, reliability_plot, strip_plot

Json = Mapping[str, Any]
Pictures = Mapping[str, Sequence[tuple[str, bytes]]]
"""By source: titles and PNG files."""

FOLDED = {"curve", "per_case", "per_lesion", "per_reader_case"}


def report_page(evaluation: Json, pictures: Pictures) -> str:
    """Return the page: the model and the rules, then each source with its tables, plots and pictures."""
    sources = dict(sorted(evaluation["sources"].items()))
    drawn = {
        name: [*((title, png_bytes(figure)) for title, figure in _plots(source)), *pictures.get(name, ())]
        for name, source in sources.items()
    }
    values = {
        "facts": {key: value for key, value in evaluation.items() if key not in {"rules", "sources"}},
        "rules": evaluation["rules"],
        "sources": sources,
        "pictures": drawn,
        "folded": FOLDED,
    }
    return rendered("evaluation.html.j2", values)


def _plots(source: Json) -> Iterator[tuple[str, Figure]]:
    if source["detection"]:
        yield "Cases one by one; the line is the median", strip_plot(source)
        yield "Sensitivity by lesion against false positives per scan", froc_plot(source)
        yield "Reliability of probabilities within 10 mm of lesions", reliability_plot(source)
    if source["readers"]:
        yield "Each lesion: model and readers", readers_plot(source)
