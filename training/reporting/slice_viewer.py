"""Slice viewers of a case: an animated GIF, and a self-contained page with a slider."""

from __future__ import annotations

import base64
import html
import json
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from training.reporting.figures import CaseView
from training.reporting.overlay import PREDICTION, REFERENCE, Pixels, enlarged, outlined_in, painted, rgb

MILLISECONDS = 120
WIDTH_PX = 512
OUTLINES = (REFERENCE, PREDICTION)

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>body{{font:16px system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}}
img{{width:100%;max-width:44rem;aspect-ratio:{aspect};image-rendering:pixelated;background:#000}}
input{{width:100%;max-width:44rem}} b{{padding:0 .6em}}</style></head><body>
<h1>{title}</h1><p>{mask_name}. Outlines: <b style="background:{reference}">ground truth</b>
<b style="background:{prediction}">prediction</b></p>
<p><img id="picture" alt="one slice"></p>
<p><label>slice <output id="number"></output> of {count}<br>
<input id="slice" type="range" min="1" max="{count}" value="{start}"></label></p>
<p>Arrow keys move by one slice. Research use only.</p>
<script>
const slices = {slices};
const slider = document.getElementById("slice");
function show() {{
  document.getElementById("picture").src = "data:image/png;base64," + slices[slider.value - 1];
  document.getElementById("number").value = slider.value;
}}
slider.addEventListener("input", show);
slider.focus();
show();
</script></body></html>
"""


def viewer_page(view: CaseView, path: Path) -> None:
    """Write a page with every slice and a slider, opened at the slice with the largest ground truth."""
    pictures = _pictures(view)
    areas = view.case.mask[view.case.seen].sum((1, 2))
    width_mm, height_mm = (
        n * size for n, size in zip(view.case.hu.shape[:0:-1], view.case.spacing_mm[:0:-1], strict=True)
    )
    page = PAGE.format(
        title=html.escape(view.case.name),
        mask_name=html.escape(view.mask_name.capitalize()),
        reference=REFERENCE,
        prediction=PREDICTION,
        aspect=f"{width_mm:.1f}/{height_mm:.1f}",
        count=len(pictures),
        start=int(areas.argmax()) + 1,
        slices=json.dumps([base64.b64encode(_png(picture)).decode("ascii") for picture in pictures]),
    )
    path.write_text(page, encoding="utf-8")


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
