"""A sheet: a matplotlib figure with positions in mm from its upper left corner.

A text that is wider than its width limit is drawn smaller, and then shortened with an ellipsis. The typeface is the one
that matplotlib ships, and matplotlib's own defaults replace the machine's settings: the same drawing gives the same
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
from matplotlib import style as matplotlib_style
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
"""Font size at which text is measured."""
SMALLEST_PT = 4.5
BLACK, WHITE, GREY, PALE = "#000000", "#ffffff", "#595959", "#f0f0f0"

Point = tuple[float, float]
"""(x, y) in mm from the upper left corner."""


def plain_style() -> AbstractContextManager[None]:
    """Return the context for drawing and saving sheets: matplotlib's defaults, and equal text widths in PNG and PDF."""
    return matplotlib_style.context(["default", {"text.hinting": "no_hinting", "pdf.fonttype": 3}])


@dataclass(frozen=True, slots=True, kw_only=True)
class Rect:
    """A region of the sheet, in mm from its upper left corner."""

    left: float
    top: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """The right edge."""
        return self.left + self.width

    @property
    def bottom(self) -> float:
        """The lower edge."""
        return self.top + self.height

    def split_below(self, height: float, gap: float = 0.0) -> tuple[Rect, Rect]:
        """Return the upper part, of this height, and the part below the gap."""
        below = self.top + height + gap
        return replace(self, height=height), replace(self, top=below, height=self.bottom - below)

    def split_beside(self, width: float, gap: float = 0.0) -> tuple[Rect, Rect]:
        """Return the left part, of this width, and the part to the right of the gap."""
        beside = self.left + width + gap
        return replace(self, width=width), replace(self, left=beside, width=self.right - beside)

    def grid(self, rows: int, columns: int, gap: float) -> list[Rect]:
        """Return equal cells, row by row."""
        width = (self.width - gap * (columns - 1)) / columns
        height = (self.height - gap * (rows - 1)) / rows
        return [
            Rect(left=self.left + c * (width + gap), top=self.top + r * (height + gap), width=width, height=height)
            for r in range(rows)
            for c in range(columns)
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextStyle:
    """Style of a text. behind: colour of a box behind the text, for text on pictures."""

    size_pt: float = 7.0
    bold: bool = False
    colour: str = BLACK
    align: Literal["left", "center", "right"] = "left"
    behind: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LineStyle:
    """Style of a line. casing: whether the line has a thin black edge, for lines on pictures."""

    colour: str = BLACK
    width_pt: float = 0.6
    dashes: tuple[float, ...] = ()
    casing: bool = False

    def effects(self) -> list[AbstractPathEffect]:
        """Return the matplotlib path effects of the casing."""
        return [Stroke(linewidth=self.width_pt + 1.0, foreground=BLACK), Normal()] if self.casing else []


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """One sheet to draw on."""

    width_mm: float
    height_mm: float
    figure: Figure = field(init=False)

    def __post_init__(self) -> None:
        size = (self.width_mm / MM_PER_INCH, self.height_mm / MM_PER_INCH)
        object.__setattr__(self, "figure", Figure(figsize=size, dpi=DPI, facecolor=WHITE))
        self.figure.suppressComposite = True  # each picture stays a separate image in the PDF

    def text(self, at: Point, text: str, style: TextStyle, width_mm: float = math.inf) -> None:
        """Write one line, its baseline at `at`."""
        text, style = self._fitted(text, style, width_mm)
        box = {"facecolor": style.behind, "edgecolor": "none", "pad": 0.8} if style.behind else None
        self.figure.text(
            at[0] / self.width_mm,
            1 - at[1] / self.height_mm,
            text,
            fontproperties=_font(bold=style.bold, size_pt=style.size_pt),
            color=style.colour,
            ha=style.align,
            va="baseline",
            parse_math=False,
            bbox=box,
        )

    def text_width_mm(self, text: str, style: TextStyle) -> float:
        """Return the width of a line of text."""
        return _width_em(text, bold=style.bold) * style.size_pt * MM_PER_PT

    def wrapped(self, text: str, style: TextStyle, width_mm: float) -> list[str]:
        """Return the text broken into lines of this width; a number and its unit stay on one line."""
        lines: list[str] = []
        for word in re.sub(r"(\d) (mm|ml|%)", "\\1\N{NO-BREAK SPACE}\\2", text).split(" "):
            longer = f"{lines[-1]} {word}" if lines else word
            if lines and self.text_width_mm(longer, style) <= width_mm:
                lines[-1] = longer
            else:
                lines.append(word)
        return lines

    def line(self, points: Sequence[Point], line_style: LineStyle) -> None:
        """Draw a line through these points, above all pictures."""
        self.figure.add_artist(
            Line2D(
                [x / self.width_mm for x, _ in points],
                [1 - y / self.height_mm for _, y in points],
                color=line_style.colour,
                linewidth=line_style.width_pt,
                linestyle=(0, line_style.dashes) if line_style.dashes else "-",
                path_effects=line_style.effects(),
            )
        )

    def box(self, rect: Rect, fill: str, edge: str = "none", zorder: float = 1.0) -> None:
        """Draw a filled rectangle, below all text."""
        corner = (rect.left / self.width_mm, 1 - rect.bottom / self.height_mm)
        size = (rect.width / self.width_mm, rect.height / self.height_mm)
        box = Rectangle(corner, *size, facecolor=fill, edgecolor=edge, linewidth=0.4, zorder=zorder)
        self.figure.add_artist(box)

    def shape(self, corners: Sequence[Point], fill: str) -> None:
        """Draw a filled outline, above all pictures."""
        points = [(x / self.width_mm, 1 - y / self.height_mm) for x, y in corners]
        self.figure.add_artist(Polygon(points, facecolor=fill, edgecolor=BLACK, linewidth=0.6, zorder=2.5))

    def picture(self, rect: Rect, grey: NDArray[np.uint8]) -> None:
        """Draw a picture into a region, first row at the top. grey: (row, column), of the size `pixels_in` returns."""
        left, bottom = rect.left / self.width_mm, 1 - rect.bottom / self.height_mm
        size = (rect.width / self.width_mm, rect.height / self.height_mm)
        bbox = TransformedBbox(Bbox.from_bounds(left, bottom, *size), self.figure.transFigure)
        picture = BboxImage(bbox, interpolation="nearest", zorder=0)
        picture.set_data(np.repeat(grey[..., None], 3, axis=2))
        self.figure.add_artist(picture)

    def save_png(self, path: Path) -> Path:
        """Write the sheet as PNG."""
        FigureCanvasAgg(self.figure).print_png(str(path), metadata={"Software": None}, pil_kwargs={"compress_level": 4})  # type: ignore[no-untyped-call]
        return path

    def _fitted(self, text: str, style: TextStyle, width_mm: float) -> tuple[str, TextStyle]:
        too_wide = self.text_width_mm(text, style) / width_mm
        if too_wide <= 1:
            return text, style
        style = replace(style, size_pt=max(SMALLEST_PT, 0.98 * style.size_pt / too_wide))
        while len(text) > 1 and self.text_width_mm(text, style) > width_mm:
            text = text.rstrip("…")[:-1] + "…"
        return text, style


def save_pdf(sheets: Sequence[Sheet], path: Path, title: str) -> Path:
    """Write sheets as one PDF, with searchable text and embedded fonts, without a creation date."""
    metadata = {"Title": title, "CreationDate": None, "Creator": None, "Producer": None}
    with PdfPages(path, metadata=metadata) as pages:
        for sheet in sheets:
            pages.savefig(sheet.figure)
    return path


def pixels_in(rect: Rect) -> tuple[int, int]:
    """Return the numbers of pixel rows and columns of a region."""
    return max(1, round(rect.height / MM_PER_INCH * DPI)), max(1, round(rect.width / MM_PER_INCH * DPI))


@lru_cache(maxsize=4096)
def _width_em(text: str, *, bold: bool) -> float:
    """Return the width of a line of text in em, the font size."""
    font = get_font(str(_font_file(bold=bold)))
    font.set_size(RULER_PT, PT_PER_INCH)
    font.set_text(text, 0.0, flags=LoadFlags.NO_HINTING)
    return float(font.get_width_height()[0]) / 64 / RULER_PT  # FreeType uses units of 1/64 pixel


@lru_cache(maxsize=256)
def _font(*, bold: bool, size_pt: float) -> FontProperties:
    return FontProperties(fname=_font_file(bold=bold), size=size_pt)


def _font_file(*, bold: bool) -> Path:
    return Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf")
