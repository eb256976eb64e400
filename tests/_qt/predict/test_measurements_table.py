"""Numbers sort as numbers, and a click gives the row it is on."""

import pytest

pytest.importorskip("qtpy")
from qtpy.QtCore import Qt

from napari_unet_finetune._qt.predict.measurements_table import MeasurementsDialog
from napari_unet_finetune.measure.objects import Measured

OBJECTS = tuple(
    {"image": "a", "label": n, "area_px": area, "area_um2": area / 4} for n, area in enumerate((9, 100, 20))
)


@pytest.fixture
def dialog(qtbot):
    clicked, saved = [], []
    widget = MeasurementsDialog(
        Measured(OBJECTS, ({"image": "a", "objects": 3},)), clicked.append, lambda *args: saved.append(args)
    )
    widget.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, False)
    qtbot.addWidget(widget)
    return widget, clicked, saved


def test_numbers_sort_as_numbers_and_rows_stay_together(dialog):
    widget, clicked, _ = dialog
    assert [widget.objects.row(i)["label"] for i in range(3)] == [0, 1, 2]
    widget.objects.sortByColumn(2, Qt.SortOrder.DescendingOrder)
    assert [widget.objects.row(i)["area_px"] for i in range(3)] == [100, 20, 9]
    widget.objects.selectRow(1)
    assert clicked == [OBJECTS[2]]


def test_columns_are_named_in_words_with_their_unit(dialog):
    model = dialog[0].objects.model()
    names = [model.headerData(i, Qt.Orientation.Horizontal, Qt.ItemDataRole.DisplayRole) for i in range(4)]
    assert names == ["image", "label", "area (px)", "area (µm²)"]


def test_the_table_that_is_shown_is_saved(dialog, tmp_path):
    widget, _, saved = dialog
    widget.save(tmp_path / "t.csv")
    widget.tabs.setCurrentIndex(1)
    widget.save(tmp_path / "i.csv")
    assert saved == [(OBJECTS, tmp_path / "t.csv"), (({"image": "a", "objects": 3},), tmp_path / "i.csv")]


def test_without_objects_there_is_an_empty_table(qtbot):
    widget = MeasurementsDialog(Measured(), print, print)
    widget.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, False)
    qtbot.addWidget(widget)
    assert widget.objects.model().rowCount() == 0
