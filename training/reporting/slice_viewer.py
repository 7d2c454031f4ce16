"""A case to scroll through: an animated GIF, and a page with a slider that needs no network. Judges nothing."""

from __future__ import annotations

import base64
import html
import json
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from training.reporting.figures import Shown
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


def viewer_page(shown: Shown, path: Path) -> None:
    """Write one page with every slice in it and a slider, opened at the slice with the most of the ground truth."""
    pictures = _pictures(shown)
    areas = shown.case.mask[shown.case.seen].sum((1, 2))
    width_mm, height_mm = (
        n * size for n, size in zip(shown.case.hu.shape[:0:-1], shown.case.spacing_mm[:0:-1], strict=True)
    )
    page = PAGE.format(
        title=html.escape(shown.case.name),
        mask_name=html.escape(shown.mask_name.capitalize()),
        reference=REFERENCE,
        prediction=PREDICTION,
        aspect=f"{width_mm:.1f}/{height_mm:.1f}",
        count=len(pictures),
        start=int(areas.argmax()) + 1,
        slices=json.dumps([base64.b64encode(_png(picture)).decode("ascii") for picture in pictures]),
    )
    path.write_text(page, encoding="utf-8")


def viewer_gif(shown: Shown, path: Path) -> None:
    """Write an animated GIF of every slice, over and over."""
    first, *others = _pictures(shown)
    first.save(path, save_all=True, append_images=others, duration=MILLISECONDS, loop=0)


def _pictures(shown: Shown) -> list[Image.Image]:
    return [_with_palette(slice_picture(shown, int(at))) for at in np.flatnonzero(shown.case.seen)]


def slice_picture(shown: Shown, at: int) -> Pixels:
    """Return a slice, small ones enlarged, with the outlines of the ground truth and, over it, of the prediction."""
    factor = max(1, WIDTH_PX // shown.case.hu.shape[2])
    pixels = enlarged(painted(shown.case.hu[at]), factor)
    for mask, colour in ((shown.case.mask, REFERENCE), (shown.marked, PREDICTION)):
        pixels = outlined_in(pixels, mask[at].repeat(factor, axis=0).repeat(factor, axis=1), colour)
    return pixels


def _with_palette(pixels: Pixels) -> Image.Image:
    """Return a picture of one byte a pixel: greys, and at the end the colours of the outlines."""
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
