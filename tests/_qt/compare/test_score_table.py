"""The table of scores: means on top, the worst marked, sorted by the worst, and what failed."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

pytest.importorskip("napari")
pytest.importorskip("qtpy")

from qtpy.QtCore import Qt

from napari_unet_finetune._qt.compare.models import ModelColumn, Training
from napari_unet_finetune._qt.compare.score_table import ScoreTable, ScoreView, swatch
from napari_unet_finetune._qt.session.known_models import KnownModel
from napari_unet_finetune.colors import GRAY
from napari_unet_finetune.data.objects import ONE_VALUE
from napari_unet_finetune.events import ImageCompared
from napari_unet_finetune.metrics import MATCH_IOUS
from napari_unet_finetune.project.question_plan import Known

pytestmark = pytest.mark.usefixtures("qapp")
DISPLAY, TIP, FONT = Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole, Qt.ItemDataRole.FontRole
DICE = {"model-0": (0.2, 0.4, 0.1), "5 images": (0.8, 0.7, 0.9)}
AREA = {"model-0": (1.5, 0.5, 2.5), "5 images": (1.0, 1.2, 0.7)}


@pytest.fixture
def comparing():
    """Return a comparison of two models on images a, b and c, and d without a mask."""
    columns = [
        ModelColumn(KnownModel("base", "model-0", "the base"), "#56B4E9", Training()),
        ModelColumn(
            KnownModel("five", "5 images"), "#D55E00", Training(5, 0, "", Known(frozenset("a"), frozenset("b")))
        ),
    ]
    cells = {
        (label, name): ImageCompared(
            label, name, None, None, dice, dice / 2, dice, area, predicted_px=round(area * true), true_px=true
        )
        for label in DICE
        for name, dice, area, true in zip("abc", DICE[label], AREA[label], (10, 100, 10), strict=True)
    }
    cells["model-0", "d"] = ImageCompared("model-0", "d")
    accepted = []  # what is put in makes c one whose mask is an accepted prediction
    cells["5 images", "d"] = ImageCompared("5 images", "d", error="d does not fit in memory.")
    return SimpleNamespace(
        accepted=accepted, columns=tuple(columns), images=("a", "b", "c", "d"), cells=cells,
        cell=lambda label, name: cells.get((label, name)), split=False, set_split=lambda _on: None,
        note_on_masks=lambda names: "Accepted." if "c" in names and accepted else "",
    )  # fmt: skip


@pytest.fixture
def table(comparing):
    return ScoreTable(comparing)


def texts(table):
    rows, columns = table.rowCount(), table.columnCount()
    return [[table.data(table.index(row, column)) for column in range(columns)] for row in range(rows)]


def names(table):
    return [table.headerData(row, Qt.Orientation.Vertical) for row in range(table.rowCount())]


def test_means_stand_on_top_and_the_worst_image_of_each_model_is_marked(table):
    assert names(table) == ["mean", "a", "b", "c", "d"]
    assert texts(table) == [
        ["0.233", "0.800"], ["0.200", "0.800 °"], ["0.400", "▼ 0.700 ◦"], ["▼ 0.100", "0.900"], ["–", "✖"],
    ]  # fmt: skip
    assert table.data(table.index(3, 0), FONT).bold() and table.data(table.index(1, 0), FONT) is None


def test_scores_on_an_accepted_prediction_are_marked_and_explained(comparing, qtbot):
    view = ScoreView(comparing)
    qtbot.addWidget(view)
    comparing.accepted.append("c")
    view.refresh()
    assert [row[1] for row in texts(view.table)] == ["0.800", "0.800 °", "▼ 0.700 ◦", "0.900 ≈", "✖"]
    assert "Accepted." in view.table.data(view.table.index(3, 0), TIP) and "Accepted." in view.key.text()


def test_another_score_has_another_worst(table):
    table.set_score("iou")
    assert texts(table)[0] == ["0.117", "0.400"]
    table.set_score("area_ratio")  # 0.5 is twice too little, 2.5 two and a half times too much
    assert names(table)[0] == "together"  # no mean
    assert [row[0] for row in texts(table)] == ["0.75", "1.50", "0.50", "▼ 2.50", "–"]
    assert table.data(table.index(0, 0), TIP) == "All that model-0 predicts in the images below over all that is true"
    assert [row[1] for row in texts(table)][3] == "▼ 0.70"


def test_objects_are_scored_together_and_a_cell_without_numbers_says_why(table, comparing):
    for (label, name), cell in list(comparing.cells.items()):
        if label == "model-0" and name in "ab":
            counts = {"predicted_objects": 6, "true_objects": 4 if name == "a" else 2}
            comparing.cells[label, name] = replace(cell, **counts, matches=(2,) * len(MATCH_IOUS))
        elif cell.dice is not None:
            comparing.cells[label, name] = replace(cell, no_object_scores=ONE_VALUE)
    table.set_score("f1")
    assert [row[0] for row in texts(table)] == ["0.444", "▼ 0.400", "0.500", "–", "–"]
    assert [row[1] for row in texts(table)] == ["", "– °", "– ◦", "–", "✖"]
    assert table.note == ""
    assert "6 predicted, 4 true" in table.data(table.index(1, 0), TIP)
    assert ONE_VALUE in table.data(table.index(1, 1), TIP)
    table.set_score("count_ratio")
    assert [row[0] for row in texts(table)][:3] == ["2.00", "1.50", "▼ 3.00"]


def test_a_table_without_any_numbered_mask_says_so_where_objects_are_chosen(comparing, qtbot):
    scored = {key: cell for key, cell in comparing.cells.items() if cell.dice is not None}
    comparing.cells |= {key: replace(cell, no_object_scores=ONE_VALUE) for key, cell in scored.items()}
    view = ScoreView(comparing)
    qtbot.addWidget(view)
    view.refresh()
    assert ONE_VALUE not in view.key.text()
    view.score.setCurrentIndex(view.score.findData("ap"))
    assert ONE_VALUE in view.key.text() and view.split.isHidden()
    numbered = {"predicted_objects": 6, "true_objects": 4, "matches": (2,) * len(MATCH_IOUS), "no_object_scores": ""}
    comparing.cells["model-0", "a"] = replace(comparing.cells["model-0", "a"], **numbered)
    comparing.split = True
    view.refresh()
    assert not view.split.isHidden() and view.split.isChecked()
    view.score.setCurrentIndex(view.score.findData("dice"))
    assert view.split.isHidden()


def test_the_worst_come_first_and_those_without_score_last(table):
    table.sort_by("model-0")
    assert names(table) == ["mean", "c", "a", "b", "d"]
    assert table.headerData(0, Qt.Orientation.Horizontal) == "model-0 ▼"
    table.sort_by("5 images")
    assert names(table) == ["mean", "b", "a", "c", "d"]
    table.set_score("area_ratio")
    assert names(table)[1:] == ["c", "b", "a", "d"]
    table.sort_by(None)
    assert names(table)[1:] == ["a", "b", "c", "d"]


def test_tips_hold_all_scores_and_reasons(table):
    tip = table.data(table.index(1, 1), TIP)
    assert "5 images on a" in tip and "IoU: 0.400" in tip and "trained on this image" in tip
    assert "no mask" in table.data(table.index(4, 0), TIP)
    assert "does not fit in memory" in table.data(table.index(4, 1), TIP)


def test_headers_are_short_and_have_the_color_of_the_model(table):
    horizontal = Qt.Orientation.Horizontal
    assert [table.headerData(column, horizontal) for column in (0, 1)] == ["model-0", "5 images"]
    assert table.headerData(1, horizontal, TIP).startswith("5 images")
    shown = table.headerData(1, horizontal, Qt.ItemDataRole.DecorationRole).toImage()
    assert shown.pixelColor(5, 5).name() == "#d55e00"
    assert swatch(None).toImage().pixelColor(5, 5).name() == GRAY


def test_a_long_name_is_shortened_and_whole_in_its_tip(comparing):
    comparing.images = ("experiment-2026-11-21-position-007",)
    table = ScoreTable(comparing)
    shown = table.headerData(1, Qt.Orientation.Vertical)
    assert len(shown) <= 18 and shown.startswith("experime") and shown.endswith("007")
    assert table.headerData(1, Qt.Orientation.Vertical, TIP) == comparing.images[0]
    assert texts(table)[1] == ["…", "…"]


def test_without_images_there_is_no_row(comparing):
    comparing.images = ()
    assert ScoreTable(comparing).rowCount() == 0


def test_a_click_on_a_cell_chooses_image_and_model_and_one_on_a_mean_does_not(comparing, qtbot):
    view = ScoreView(comparing)
    qtbot.addWidget(view)
    view.refresh()
    view.show()
    with qtbot.waitSignal(view.cell_chosen) as chosen:
        place = view.view.visualRect(view.table.place_of("b", "5 images")).center()
        qtbot.mouseClick(view.view.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert chosen.args == ["b", "5 images"]
    with qtbot.assertNotEmitted(view.cell_chosen):
        view.view.clicked.emit(view.table.index(0, 0))


def test_a_click_on_a_header_sorts_and_keeps_the_mark(comparing, qtbot):
    view = ScoreView(comparing)
    qtbot.addWidget(view)
    view.mark("a", "model-0")
    header = view.view.horizontalHeader()
    header.sectionClicked.emit(0)
    assert view.table.sorted_by == "model-0"
    assert view.table.at(view.view.currentIndex()) == ("a", comparing.columns[0])
    header.sectionClicked.emit(0)
    assert view.table.sorted_by is None
    view.score.set_value("iou")
    assert view.table.score == "iou"
