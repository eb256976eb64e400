"""The section "Images": datasets are opened, shown, imported into, dropped, and let go."""

import threading
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile

pytest.importorskip("napari")
pytest.importorskip("qtpy")

from qtpy.QtCore import QMimeData, QPointF, Qt, QUrl
from qtpy.QtGui import QDropEvent
from qtpy.QtWidgets import QComboBox

from napari_unet_finetune._qt.annotate.annotation import annotation_of
from napari_unet_finetune._qt.images import panel as panel_module
from napari_unet_finetune._qt.images.import_dialog import NO_MASK, ImportDialog
from napari_unet_finetune._qt.images.panel import ImagesPanel
from napari_unet_finetune._qt.images.table_model import Column
from napari_unet_finetune._qt.layers import layer_image
from napari_unet_finetune._qt.widgets.tick_dialog import TickDialog
from napari_unet_finetune.io.images import open_in_parts
from napari_unet_finetune.io.regions import region as regions
from napari_unet_finetune.io.regions.region import Region
from napari_unet_finetune.project import opening
from napari_unet_finetune.project.project import Project

from ..datasets import BLOB, SIZE, message, reopened, write_images


@pytest.fixture
def panel(session, qtbot):
    panel = ImagesPanel(session)
    qtbot.addWidget(panel)
    panel.resize(340, 500)
    panel.show()
    yield panel
    panel.release()
    qtbot.waitUntil(lambda: not panel._opener.is_busy)


@pytest.fixture
def folder(tmp_path):
    return write_images(tmp_path / "images")


@pytest.fixture
def masks(tmp_path):
    (tmp_path / "masks").mkdir()
    for number in range(3):
        tifffile.imwrite(tmp_path / "masks" / f"img_{number}.tif", BLOB.astype(np.uint8))
    tifffile.imwrite(tmp_path / "masks" / "img_3.tif", np.zeros((9, 9), np.uint8))
    return tmp_path / "masks"


def opened(panel, qtbot, source, folder=None):
    before = panel._session.project
    panel.open(source, folder)
    qtbot.waitUntil(lambda: panel._session.project is not before)
    return panel._session.project


def drop(panel, *paths):
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    event = QDropEvent(
        QPointF(5, 5), Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    )
    panel.dropEvent(event)


def test_an_empty_panel_says_what_to_do(panel):
    assert panel.empty.text().startswith("Begin with a folder of your images")
    assert not panel.view.isVisible()
    assert not panel.import_button.isVisible()
    above = panel.folder_button.geometry().top(), panel.empty.mapTo(panel, panel.empty.rect().topLeft()).y()
    assert above[0] < 10 and above[1] < 60, "what to do first stands at the top"


def test_the_sample_becomes_a_dataset_where_the_user_wants_it(panel, npe2pm, tmp_path, qtbot, session, viewer):
    asked = []
    panel._opener._choose_folder = lambda why, _start: asked.append(why)
    with npe2pm.tmp_plugin(package="napari-unet-finetune"):
        panel.sample.linkActivated.emit("sample")
        assert "31 images" in asked[0] and session.project is None
        panel._opener._choose_folder = lambda _why, _start: tmp_path / "sample"
        panel.sample.linkActivated.emit("sample")
    assert [layer.name for layer in viewer.layers] == ["Microtube Dataset 2", "Microtube Dataset 2 truth"]
    qtbot.waitUntil(lambda: session.project is not None)
    assert len(session.project.names) == 31 and not panel.sample.isVisible()


def test_a_folder_is_opened_in_the_background_and_shown(panel, qtbot, folder, session):
    opened(panel, qtbot, folder)
    assert panel.view.isVisible()
    assert panel.view.filter.names() == [f"img_{number}" for number in range(8)]
    assert panel.footer.text() == "8 images · 0 annotated · 5 to 20 is a good number"
    assert str(folder / "unet-finetune") in session.message.text


def test_thumbnails_come_one_by_one(panel, qtbot, folder):
    opened(panel, qtbot, folder)
    index = panel.view.filter.index(0, Column.IMAGE)
    qtbot.waitUntil(lambda: index.data(Qt.ItemDataRole.DecorationRole) is not None)
    assert index.data(Qt.ItemDataRole.DecorationRole).width() <= 32
    qtbot.waitUntil(lambda: not panel._thumbnails.is_running)


def test_a_folder_that_is_no_dataset_is_one_sentence(panel, qtbot, tmp_path):
    with message("holds no image"):
        panel.open(tmp_path)
        qtbot.waitUntil(lambda: not panel._opener.is_busy)
    assert panel.folder_button.isEnabled()


def test_a_folder_that_takes_no_files_asks_where_masks_shall_be_kept(panel, qtbot, folder, tmp_path, monkeypatch):
    real = opening.tempfile.TemporaryFile

    def refuse(dir):  # noqa: A002 - the name that is called
        if Path(dir).is_relative_to(folder):
            raise PermissionError(13, "Read-only file system", str(dir))
        return real(dir=dir)

    asked = []

    def choose(why, near):
        asked.append((why, near))
        return tmp_path / "mine"

    monkeypatch.setattr(opening.tempfile, "TemporaryFile", refuse)
    panel._opener._choose_folder = choose
    project = opened(panel, qtbot, folder)
    assert "masks cannot be saved there (Read-only file system)" in asked[0][0]
    assert project.folder == tmp_path / "mine"


def test_dropped_folders_and_files_are_opened(panel, qtbot, folder, session):
    drop(panel, folder)
    qtbot.waitUntil(lambda: session.project is not None)
    assert len(session.project.images) == 8
    session.project = None
    drop(panel, folder / "img_2.tif", folder / "img_5.tif")
    qtbot.waitUntil(lambda: session.project is not None)
    assert panel.view.selected == ["img_2", "img_5"]
    with message("several folders"):
        drop(panel, folder / "img_2.tif", folder.parent / "other" / "a.tif")


def test_a_double_click_opens_an_image_and_next_follows_the_table(panel, qtbot, folder, session):
    opened(panel, qtbot, folder)
    panel.view.filter.sort(Column.IMAGE, Qt.SortOrder.DescendingOrder)
    panel.view.doubleClicked.emit(panel.view.filter.index(2, Column.IMAGE))
    assert session.current == "img_5"
    annotation_of(session).next()
    assert session.current == "img_4"
    assert panel.view.selected == ["img_4"]
    panel.words.setText("img_7")
    annotation_of(session).next()
    assert session.current == "img_7"


def test_an_image_changes_sides_only_after_a_question(panel, qtbot, folder, monkeypatch):
    project = opened(panel, qtbot, folder)
    project.set_used({"img_1": "train"})
    asked, answers = [], iter([False, True])
    monkeypatch.setattr(panel, "confirm", lambda question: asked.append(question) or next(answers))
    for role in ("test", "test"):
        panel.view.role_requested.emit(["img_0", "img_1"], role)
        asked.append(reopened(project).image("img_1").role)
    assert "img_1" in asked[0] and "img_0" not in asked[0]
    assert asked[1] == "auto" and asked[3] == "test"
    panel.view.role_requested.emit(["img_2"], "test")
    assert len(asked) == 4


def test_many_predictions_are_accepted_after_a_question_that_tells_how_many(panel, qtbot, folder, session, monkeypatch):
    project = opened(panel, qtbot, folder)
    asked, answers = [], iter([False, True, True])
    monkeypatch.setattr(panel, "confirm", lambda question: asked.append(question) or next(answers))
    accept_all = next(action for action in panel.more_menu.actions() if action.text() == "Accept all predictions…")
    accept_all.trigger()
    assert not asked and "No mask is a prediction" in session.message.text
    for name in ("img_1", "img_2", "img_4"):
        project.save_labels(name, BLOB, "predicted")
    project.save_labels("img_3", BLOB, "painted")
    annotation_of(session).open("img_2")

    def origins():
        return [reopened(project).image(f"img_{number}").origin for number in (1, 2, 3, 4)]

    accept_all.trigger()
    assert "3 masks are predictions that nobody has looked at (img_1, img_2, img_4)" in asked[0]
    assert origins() == ["predicted", "predicted", "painted", "predicted"]
    menu = panel.view.menu_for(["img_0", "img_4", "img_3"])
    next(action for action in menu.actions() if action.text() == "Accept prediction").trigger()
    assert "1 mask is a prediction that nobody has looked at (img_4)" in asked[1] and origins()[3] == "accepted"
    accept_all.trigger()
    assert "2 masks" in asked[2] and origins() == ["accepted", "accepted", "painted", "accepted"]
    assert session.message.text == "2 predictions are accepted and count as annotated."
    assert "predicted" not in panel.footer.text()


def test_roles_chosen_in_the_table_are_on_disk_and_counted(panel, qtbot, folder):
    project = opened(panel, qtbot, folder)
    project.save_labels("img_1", BLOB, "painted")
    panel.view.role_requested.emit(["img_1", "img_2"], "test")
    assert [image.name for image in reopened(project).images if image.role == "test"] == ["img_1", "img_2"]
    assert "1 annotated: 1 kept for testing" in panel.footer.text()


def test_a_click_on_a_use_sets_that_of_all_selected_rows(panel, qtbot, folder):
    project = opened(panel, qtbot, folder)
    view, names = panel.view, ["img_1", "img_2", "img_3"]
    view.select(names)
    use = view.filter.index(view.filter.names().index("img_2"), Column.ROLE)
    qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=view.visualRect(use).center())
    assert view.selected == names
    editor = view.findChild(QComboBox)
    editor.setCurrentText("test")
    editor.activated.emit(editor.currentIndex())
    assert [image.name for image in reopened(project).images if image.role == "test"] == names
    elsewhere = view.filter.index(view.filter.names().index("img_5"), Column.ROLE)
    qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=view.visualRect(elsewhere).center())
    assert view.selected == ["img_5"]


def test_files_that_cannot_be_read_are_counted(panel, qtbot, folder):
    (folder / "broken.tif").write_bytes(b"II*\0broken")
    opened(panel, qtbot, folder)
    assert panel.footer.text().endswith("1 cannot be read")
    assert "broken.tif" in panel.footer.toolTip()


def test_a_stroke_that_is_saved_while_new_images_are_looked_for_is_kept(panel, qtbot, folder, session, monkeypatch):
    first = opened(panel, qtbot, folder)
    first.save_labels("img_1", BLOB, "painted")
    annotation_of(session).open("img_0")
    load, loaded, gate = Project.open, [], threading.Event()

    def slow(*args):
        loaded.append(load(*args))
        gate.wait(5)
        return loaded[-1]

    monkeypatch.setattr(Project, "open", slow)
    panel._on_reload()
    qtbot.waitUntil(lambda: bool(loaded))  # the record is read, and then a stroke is saved
    annotation_of(session).layer.paint((10, 10), 1)
    annotation_of(session).save()
    gate.set()
    qtbot.waitUntil(lambda: session.project is not first)
    assert session.project.image("img_0").is_annotated
    annotation_of(session).open("img_0")
    assert annotation_of(session).layer.data[10, 10] == 1


class TestImporting:
    @pytest.fixture
    def dialog(self, panel, qtbot, folder, masks):
        opened(panel, qtbot, folder)
        panel.import_masks(masks)
        qtbot.waitUntil(lambda: bool(panel.findChildren(ImportDialog)))
        (dialog,) = panel.findChildren(ImportDialog)
        return dialog

    def test_the_pairing_is_shown_with_reasons(self, dialog):
        cells = [[dialog._model.index(row, column).data() for column in range(3)] for row in (0, 3, 4)]
        assert cells == [
            ["img_0", "img_0", "same name"],
            ["img_3", "img_3", "is 40 × 60 px, but its mask img_3 is 9 × 9 px"],
            ["img_4", NO_MASK, "no mask has a matching name"],
        ]
        assert dialog.button.text() == "Import 3"

    def test_a_mask_is_chosen_in_a_box(self, dialog):
        index = dialog._model.index(4, 1)
        dialog.table.edit(index)
        (box,) = dialog.table.findChildren(QComboBox)
        box.setCurrentText("img_1")
        box.activated.emit(box.currentIndex())
        assert dialog._model.index(4, 1).data() == "img_1"
        assert dialog._model.index(1, 2).data() == "given to img_4"

    def test_masks_are_imported_and_shown(self, dialog, panel, qtbot, session):
        annotation_of(session).open("img_0")
        dialog.button.click()
        qtbot.waitUntil(lambda: bool(dialog.imported.names))
        assert "img_3 is 40 × 60 px" in dialog.summary.text()  # the dialog stays to say what was left out
        dialog.reject()
        qtbot.waitUntil(lambda: session.message.text == "3 masks imported, 1 refused.")
        assert [image.origin for image in reopened(session.project).images[:4]] == ["imported"] * 3 + ["none"]
        np.testing.assert_array_equal(annotation_of(session).layer.data, BLOB)
        assert "3 annotated" in panel.footer.text()

    def test_what_is_refused_is_listed_and_the_dialog_stays(self, dialog, qtbot, masks, session):
        (masks / "img_1.tif").write_bytes(b"II*\0broken")
        dialog.button.click()
        qtbot.waitUntil(lambda: bool(dialog.imported.refused))
        assert dialog.isVisible()
        assert "2 imported, 2 refused" in dialog.summary.text()
        assert "img_1.tif" in dialog.summary.text()
        dialog.reject()
        qtbot.waitUntil(lambda: session.message.text == "2 masks imported, 2 refused.")

    def test_cancel_imports_nothing(self, dialog, session):
        dialog.reject()
        assert not session.project.folder.exists()


class TestLayers:
    def test_a_stack_is_written_frame_by_frame_with_its_scale(self, panel, qtbot, viewer, session, tmp_path):
        stack = np.random.default_rng(0).integers(0, 99, (3, *SIZE), np.uint16)
        viewer.add_image(stack, name="stack", scale=(1, 0.5, 0.5), units=("pixel", "um", "um"))
        panel._opener._choose_folder = lambda why, _near: tmp_path / "copy" if "3 images" in why else None
        panel._opener.open_layers(panel._opener.choices())
        qtbot.waitUntil(lambda: session.project is not None)
        assert session.project.names == ("stack[000]", "stack[001]", "stack[002]")
        np.testing.assert_array_equal(session.project.read_image("stack[001]").array, stack[1])
        assert session.project.read_image("stack[001]").scale == (0.5, 0.5)
        assert session.project.read_image("stack[001]").unit == "um"
        assert session.project.folder == tmp_path / "copy"

    def test_lazy_and_color_layers_are_written_too(self, panel, qtbot, viewer, session, tmp_path):
        da = pytest.importorskip("dask.array")
        computed = []

        def make(block_id):
            computed.append(block_id[0])
            return np.full((1, *SIZE), block_id[0], np.uint8)

        lazy = da.map_blocks(
            make, chunks=((1,) * 4, *((size,) for size in SIZE)), dtype=np.uint8, meta=np.empty((0, 0, 0), np.uint8)
        )
        viewer.add_image(lazy, name="lazy", contrast_limits=(0, 9))
        colors = np.random.default_rng(0).integers(0, 255, (*SIZE, 3), np.uint8)
        viewer.add_image(colors, name="colors", rgb=True)
        computed.clear()
        panel._opener._choose_folder = lambda _why, _near: tmp_path / "copy"
        panel._opener.open_layers(panel._opener.choices())
        qtbot.waitUntil(lambda: session.project is not None)
        assert session.project.names == ("colors", "lazy[000]", "lazy[001]", "lazy[002]", "lazy[003]")
        np.testing.assert_array_equal(session.project.read_image("colors").array, np.moveaxis(colors, -1, 0))
        assert int(session.project.read_image("lazy[003]").array.max()) == 3

    @pytest.mark.parametrize("levels", [1, 2])
    @pytest.mark.parametrize("channels", [1, 2])
    def test_a_large_lazy_layer_is_read_in_bands_and_written_to_be_read_in_parts(
        self, panel, qtbot, viewer, session, tmp_path, monkeypatch, levels, channels
    ):
        da, shape, read = pytest.importorskip("dask.array"), (600, 500), []

        def noted(_layer, _index, part):
            read.append(part.shape)
            return pixels[(..., *part.slices)]

        monkeypatch.setattr(regions, "LARGE_PX", 400 * 400)
        monkeypatch.setattr(regions, "_MOST_PIXELS_OF_A_BAND", 100 * 500 * channels)
        monkeypatch.setattr(layer_image, "region_of", noted)
        pixels = np.random.default_rng(0).integers(0, 999, (channels, *shape), np.uint16)
        pixels = pixels[0] if channels == 1 else pixels
        lazy = da.from_array(pixels, chunks=(*(1,) * (channels > 1), 50, 500))
        data = [lazy, lazy[..., ::2, ::2]] if levels > 1 else lazy
        axes = ("c", "y", "x")[-pixels.ndim :]
        viewer.add_image(data, name="slide", multiscale=levels > 1, contrast_limits=(0, 999), axis_labels=axes)
        panel._opener._choose_folder = lambda _why, _near: tmp_path / "copy"
        panel._opener.open_layers(panel._opener.choices())
        qtbot.waitUntil(lambda: session.project is not None)
        assert set(read) == {(100, 500)}
        assert [file.name for file in (tmp_path / "copy" / "images").iterdir()] == ["slide.tif"]
        image = session.project.image("slide")
        assert image.read_in_parts and image.is_large
        np.testing.assert_array_equal(open_in_parts(image.ref).read(Region.whole(shape)), pixels)

    def test_a_layer_that_was_read_from_a_file_uses_that_file(self, panel, qtbot, viewer, session, tmp_path):
        from napari.layers import Image
        from napari.layers._source import Source, layer_source

        tifffile.imwrite(tmp_path / "stack.tif", np.zeros((4, *SIZE), np.uint8), photometric="minisblack")
        with layer_source(path=str(tmp_path / "stack.tif")):
            viewer.add_layer(Image(np.zeros((4, *SIZE), np.uint8), name="stack"))
        assert isinstance(viewer.layers[0].source, Source)
        (choice,) = panel._opener.choices()
        assert choice.text == "stack · 4 images · stack.tif"
        panel._opener.open_layers([choice])
        qtbot.waitUntil(lambda: session.project is not None)
        assert session.project.source == tmp_path / "stack.tif"
        assert len(session.project.images) == 4

    @pytest.mark.parametrize("name", ["cells.czi", "cells.zarr"])
    def test_a_layer_that_a_plugin_has_read_is_copied(self, panel, qtbot, viewer, session, tmp_path, name):
        from napari.layers import Image
        from napari.layers._source import layer_source

        (tmp_path / "cells.czi").write_bytes(b"ZISRAWFILE")
        (tmp_path / "cells.zarr" / "0").mkdir(parents=True)
        with layer_source(path=str(tmp_path / name)):
            viewer.add_layer(Image(np.zeros((2, *SIZE), np.uint8), name="cells"))
        panel._opener._choose_folder = lambda _why, _near: tmp_path / "copy"
        (choice,) = panel._opener.choices()
        assert choice.text == "cells · 2 images · to be copied"
        panel._opener.open_layers([choice])
        qtbot.waitUntil(lambda: session.project is not None)
        assert session.project.names == ("cells[000]", "cells[001]")

    def test_our_own_layers_are_not_offered(self, panel, qtbot, folder, session):
        opened(panel, qtbot, folder)
        annotation_of(session).open("img_0")
        assert panel._opener.choices() == []

    def test_those_ticked_in_a_dialog_are_opened(self, panel, viewer, monkeypatch):
        for name in ("a", "b"):
            viewer.add_image(np.zeros(SIZE), name=name)
        taken = []
        monkeypatch.setattr(panel._opener, "open_layers", taken.extend)

        def answer(dialog):
            assert dialog.list.count() == 2
            dialog.list.item(0).setCheckState(Qt.CheckState.Unchecked)
            dialog.accept()

        monkeypatch.setattr(TickDialog, "open", answer)
        panel._on_use_layers()
        assert [choice.layer.name for choice in taken] == ["b"]


def test_another_dataset_takes_the_place_of_the_first_and_its_paint_is_saved(panel, qtbot, folder, session, tmp_path):
    first = opened(panel, qtbot, folder)
    annotation_of(session).open("img_0")
    annotation_of(session).layer.paint((10, 10), 1)
    opened(panel, qtbot, write_images(tmp_path / "others", 2))
    assert panel.view.filter.names() == ["img_0", "img_1"]
    assert reopened(first).image("img_0").origin == "painted"


def test_buttons_ask_for_folders_and_files(panel, qtbot, folder, masks, session, monkeypatch):
    chosen = {"Folder of images": folder, "Folder of masks": masks}
    monkeypatch.setattr(panel_module.QFileDialog, "getExistingDirectory", lambda _parent, title, *_: str(chosen[title]))
    panel.folder_button.click()
    qtbot.waitUntil(lambda: session.project is not None)
    panel.import_button.click()
    qtbot.waitUntil(lambda: bool(panel.findChildren(ImportDialog)))
    panel.findChildren(ImportDialog)[0].reject()


def test_a_pairing_that_comes_after_the_release_opens_no_dialog(panel, qtbot, folder, masks, session):
    opened(panel, qtbot, folder)
    panel.import_masks(masks)
    panel.release()
    session.close()
    qtbot.waitUntil(lambda: not panel.importing.is_busy)
    assert not panel.findChildren(ImportDialog)


def test_released_panels_hear_nothing_and_leave_nothing(panel, qtbot, folder, session):
    opened(panel, qtbot, folder)
    thumbnails = panel._thumbnails
    panel.release()
    assert annotation_of(session).order() == session.project.names
    session.close()
    signals = (session.project_changed, session.images_changed, session.current_changed, session.about_to_read_files)
    for signal in signals:
        assert len(signal) == 0
    qtbot.waitUntil(lambda: not thumbnails.is_running)


def test_the_first_image_is_shown_on_opening_and_the_same_one_when_opened_again(panel, qtbot, folder, session):
    opened(panel, qtbot, folder)
    qtbot.waitUntil(lambda: session.current == "img_0")
    annotation_of(session).open("img_5")
    opened(panel, qtbot, folder)
    qtbot.waitUntil(lambda: session.current == "img_5")


def test_a_subfolder_is_offered_where_the_folder_holds_no_images(panel, qtbot, tmp_path, monkeypatch):
    for well, count in (("A1", 2), ("A2", 3), ("A10", 1)):
        write_images(tmp_path / "plate" / well, count)
    (tmp_path / "plate" / "notes").mkdir()
    asked = []
    monkeypatch.setattr(
        panel._opener, "_choose_subfolder", lambda _source, inside: asked.append(inside) or list(inside)[1]
    )
    project = opened(panel, qtbot, tmp_path / "plate")
    assert [(folder.name, count) for folder, count in asked[0].items()] == [("A1", 2), ("A2", 3), ("A10", 1)]
    assert project.source.name == "A2"


@pytest.mark.usefixtures("masks")
def test_images_beside_masks_are_opened_and_their_masks_imported_without_a_question(panel, qtbot, folder):
    project = opened(panel, qtbot, folder.parent)
    assert project.source == folder
    panel.import_button.click()
    qtbot.waitUntil(lambda: bool(panel.findChildren(ImportDialog)))
    dialog = panel.findChildren(ImportDialog)[0]
    assert dialog.button.text() == "Import 3"
    dialog.reject()


def test_masks_among_the_images_are_told_of_and_imported_from_there_without_a_question(panel, qtbot, tmp_path, session):
    folder, rng = tmp_path / "published", np.random.default_rng(0)
    folder.mkdir()
    for number in range(3):
        iio.imwrite(folder / f"{number:03d}.bmp", rng.integers(0, 255, SIZE, np.uint8))
        iio.imwrite(folder / f"{number:03d}.png", (BLOB * 255).astype(np.uint8))
    project = opened(panel, qtbot, folder)
    assert panel.view.filter.names() == ["000", "001", "002"]
    assert "3 masks among them are not listed" in session.message.text
    panel.import_button.click()
    qtbot.waitUntil(lambda: bool(panel.findChildren(ImportDialog)))
    (dialog,) = panel.findChildren(ImportDialog)
    assert dialog.button.text() == "Import 3"
    dialog.button.click()
    qtbot.waitUntil(lambda: project.image("002").is_annotated)
    assert (project.read_labels("001") > 0).sum() == (BLOB > 0).sum()
