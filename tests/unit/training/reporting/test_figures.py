import base64
import json
import re
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.fixtures.training.judged import box, case
from tests.fixtures.training.short_run import phantom_stack
from training.evaluation.case import case_of
from training.evaluation.predict import Predicted
from training.reporting.case_figures import draw_case, draw_figures, named_cases
from training.reporting.figures import (
    CaseView,
    four_pictures,
    learning_curves,
    middle_slice,
    montage,
    montage_slices,
    png_bytes,
)
from training.reporting.overlay import PREDICTION, REFERENCE, filled, outlined_in, painted, rgb
from training.reporting.slice_viewer import viewer_gif, viewer_page

BLUE, AMBER = (tuple(int(v) for v in rgb(colour)) for colour in (REFERENCE, PREDICTION))


@pytest.fixture(scope="module")
def view() -> CaseView:
    """A chest with one lesion; the prediction is the lesion, three pixels to the right."""
    stack = phantom_stack()
    marked = np.roll(stack.mask, 3, 2)
    return CaseView(
        case=case_of([Predicted(stack=stack, probability=marked.astype(np.float32))]), marked=marked, part="test"
    )


def has(pixels: np.ndarray, colour: tuple[int, ...]) -> np.ndarray:
    return np.asarray((pixels[..., :3] == colour).all(-1))


def test_a_filled_mask_has_its_colour_only_inside_the_mask() -> None:
    grey, mask = painted(np.full((8, 8), -850, np.int16)), box((1, 8, 8), (0, 2, 3), (1, 5, 6))[0]

    assert np.array_equal(has(filled(grey, mask, REFERENCE), BLUE), mask)
    assert has(outlined_in(grey, mask, PREDICTION), AMBER).sum() == 8  # nine pixels without the middle one


def test_the_lung_window_runs_from_black_to_white() -> None:
    assert painted(np.array([[-1350, -600, 150, 3000]], np.int16))[0, :, 0].tolist() == [0, 127, 255, 255]


def test_the_four_pictures_show_the_mask_at_its_position(view: CaseView) -> None:
    figure = four_pictures(view)
    picture = np.asarray(Image.open(BytesIO(png_bytes(figure))).convert("RGB"))
    at = middle_slice(view)
    truth = view.case.mask[at]
    alone = figure.axes[2]

    for inside in (True, False):
        rows, columns = np.nonzero(truth == inside)
        deep = [
            (r, c) for r, c in zip(rows, columns, strict=True) if (truth[r - 2 : r + 3, c - 2 : c + 3] == inside).all()
        ]
        places = alone.transData.transform([(c, r) for r, c in deep[:: len(deep) // 20]])
        colours = {tuple(picture[picture.shape[0] - 1 - round(y), round(x)].tolist()) for x, y in places}
        assert colours == {BLUE if inside else (0, 0, 0)}
    assert [axes.get_title() for axes in figure.axes][::2] == ["CT", "test mask (only evaluated, not trained on)"]


def test_the_middle_slice_is_the_one_with_most_of_the_tumour(view: CaseView) -> None:
    areas = view.case.mask.sum((1, 2))

    assert areas[middle_slice(view)] == areas.max()
    nothing = case(np.zeros((5, 8, 8), bool), np.zeros((5, 8, 8)))
    assert middle_slice(CaseView(case=nothing, marked=nothing.mask, part="test")) == 2


def test_the_montage_shows_the_slices_from_the_first_mark_to_the_last() -> None:
    truth, marked = box((60, 8, 8), (10, 2, 2), (45, 5, 5)), box((60, 8, 8), (20, 2, 2), (50, 5, 5))

    chosen = montage_slices(CaseView(case=case(truth, marked), marked=marked, part="test"))

    assert (chosen[0], chosen[-1], len(chosen)) == (10, 49, 20)
    assert len(montage(CaseView(case=case(truth, marked), marked=marked, part="test")).axes) == 20


def test_the_gif_has_every_slice_with_both_outlines(view: CaseView, tmp_path: Path) -> None:
    viewer_gif(view, tmp_path / "s.gif")

    with Image.open(tmp_path / "s.gif") as gif:
        assert getattr(gif, "n_frames", 1) == len(view.case.hu)
        gif.seek(middle_slice(view))
        frame = np.asarray(gif.convert("RGB"))
    assert has(frame, BLUE).any()
    assert has(frame, AMBER).any()


def test_the_viewer_page_contains_every_slice_and_needs_no_network(view: CaseView, tmp_path: Path) -> None:
    viewer_page(view, tmp_path / "s.html")
    page = (tmp_path / "s.html").read_text(encoding="utf-8")
    found = re.search(r"const slices = (\[.*?\]);", page)
    assert found is not None
    slices = [np.asarray(Image.open(BytesIO(base64.b64decode(item))).convert("RGB")) for item in json.loads(found[1])]

    assert len(slices) == len(view.case.hu)
    factor = slices[0].shape[0] // view.case.hu.shape[1]
    for at, pixels in enumerate(slices):
        # The prediction is drawn over the ground truth, whose visible outline is inside its mask.
        small = has(pixels, BLUE)[::factor, ::factor]
        assert not (small & ~view.case.mask[at]).any()
        assert has(pixels, AMBER).any() == view.marked[at].any()
    assert "http" not in page
    assert f'value="{middle_slice(view) + 1}"' in page


def test_a_page_escapes_the_name_of_the_case(view: CaseView, tmp_path: Path) -> None:
    viewer_page(replace(view, case=replace(view.case, name="<script>P1</script>")), tmp_path / "s.html")
    page = (tmp_path / "s.html").read_text(encoding="utf-8")

    assert page.count("<script>") == 1  # the viewer's own
    assert "<h1>&lt;script&gt;P1&lt;/script&gt;</h1>" in page


def test_learning_curves_draw_the_columns_of_all_runs(tmp_path: Path) -> None:
    for name, column in (("one", "loss,rate"), ("two", "loss,dice")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "curve.csv").write_text(f"step,{column}\n1,0.9,0.1\n2,0.5,0.2\n", encoding="utf-8")

    figure = learning_curves([tmp_path / "one", tmp_path / "two"])

    drawn = {axes.get_ylabel(): [list(np.asarray(line.get_ydata())) for line in axes.lines] for axes in figure.axes}
    assert drawn["loss"] == [[0.9, 0.5], [0.9, 0.5]]
    assert drawn["rate"][0] == [0.1, 0.2]
    assert drawn["dice"][1] == [0.1, 0.2]
    assert len({str(line.get_color()) for line in figure.axes[0].lines}) == 2


def test_a_curve_without_a_heading_is_refused(tmp_path: Path) -> None:
    (tmp_path / "curve.csv").write_text("280,237,0.5\n459,480,0.4\n", encoding="utf-8")

    with pytest.raises(ValueError, match="heading"):
        learning_curves([tmp_path])


def test_a_case_gets_its_four_files(view: CaseView, tmp_path: Path) -> None:
    paths = list(draw_case(view, tmp_path))

    assert [path.name for path in paths] == ["p-four.png", "p-montage.png", "p.gif", "p.html"]
    assert all(path.stat().st_size > 5000 for path in paths)


def test_a_run_without_a_case_gets_its_curves_and_loads_no_model(tmp_path: Path) -> None:
    (tmp_path / "curve.csv").write_text("step,loss\n1,0.9\n2,0.5\n", encoding="utf-8")

    paths = list(draw_figures([tmp_path], [], lambda: pytest.fail("no model is needed")))

    assert [path.relative_to(tmp_path).as_posix() for path in paths] == ["figures/curves.png"]


def test_an_unknown_case_is_named() -> None:
    committed = Path(__file__).parents[4] / "training" / "splits" / "lung_tumour_v2.json"

    with pytest.raises(ValueError, match="no such case in the data: Subject_999"):
        named_cases(["Subject_999"], None, committed)
