"""The table: what it says of each image, in which order, and how roles are set."""

import numpy as np
import pytest

pytest.importorskip("napari")
pytest.importorskip("qtpy")

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox

from napari_unet_finetune._qt.images.table_model import Column, ImageFilter, ImageTableModel
from napari_unet_finetune._qt.images.table_view import ImageView
from napari_unet_finetune.project.project import Project

from ..datasets import BLOB, SIZE, write_images


@pytest.fixture
def project(tmp_path):
    project = Project.open(write_images(tmp_path / "images", 11))
    project.save_labels("img_1", BLOB, "imported")
    project.save_labels("img_10", BLOB + np.flip(BLOB), "corrected")
    project.save_labels("img_3", np.zeros(SIZE, np.uint16), "painted")
    project.set_role(["img_10"], "test")
    project.set_dice({"img_1": 0.914})
    project.set_suggested({"img_5": "unlike the rest"})
    return project


@pytest.fixture
def model(project, qapp, qtmodeltester):  # noqa: ARG001 - a table needs an application
    model = ImageTableModel(project.set_role)
    model.show(project.images, unsaved=None, current=None)
    qtmodeltester.check(model)
    return model


def text(model, name, column, role=Qt.ItemDataRole.DisplayRole):
    return model.data(model.index(model.row_of(name), column), role)


def shown(proxy):
    return [proxy.index(row, 0).data().split("\n")[0] for row in range(proxy.rowCount())]


def test_each_cell_says_in_words_what_is_known(model):
    assert text(model, "img_0", Column.IMAGE) == "img_0\n40×60"
    assert text(model, "img_0", Column.MASK) == "○ none"
    assert text(model, "img_0", Column.ROLE) == "–"
    assert text(model, "img_1", Column.MASK) == "● 1 object\nimported · 4.2 %"
    assert text(model, "img_1", Column.FOREGROUND) == "4.2 %"
    assert text(model, "img_1", Column.DICE) == "0.91"
    assert text(model, "img_10", Column.MASK) == "● 2 objects\ncorrected · 8.3 %"
    assert text(model, "img_10", Column.ROLE) == "test"
    assert text(model, "img_3", Column.MASK) == "● no object\npainted"


def test_what_is_being_painted_and_shown_is_marked(model, project):
    model.show(project.images, unsaved="img_1", current="img_1")
    assert text(model, "img_1", Column.MASK) == "◐ painting"
    assert text(model, "img_1", Column.IMAGE, Qt.ItemDataRole.FontRole).bold()
    assert text(model, "img_0", Column.IMAGE, Qt.ItemDataRole.FontRole) is None


def test_a_suggested_image_has_a_mark_and_says_why(model):
    assert text(model, "img_5", Column.IMAGE) == "★ img_5\n40×60"
    assert "unlike the rest" in text(model, "img_5", Column.IMAGE, Qt.ItemDataRole.ToolTipRole)


def test_strokes_are_not_counted(model, project):
    project.sparse = True
    model.show(project.images, unsaved=None, current=None)
    assert text(model, "img_1", Column.MASK).startswith("● strokes")


@pytest.mark.parametrize(
    ("column", "first", "last"),
    [
        (Column.IMAGE, "img_0", "img_10"),
        (Column.MASK, "img_0", "img_10"),
        (Column.FOREGROUND, "img_0", "img_10"),
        (Column.ROLE, "img_0", "img_10"),
        (Column.DICE, "img_0", "img_1"),
        (Column.SIZE, "img_0", "img_10"),
    ],
)
def test_columns_sort_by_what_they_mean(model, column, first, last):
    proxy = ImageFilter(model)
    proxy.sort(column, Qt.SortOrder.AscendingOrder)
    names = [name.removeprefix("★ ") for name in shown(proxy)]
    assert (names[0], names[-1]) == (first, last)
    assert len(names) == 11
    proxy.sort(column, Qt.SortOrder.DescendingOrder)
    assert proxy.names()[0] == (first if column == Column.SIZE else last)


def test_the_filter_takes_words_and_annotated_images(model):
    proxy = ImageFilter(model)
    proxy.show_only("G_1", annotated_only=False)
    assert proxy.names() == ["img_1", "img_10"]
    proxy.show_only("", annotated_only=True)
    assert proxy.names() == ["img_1", "img_3", "img_10"]


def test_a_change_of_one_image_keeps_the_rows(model, project, qtbot):
    proxy = ImageFilter(model)
    with qtbot.waitSignal(model.dataChanged), qtbot.assertNotEmitted(model.modelReset):
        project.set_role(["img_0"], "unused")
        model.show(project.images, unsaved=None, current=None)
    assert proxy.rowCount() == 11
    with qtbot.assertNotEmitted(model.dataChanged):
        model.show(project.images, unsaved=None, current=None)
    with qtbot.waitSignal(model.modelReset):
        model.show(project.images[:3], unsaved=None, current=None)


def test_only_roles_can_be_edited(model, project):
    row = model.row_of("img_1")
    assert model.setData(model.index(row, Column.ROLE), "validation")
    assert project.image("img_1").role == "validation"
    assert not model.setData(model.index(row, Column.ROLE), "nonsense")
    assert not model.setData(model.index(row, Column.DICE), "test")
    assert not model.flags(model.index(row, Column.DICE)) & Qt.ItemFlag.ItemIsEditable


class TestView:
    @pytest.fixture
    def view(self, project, qtbot):
        view = ImageView()
        qtbot.addWidget(view)
        view.images.show(project.images, unsaved=None, current=None)
        view.role_requested.connect(project.set_role)
        view.resize(330, 300)
        view.show()
        return view

    def choose(self, view, name, role):
        index = view.filter.index(view.filter.names().index(name), Column.ROLE)
        view._on_clicked(index)
        (box,) = view.findChildren(QComboBox)
        box.setCurrentText(role)
        box.activated.emit(box.currentIndex())

    def test_a_role_is_chosen_in_a_box_for_one_row(self, view, project):
        self.choose(view, "img_1", "train")
        assert project.image("img_1").role == "train"
        assert project.image("img_0").role == "auto"

    @pytest.mark.parametrize("rows", [[], [4], [0, 1, 2], [0, 2, 3, 7, 10], list(range(11))])
    def test_exactly_the_rows_of_these_names_are_selected(self, view, rows):
        view.select(["img_1", "img_6"])
        names = [view.filter.names()[row] for row in rows]
        view.select(names[::-1])
        assert view.selected == names

    def test_a_role_is_chosen_for_all_selected_rows(self, view, project):
        view.select(["img_0", "img_1", "img_3"])
        assert view.selected == ["img_0", "img_1", "img_3"]
        self.choose(view, "img_1", "unused")
        assert [image.name for image in project.images if image.role == "unused"] == ["img_0", "img_1", "img_3"]

    def test_a_row_outside_of_the_selection_is_set_alone(self, view, project):
        view.select(["img_0", "img_1"])
        self.choose(view, "img_4", "unused")
        assert [image.name for image in project.images if image.role == "unused"] == ["img_4"]

    @pytest.mark.parametrize("key", [Qt.Key.Key_Return, Qt.Key.Key_Enter])
    def test_enter_and_double_click_open_an_image(self, view, qtbot, key):
        opened = []
        view.open_requested.connect(opened.append)
        view.select(["img_3"])
        qtbot.keyClick(view, key)
        assert opened == ["img_3"]
        view._on_double_clicked(view.filter.index(0, Column.MASK))
        view._on_double_clicked(view.filter.index(1, Column.ROLE))
        assert opened == ["img_3", "img_0"]

    def test_the_menu_of_a_selection_removes_and_sets_roles(self, view, project):
        removed = []
        view.removal_requested.connect(removed.append)
        menu = view.menu_for(["img_1", "img_3"])
        assert [action.text() for action in menu.actions()] == ["Open", "Remove 2 masks", "Use for"]
        menu.actions()[1].trigger()
        menu.actions()[2].menu().actions()[3].trigger()
        assert removed == [["img_1", "img_3"]]
        assert project.image("img_3").role == "test"

    def test_the_columns_fit_without_scrolling_and_more_can_be_shown(self, view):
        assert view.horizontalScrollBar().maximum() == 0
        assert view.isColumnHidden(Column.SIZE)
        view.horizontalHeader().actions()[0].trigger()
        assert not view.isColumnHidden(Column.SIZE)
