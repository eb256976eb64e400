"""Masks are imported from Labels layers that are open: all frames over a stack, or one plane over the image shown."""

import numpy as np
import pytest

pytest.importorskip("napari")
pytest.importorskip("qtpy")

from qtpy.QtWidgets import QMenu

from napari_unet_finetune._qt.annotate.annotation import annotation_of
from napari_unet_finetune._qt.images.labels_dialog import LabelsDialog, labels_choices
from napari_unet_finetune._qt.images.panel import ImagesPanel
from napari_unet_finetune._qt.layers.layers import OURS
from napari_unet_finetune._qt.sample_data import microtube_dataset2
from napari_unet_finetune.project.project import Project

from ..datasets import BLOB, SIZE, reopened, write_images

FRAMES = 4


@pytest.fixture
def panel(session, qtbot):
    panel = ImagesPanel(session)
    qtbot.addWidget(panel)
    yield panel
    panel.release()
    qtbot.waitUntil(lambda: panel._thumbnails is None or not panel._thumbnails.is_running)


@pytest.fixture
def project(session, tmp_path):
    """Return the dataset of the session: four frames of a stack."""
    frames = [(f"stack[{number:03d}]", np.full(SIZE, number, np.uint8), (1.0, 1.0), "") for number in range(FRAMES)]
    session.project = Project.from_frames(frames, tmp_path / "project")
    return session.project


@pytest.fixture
def truth(viewer):
    """Return labels over that stack, whose second frame is empty."""
    labels = np.repeat(BLOB[None], FRAMES, axis=0)
    labels[1] = 0
    return viewer.add_labels(labels, name="truth")


def choose(panel, text):
    (menu,) = panel.findChildren(QMenu)
    next(action for action in menu.actions() if action.text() == text).trigger()


def dialog_of(panel, qtbot):
    """Open the dialog from the menu, and wait until it has looked through the layer."""
    choose(panel, "Import masks from open layers…")
    (dialog,) = panel.findChildren(LabelsDialog)
    qtbot.waitUntil(lambda: dialog._work is None)
    return dialog


def imported(dialog, qtbot):
    dialog.button.click()
    qtbot.waitUntil(lambda: bool(dialog.imported.names or dialog.imported.refused))


def test_each_frame_becomes_the_mask_of_its_image_but_the_empty_one(panel, project, truth, session, qtbot):
    dialog = dialog_of(panel, qtbot)
    assert (dialog.layer.currentText(), dialog.target.currentText()) == ("truth · 4 frames", "stack · 4 images")
    assert dialog.summary.text() == "3 of 4 images get a mask. 1 frame without a label is left out."
    assert dialog.button.text() == "Import 3"
    imported(dialog, qtbot)
    assert session.message.text == "3 masks imported."
    assert [image.origin for image in reopened(project).images] == ["imported", "none", "imported", "imported"]
    assert "3 annotated" in panel.footer.text()
    assert truth in session.viewer.layers


@pytest.mark.usefixtures("truth")
def test_empty_frames_are_imported_on_request(panel, project, qtbot):
    dialog = dialog_of(panel, qtbot)
    dialog.with_empty.setChecked(True)
    assert dialog.summary.text() == "4 of 4 images get a mask."
    imported(dialog, qtbot)
    assert reopened(project).image("stack[001]").foreground == 0


def test_one_plane_becomes_the_mask_of_the_image_shown_and_is_shown_at_once(panel, project, session, viewer, qtbot):
    annotation_of(session).open("stack[002]")
    viewer.add_labels(BLOB * 3, name="mine")
    dialog = dialog_of(panel, qtbot)
    assert dialog.layer.count() == 1
    assert dialog.target.currentText() == "stack[002], which is shown now"
    imported(dialog, qtbot)
    assert [image.name for image in project.images if image.origin == "imported"] == ["stack[002]"]
    np.testing.assert_array_equal(annotation_of(session).layer.data, BLOB)


@pytest.mark.usefixtures("truth")
def test_what_is_painted_is_saved_first_and_kept(panel, project, session, qtbot):
    annotation_of(session).open("stack[000]")
    annotation_of(session).layer.paint((30, 30), 1)
    painted = np.array(annotation_of(session).layer.data)
    dialog = dialog_of(panel, qtbot)
    assert "1 image keeps the mask painted or corrected here" in dialog.summary.text()
    imported(dialog, qtbot)
    assert reopened(project).image("stack[000]").origin == "painted"
    np.testing.assert_array_equal(annotation_of(session).layer.data, painted)


@pytest.mark.usefixtures("truth")
def test_a_layer_that_does_not_fit_is_explained_and_another_can_be_chosen(panel, project, viewer, qtbot):
    viewer.add_labels(np.zeros((FRAMES, 9, 9), np.uint8), name="small")
    dialog = dialog_of(panel, qtbot)
    assert "a frame of small is 9 × 9 px. Choose a Labels layer drawn on" in dialog.summary.text()
    assert not dialog.button.isEnabled()
    dialog.layer.setCurrentText("truth · 4 frames")
    qtbot.waitUntil(dialog.button.isEnabled)
    dialog.reject()
    assert not any(image.is_annotated for image in project.images)


@pytest.mark.usefixtures("project")
def test_a_mask_that_is_refused_is_named_and_the_dialog_stays(panel, truth, qtbot):
    truth.data = truth.data.astype(np.int32) - 2 * (np.arange(FRAMES) == 3)[:, None, None]
    dialog = dialog_of(panel, qtbot)
    imported(dialog, qtbot)
    assert "2 imported, 1 refused" in dialog.summary.text() and "cannot hold negative numbers" in dialog.summary.text()
    dialog.reject()
    assert panel._session.message.text == "2 masks imported, 1 refused."


@pytest.mark.usefixtures("truth")
def test_a_dialog_that_is_closed_while_it_looks_imports_nothing(panel, project, qtbot):
    choose(panel, "Import masks from open layers…")
    (dialog,) = panel.findChildren(LabelsDialog)
    dialog.reject()
    qtbot.waitUntil(lambda: not panel.findChildren(LabelsDialog))
    assert not any(image.is_annotated for image in project.images)


def test_without_a_dataset_or_a_layer_the_user_is_told_what_to_do(panel, session, tmp_path):
    choose(panel, "Import masks from open layers…")
    assert session.message.text.startswith("Open a dataset first")
    session.project = Project.open(write_images(tmp_path / "images"))
    annotation_of(session).open("img_0")
    choose(panel, "Import masks from open layers…")
    assert session.message.text.startswith("There is no Labels layer in this viewer")
    assert not panel.findChildren(LabelsDialog)


def test_layers_of_channels_and_of_this_plugin_are_not_offered_and_frames_are_counted_through_all_axes(viewer):
    viewer.add_labels(np.zeros((2, *SIZE), np.uint8), name="ours", metadata={OURS: "prediction"})
    viewer.add_labels(np.zeros((2, *SIZE), np.uint8), name="classes", axis_labels=("c", "y", "x"))
    labels = np.arange(6, dtype=np.uint8).reshape(2, 1, 3, 1, 1) * np.ones(SIZE, np.uint8)
    viewer.add_labels(labels, name="z in t", axis_labels=("t", "c", "z", "y", "x"))
    (choice,) = labels_choices(viewer)
    assert (choice.frames.shape, choice.frames.size) == ((2, 3), SIZE)
    assert [plane.max() for plane in choice.planes()] == [0, 1, 2, 3, 4, 5]
    assert [plane.shape for plane in choice.planes([4])] == [SIZE]


def test_the_sample_is_annotated_with_its_own_truth(panel, session, viewer, qtbot, tmp_path):
    for data, options, kind in microtube_dataset2():
        getattr(viewer, f"add_{kind}")(data, **options)
    panel._opener._choose_folder = lambda _why, _near: tmp_path / "copy"
    panel._opener.open_layers(panel._opener.choices())
    qtbot.waitUntil(lambda: session.project is not None)
    dialog = dialog_of(panel, qtbot)
    assert dialog.target.currentText().startswith("Microtube Dataset 2 · ")
    count = len(session.project.images)
    dialog.with_empty.setChecked(True)
    imported(dialog, qtbot)
    assert session.message.text == f"{count} masks imported."
    assert {image.origin for image in session.project.images} == {"imported"}
    truth = viewer.layers["Microtube Dataset 2 truth"].data
    assert np.array_equal(session.project.read_labels(session.project.names[3]), truth[3])
    table = panel.view.filter
    cells = [str(table.index(row, column).data()) for row in range(count) for column in range(table.columnCount())]
    assert sum("imported" in cell for cell in cells) == count
