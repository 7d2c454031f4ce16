"""A sheet on which pictures are drawn in millimetres from its upper left corner. Knows no findings.

Text never leaves the width that it is given: it is made smaller, and then cut with an ellipsis. The typeface is the one
that matplotlib brings along, and its defaults are used, whatever the machine's own are: the same drawing has the same
bytes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

import matplotlib
import numpy as np
from matplotlib import style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, get_font
from matplotlib.ft2font import LoadFlags
from matplotlib.image import BboxImage
from matplotlib.lines import Line2D
from matplotlib.patches import Polygon, Rectangle
from matplotlib.patheffects import AbstractPathEffect, Normal, Stroke
from matplotlib.transforms import Bbox, TransformedBbox
from numpy.typing import NDArray

DPI = 170
"""An A4 page is 1988 pixels wide."""
MM_PER_INCH, PT_PER_INCH = 25.4, 72.0
MM_PER_PT = MM_PER_INCH / PT_PER_INCH
RULER_PT = 40.0
SMALLEST_PT = 4.5
BLACK, WHITE, GREY, PALE = "#000000", "#ffffff", "#595959", "#f0f0f0"

Place = tuple[float, float]
"""(x, y) in mm from the upper left corner."""


def plain_style() -> AbstractContextManager[None]:
    """Return the style in which sheets are made and saved: matplotlib's defaults; letters as wide in PNG as in PDF."""
    return style.context(["default", {"text.hinting": "no_hinting", "pdf.fonttype": 3}])


@dataclass(frozen=True, slots=True, kw_only=True)
class Rect:
    """A region of the sheet, in mm from its upper left corner."""

    left: float
    top: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """Where it ends."""
        return self.left + self.width

    @property
    def bottom(self) -> float:
        """Where it ends."""
        return self.top + self.height

    def split_below(self, height: float, gap: float = 0.0) -> tuple[Rect, Rect]:
        """Return its uppermost part of this height, and the rest below the gap."""
        below = self.top + height + gap
        return replace(self, height=height), replace(self, top=below, height=self.bottom - below)

    def split_beside(self, width: float, gap: float = 0.0) -> tuple[Rect, Rect]:
        """Return its leftmost part of this width, and the rest right of the gap."""
        beside = self.left + width + gap
        return replace(self, width=width), replace(self, left=beside, width=self.right - beside)

    def grid(self, rows: int, columns: int, gap: float) -> list[Rect]:
        """Divide it evenly, row by row."""
        width = (self.width - gap * (columns - 1)) / columns
        height = (self.height - gap * (rows - 1)) / rows
        return [
            Rect(left=self.left + c * (width + gap), top=self.top + r * (height + gap), width=width, height=height)
            for r in range(rows)
            for c in range(columns)
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextStyle:
    """How a text looks. behind: the colour of a box behind it, for text on pictures."""

    size_pt: float = 7.0
    bold: bool = False
    colour: str = BLACK
    align: Literal["left", "center", "right"] = "left"
    behind: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LineStyle:
    """How a line looks. casing: draws a thin black edge around it, for lines on pictures."""

    colour: str = BLACK
    width_pt: float = 0.6
    dashes: tuple[float, ...] = ()
    casing: bool = False

    def effects(self) -> list[AbstractPathEffect]:
        """Return matplotlib's name for it."""
        return [Stroke(linewidth=self.width_pt + 1.0, foreground=BLACK), Normal()] if self.casing else []


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """One sheet."""

    width_mm: float
    height_mm: float
    figure: Figure = field(init=False)

    def __post_init__(self) -> None:
        size = (self.width_mm / MM_PER_INCH, self.height_mm / MM_PER_INCH)
        object.__setattr__(self, "figure", Figure(figsize=size, dpi=DPI, facecolor=WHITE))
        self.figure.suppressComposite = True  # each picture stays one of its own in the PDF

    def text(self, at: Place, words: str, ink: TextStyle, width_mm: float = math.inf) -> None:
        """Write one line, its baseline at `at`."""
        words, ink = self._fitted(words, ink, width_mm)
        box = {"facecolor": ink.behind, "edgecolor": "none", "pad": 0.8} if ink.behind else None
        self.figure.text(
            at[0] / self.width_mm,
            1 - at[1] / self.height_mm,
            words,
            fontproperties=_font(bold=ink.bold, size_pt=ink.size_pt),
            color=ink.colour,
            ha=ink.align,
            va="baseline",
            parse_math=False,
            bbox=box,
        )

    def text_width_mm(self, words: str, ink: TextStyle) -> float:
        """Return how long a line is."""
        return _width_em(words, bold=ink.bold) * ink.size_pt * MM_PER_PT

    def wrapped(self, words: str, ink: TextStyle, width_mm: float) -> list[str]:
        """Return the lines that a text makes in this width; a number keeps its unit."""
        lines: list[str] = []
        for word in re.sub(r"(\d) (mm|ml|%)", "\\1\N{NO-BREAK SPACE}\\2", words).split(" "):
            longer = f"{lines[-1]} {word}" if lines else word
            if lines and self.text_width_mm(longer, ink) <= width_mm:
                lines[-1] = longer
            else:
                lines.append(word)
        return lines

    def line(self, points: Sequence[Place], stroke: LineStyle) -> None:
        """Draw a line through these points, above all pictures."""
        self.figure.add_artist(
            Line2D(
                [x / self.width_mm for x, _ in points],
                [1 - y / self.height_mm for _, y in points],
                color=stroke.colour,
                linewidth=stroke.width_pt,
                linestyle=(0, stroke.dashes) if stroke.dashes else "-",
                path_effects=stroke.effects(),
            )
        )

    def box(self, rect: Rect, fill: str, edge: str = "none", zorder: float = 1.0) -> None:
        """Draw a filled rectangle, below all text."""
        corner = (rect.left / self.width_mm, 1 - rect.bottom / self.height_mm)
        size = (rect.width / self.width_mm, rect.height / self.height_mm)
        box = Rectangle(corner, *size, facecolor=fill, edgecolor=edge, linewidth=0.4, zorder=zorder)
        self.figure.add_artist(box)

    def shape(self, corners: Sequence[Place], fill: str) -> None:
        """Draw a filled outline, above all pictures."""
        places = [(x / self.width_mm, 1 - y / self.height_mm) for x, y in corners]
        self.figure.add_artist(Polygon(places, facecolor=fill, edgecolor=BLACK, linewidth=0.6, zorder=2.5))

    def picture(self, rect: Rect, grey: NDArray[np.uint8]) -> None:
        """Show a picture, its first row at the top, in a region of as many pixels as `pixels_in` says."""
        left, bottom = rect.left / self.width_mm, 1 - rect.bottom / self.height_mm
        size = (rect.width / self.width_mm, rect.height / self.height_mm)
        place = TransformedBbox(Bbox.from_bounds(left, bottom, *size), self.figure.transFigure)
        picture = BboxImage(place, interpolation="nearest", zorder=0)
        picture.set_data(np.repeat(grey[..., None], 3, axis=2))
        self.figure.add_artist(picture)

    def save_png(self, path: Path) -> Path:
        """Write the sheet as PNG."""
        FigureCanvasAgg(self.figure).print_png(str(path), metadata={"Software": None}, pil_kwargs={"compress_level": 4})  # type: ignore[no-untyped-call]
        return path

    def _fitted(self, words: str, ink: TextStyle, width_mm: float) -> tuple[str, TextStyle]:
        too_wide = self.text_width_mm(words, ink) / width_mm
        if too_wide <= 1:
            return words, ink
        ink = replace(ink, size_pt=max(SMALLEST_PT, 0.98 * ink.size_pt / too_wide))
        while len(words) > 1 and self.text_width_mm(words, ink) > width_mm:
            words = words.rstrip("…")[:-1] + "…"
        return words, ink


def save_pdf(sheets: Sequence[Sheet], path: Path, title: str) -> Path:
    """Write sheets as one PDF: text as text, fonts embedded, no time of writing."""
    metadata = {"Title": title, "CreationDate": None, "Creator": None, "Producer": None}
    with PdfPages(path, metadata=metadata) as pages:
        for sheet in sheets:
            pages.savefig(sheet.figure)
    return path


def pixels_in(rect: Rect) -> tuple[int, int]:
    """Return how many rows and columns of pixels a region of a sheet has."""
    return max(1, round(rect.height / MM_PER_INCH * DPI)), max(1, round(rect.width / MM_PER_INCH * DPI))


@lru_cache(maxsize=4096)
def _width_em(words: str, *, bold: bool) -> float:
    """Return the length of a line in heights of its letters."""
    font = get_font(str(_font_file(bold=bold)))
    font.set_size(RULER_PT, PT_PER_INCH)
    font.set_text(words, 0.0, flags=LoadFlags.NO_HINTING)
    return float(font.get_width_height()[0]) / 64 / RULER_PT  # FreeType counts in 64ths


@lru_cache(maxsize=256)
def _font(*, bold: bool, size_pt: float) -> FontProperties:
    return FontProperties(fname=_font_file(bold=bold), size=size_pt)


def _font_file(*, bold: bool) -> Path:
    return Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf")
