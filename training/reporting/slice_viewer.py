"""Slice viewers of a case: an animated GIF, and a self-contained page with a slider."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from training.reporting.figures import CaseView
from training.reporting.overlay import PREDICTION, REFERENCE, Pixels, enlarged, outlined_in, painted, rgb
from training.reporting.pages import rendered

MILLISECONDS = 120
WIDTH_PX = 512
OUTLINES = (REFERENCE, PREDICTION)


def viewer_page(view: CaseView, path: Path) -> None:
    """Write a page with every slice and a slider, opened at the slice with the largest ground truth."""
    pictures = _pictures(view)
    areas = view.case.mask[view.case.seen].sum((1, 2))
    width_mm, height_mm = (
        n * size for n, size in zip(view.case.hu.shape[:0:-1], view.case.spacing_mm[:0:-1], strict=True)
    )
    values = {
        "title": view.case.name,
        "mask_name": view.mask_name.capitalize(),
        "reference": REFERENCE,
        "prediction": PREDICTION,
        "aspect": f"{width_mm:.1f}/{height_mm:.1f}",
        "start": int(areas.argmax()) + 1,
        "slices": [_png(picture) for picture in pictures],
    }
    path.write_text(rendered("slice_viewer.html.j2", values), encoding="utf-8")


def viewer_gif(view: CaseView, path: Path) -> None:
    """Write an animated GIF of every slice, in an endless loop."""
    first, *others = _pictures(view)
    first.save(path, save_all=True, append_images=others, duration=MILLISECONDS, loop=0)


def _pictures(view: CaseView) -> list[Image.Image]:
    return [_with_palette(slice_picture(view, int(at))) for at in np.flatnonzero(view.case.seen)]


def slice_picture(view: CaseView, at: int) -> Pixels:
    """Return a slice, enlarged if small, with the outlines of ground truth and prediction, the prediction on top."""
    factor = max(1, WIDTH_PX // view.case.hu.shape[2])
    pixels = enlarged(painted(view.case.hu[at]), factor)
    for mask, colour in ((view.case.mask, REFERENCE), (view.marked, PREDICTION)):
        pixels = outlined_in(pixels, mask[at].repeat(factor, axis=0).repeat(factor, axis=1), colour)
    return pixels


def _with_palette(pixels: Pixels) -> Image.Image:
    """Return a picture with one byte per pixel: greys, then the colours of the outlines."""
    greys = 256 - len(OUTLINES)
    index = np.minimum(pixels[..., 0], greys - 1)
    for number, colour in enumerate(OUTLINES, start=greys):
        index[(pixels == rgb(colour)).all(-1)] = number
    picture = Image.fromarray(index, mode="P")
    picture.putpalette([*np.repeat(np.arange(greys), 3), *(int(v) for colour in OUTLINES for v in rgb(colour))])
    return picture


def _png(picture: Image.Image) -> bytes:
    file = BytesIO()
    picture.save(file, format="png", optimize=True)
    return file.getvalue()
