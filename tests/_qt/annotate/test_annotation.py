"""Opening, painting, going on: the paint is on disk, and no other layer is touched."""

import numpy as np
import pytest
import tifffile

pytest.importorskip("napari")
pytest.importorskip("qtpy")

from napari_unet_finetune._qt.annotate import autosave
from napari_unet_finetune._qt.annotate import paint as paint_module
from napari_unet_finetune._qt.annotate.annotation import annotation_of
from napari_unet_finetune._qt.annotate.paint import KEPT_HISTORIES
from napari_unet_finetune.data.masks import BACKGROUND
from napari_unet_finetune.errors import DataError
from napari_unet_finetune.project.project import Project

from ..datasets import BLOB, SIZE, message, with_mask_of_namesake, write_images


@pytest.fixture
def quick(monkeypatch):
    """Save at once when the event loop runs."""
    monkeypatch.setattr(autosave, "PAUSE_MS", 0)


@pytest.fixture
def folder(tmp_path):
    return write_images(tmp_path / "images")


@pytest.fixture
def annotation(session, folder, qapp):  # noqa: ARG001 - timers need an application
    session.project = Project.open(folder)
    annotation = annotation_of(session)
    yield annotation
    annotation.release()


def paint(annotation, value=1):
    annotation.layer.paint((10, 10), value)


def on_disk(annotation, name):
    project = annotation.session.project
    return Project.open(project.source, project.folder).read_labels(name)


def names(viewer):
    return [layer.name for layer in viewer.layers]


def test_opening_shows_the_image_with_a_layer_ready_to_paint(annotation, viewer):
    assert annotation.open("img_3")
    assert names(viewer) == ["img_3", "mask · img_3"]
    layer = annotation.layer
    assert (layer.mode, layer.selected_label, layer.data.dtype) == ("paint", 1, np.uint16)
    assert layer.brush_size == 4
    assert viewer.layers.selection.active is layer
    assert annotation.session.current == "img_3"


@pytest.mark.usefixtures("quick")
def test_a_stroke_is_saved_soon_and_in_the_background(annotation, qtbot):
    annotation.open("img_0")
    saved = []
    annotation.session.images_changed.connect(lambda: saved.append(annotation.session.project.image("img_0").origin))
    paint(annotation)
    assert annotation.unsaved == "img_0"
    qtbot.waitUntil(lambda: annotation.unsaved is None)
    assert saved == ["painted"]
    np.testing.assert_array_equal(on_disk(annotation, "img_0"), annotation.layer.data)
    assert on_disk(annotation, "img_0")[10, 10] == 1


@pytest.mark.usefixtures("quick")
def test_undo_and_redo_are_saved_too(annotation, qtbot):
    annotation.open("img_0")
    paint(annotation)
    annotation.layer.paint((30, 30), 2)
    annotation.save()
    annotation.layer.undo()
    qtbot.waitUntil(lambda: on_disk(annotation, "img_0")[30, 30] == 0)
    annotation.layer.redo()
    qtbot.waitUntil(lambda: on_disk(annotation, "img_0")[30, 30] == 2)


@pytest.mark.usefixtures("quick")
def test_all_undone_is_no_mask(annotation, qtbot):
    annotation.open("img_0")
    paint(annotation)
    annotation.save()
    annotation.layer.undo()
    qtbot.waitUntil(lambda: not annotation.session.project.image("img_0").is_annotated)
    assert on_disk(annotation, "img_0") is None


def test_looking_at_an_image_saves_nothing(annotation):
    annotation.open("img_0")
    annotation.next()
    assert not annotation.session.project.folder.exists()


def test_going_on_saves_at_once_and_keeps_what_was_being_saved_from_coming_later(annotation, qtbot):
    annotation.open("img_0")
    paint(annotation)
    annotation._autosave._on_timeout()  # the background begins to write ...
    annotation.layer.paint((30, 30), 2)
    annotation.next()  # ... and is overtaken
    assert on_disk(annotation, "img_0")[30, 30] == 2
    qtbot.wait(50)
    assert on_disk(annotation, "img_0")[30, 30] == 2
    assert annotation.session.current == "img_1"


def test_next_and_previous_follow_the_order_of_the_table_around_its_end(annotation):
    annotation.order = lambda: ["img_5", "img_2", "img_7"]
    annotation.open("img_2")
    annotation.next()
    assert annotation.session.current == "img_7"
    annotation.next()
    assert annotation.session.current == "img_5"
    annotation.previous()
    assert annotation.session.current == "img_7"


def test_next_to_annotate_takes_the_suggested_first_then_those_without_mask(annotation):
    project = annotation.session.project
    for name in ("img_1", "img_2", "img_4"):
        project.save_labels(name, np.ones(SIZE, np.uint16), "painted")
    project.set_suggested({"img_6": "unlike the rest"})
    annotation.open("img_0")
    annotation.next_to_annotate()
    assert annotation.session.current == "img_6"
    project.save_labels("img_6", np.ones(SIZE, np.uint16), "painted")
    annotation.open("img_0")
    annotation.next_to_annotate()
    assert annotation.session.current == "img_3"


def test_the_end_of_all_annotating_is_said(annotation):
    for name in annotation.session.project.names:
        annotation.session.project.save_labels(name, np.ones(SIZE, np.uint16), "painted")
    annotation.open("img_0")
    assert not annotation.next_to_annotate()
    assert annotation.session.message.text == "All images are annotated."


def test_undo_survives_going_back_for_the_last_images_only(annotation):
    annotation.open("img_0")
    paint(annotation)
    annotation.next()
    annotation.layer.undo()
    assert not annotation.layer.data.any()
    annotation.previous()
    assert annotation.layer.data.any()
    annotation.layer.undo()
    assert not annotation.layer.data.any()
    annotation.layer.redo()
    assert annotation.layer.data.any()
    for _ in range(KEPT_HISTORIES + 1):
        annotation.next()
    annotation.open("img_0")
    annotation.layer.undo()
    assert annotation.layer.data.any()


def test_the_layer_of_the_next_image_is_that_of_the_last(annotation, viewer):
    annotation.open("img_0")
    layer = annotation.layer
    layer.visible = False
    annotation.next()
    assert annotation.layer is layer
    assert (layer.name, layer.visible) == ("mask · img_1", True)
    assert names(viewer) == ["img_1", "mask · img_1"]


def test_napari_that_keeps_its_history_elsewhere_gets_a_new_layer_each_time(annotation, viewer, monkeypatch):
    monkeypatch.setattr(paint_module.History, "of", lambda _layer: None)
    annotation.open("img_0")
    paint(annotation)
    first = annotation.layer
    annotation.next()
    assert annotation.layer is not first
    annotation.layer.undo()
    annotation.previous()
    annotation.layer.undo()
    assert annotation.layer.data.any()
    assert names(viewer) == ["img_0", "mask · img_0"]


def test_a_mask_that_was_changed_on_disk_cannot_be_undone(annotation):
    annotation.open("img_0")
    paint(annotation)
    annotation.next()
    other = np.full(SIZE, 7, np.uint16)
    annotation.session.project.save_labels("img_0", other, "painted")
    annotation.previous()
    np.testing.assert_array_equal(annotation.layer.data, other)
    annotation.layer.undo()
    np.testing.assert_array_equal(annotation.layer.data, other)


def test_brush_and_contrast_stay_from_image_to_image(annotation, viewer):
    annotation.open("img_0")
    viewer.layers["img_0"].contrast_limits = (20, 90)
    annotation.layer.brush_size, annotation.layer.selected_label, annotation.layer.opacity = 17, 3, 0.3
    annotation.next()
    assert tuple(viewer.layers["img_1"].contrast_limits) == (20, 90)
    layer = annotation.layer
    assert (layer.brush_size, layer.selected_label, layer.opacity, layer.mode) == (17, 3, 0.3, "paint")


def test_layers_of_the_user_are_never_touched(annotation, viewer):
    mine = viewer.add_labels(np.ones((3, 5, 5), np.uint8), name="mine")
    annotation.open("img_0")
    paint(annotation)
    viewer.layers.append(
        type(annotation.layer)(annotation.layer.data.copy(), name="copy", metadata=dict(annotation.layer.metadata))
    )
    viewer.add_image(np.zeros((5, 5)), name="copied image", metadata=dict(viewer.layers["img_0"].metadata))
    for _ in range(3):
        annotation.next()
    annotation.session.project = None
    assert names(viewer) == ["mine", "copy", "copied image"]
    assert mine.data.all()
    assert viewer.layers["copy"].data.any()


def test_a_deleted_layer_is_saved_and_made_anew(annotation, viewer):
    annotation.open("img_0")
    paint(annotation)
    viewer.layers.clear()
    assert on_disk(annotation, "img_0").any()
    assert annotation.layer is None
    assert annotation.open("img_0")
    assert names(viewer) == ["img_0", "mask · img_0"]
    assert annotation.layer.data.any()
    viewer.layers.remove(viewer.layers["img_0"])
    annotation.next()
    assert names(viewer) == ["img_1", "mask · img_1"]


def test_three_dimensions_stay_and_the_user_is_told(annotation, viewer):
    viewer.add_image(np.zeros((4, 5, 5)), name="volume")
    viewer.dims.ndisplay = 3
    with message("three dimensions"):
        annotation.open("img_0")
    assert viewer.dims.ndisplay == 3


def test_no_object_here_is_an_empty_mask_that_stays(annotation):
    annotation.open("img_0")
    assert annotation.mark_empty()
    image = annotation.session.project.image("img_0")
    assert (image.is_annotated, image.foreground, image.objects) == (True, 0, 0)
    annotation.next()
    assert not on_disk(annotation, "img_0").any()
    assert annotation.session.project.image("img_0").is_annotated


def test_no_object_here_can_be_undone(annotation):
    annotation.open("img_0")
    paint(annotation)
    annotation.mark_empty()
    annotation.layer.undo()
    annotation.save()
    assert on_disk(annotation, "img_0").any()


def test_a_removed_mask_comes_back(annotation):
    annotation.open("img_0")
    paint(annotation)
    painted = annotation.layer.data.copy()
    annotation.remove_masks(["img_0", "img_1"])
    assert not annotation.layer.data.any()
    assert on_disk(annotation, "img_0") is None
    assert [one.name for one in annotation.removed] == ["img_0"]
    annotation.undo_remove()
    np.testing.assert_array_equal(annotation.layer.data, painted)
    np.testing.assert_array_equal(on_disk(annotation, "img_0"), painted)
    assert annotation.removed == ()


def test_a_mask_that_an_old_record_shares_with_a_namesake_is_removed_from_one_and_comes_back(annotation):
    session = annotation.session
    session.project.save_labels("img_0", BLOB, "painted")
    session.project = with_mask_of_namesake(session.project, "img_0")
    assert session.project.image("img_0.tif").mask == session.project.image("img_0").mask
    annotation.open("img_0.tif")
    annotation.remove_masks(["img_0.tif"])
    assert not annotation.layer.data.any()
    assert on_disk(annotation, "img_0.tif") is None
    np.testing.assert_array_equal(on_disk(annotation, "img_0"), BLOB)
    annotation.undo_remove()
    np.testing.assert_array_equal(annotation.layer.data, BLOB)
    np.testing.assert_array_equal(on_disk(annotation, "img_0.tif"), BLOB)


def test_a_mask_whose_file_is_gone_leaves_the_viewer_when_it_is_removed_and_cannot_come_back(annotation):
    project = annotation.session.project
    project.save_labels("img_0", BLOB, "painted")
    annotation.open("img_0")
    project.image("img_0").mask.unlink()
    annotation.remove_masks(["img_0"])
    assert not annotation.layer.data.any()
    assert [(one.name, one.file) for one in annotation.removed] == [("img_0", None)]
    annotation.undo_remove()
    assert not project.image("img_0").is_annotated and annotation.removed == ()


def test_undoing_a_removal_does_not_overwrite_new_paint(annotation):
    annotation.open("img_0")
    paint(annotation)
    annotation.remove_masks(["img_0"])
    annotation.layer.paint((30, 30), 5)
    annotation.undo_remove()
    assert on_disk(annotation, "img_0")[10, 10] == 0
    assert on_disk(annotation, "img_0")[30, 30] == 5


def test_an_imported_mask_that_is_painted_on_counts_as_painted_and_a_corrected_one_stays_so(annotation):
    project = annotation.session.project
    for name, origin, after in (("img_0", "imported", "painted"), ("img_1", "corrected", "corrected")):
        project.save_labels(name, np.eye(*SIZE, dtype=np.uint16), origin)
        annotation.open(name)
        paint(annotation)
        annotation.save()
        assert project.image(name).origin == after


class TestFailures:
    @pytest.fixture
    def full(self, monkeypatch):
        def refuse(_project, name, *_):
            raise DataError(f"{name}.tif cannot be written: No space left on device. Free some space.")

        monkeypatch.setattr(Project, "write_labels", refuse)
        return monkeypatch

    @pytest.mark.usefixtures("quick")
    def test_a_failed_save_says_so_and_keeps_the_paint(self, annotation, full, qtbot):
        annotation.open("img_0")
        paint(annotation)
        qtbot.waitUntil(lambda: bool(annotation.problem))
        assert "No space left" in annotation.problem
        with message("still in the viewer"):
            assert not annotation.next()
        assert annotation.session.current == "img_0"
        assert annotation.layer.data.any()
        full.undo()
        assert annotation.next()
        assert annotation.problem == ""
        assert on_disk(annotation, "img_0").any()

    def test_a_mask_that_cannot_be_removed_is_unsaved_until_it_can(self, annotation, monkeypatch):
        annotation.open("img_0")
        paint(annotation)
        assert annotation.save()

        def refuse(_project, name):
            raise DataError(f"{name}.tif cannot be moved: it is open in another program.")

        monkeypatch.setattr(Project, "remove_labels", refuse)
        annotation.layer.data[...] = 0
        for _ in range(2):
            with message("open in another program"):
                assert not annotation.save()
            assert annotation.unsaved == "img_0"
        monkeypatch.undo()
        assert annotation.save()
        assert not annotation.session.project.image("img_0").is_annotated

    @pytest.mark.usefixtures("full")
    def test_another_dataset_does_not_take_unsaved_paint_away(self, annotation, viewer):
        annotation.open("img_0")
        paint(annotation)
        with message("still in the viewer"):
            annotation.session.project = None
        assert names(viewer) == ["mask · img_0"]

    def test_an_image_that_cannot_be_read_is_passed_over_and_named(self, annotation, folder):
        annotation.open("img_0")
        (folder / "img_1.tif").write_bytes(b"II*\0broken")
        with message(r"img_1\.tif"):
            assert annotation.next()
        assert annotation.session.current == "img_2"


class TestStrokes:
    def test_strokes_of_background_stand_out_and_all_else_is_an_object(self, annotation):
        annotation.set_sparse(True)
        annotation.open("img_0")
        layer = annotation.layer
        assert layer.selected_label == 1
        assert len({tuple(layer.get_color(label)) for label in (1, 2, BACKGROUND)}) == 2
        paint(annotation, 2)
        annotation.save()
        assert annotation.session.project.image("img_0").foreground == 1

    def test_switching_changes_no_paint_and_can_still_be_undone(self, annotation):
        annotation.open("img_0")
        paint(annotation, 5)
        painted = annotation.layer.data.copy()
        for sparse in (True, False):
            annotation.set_sparse(sparse)
            assert annotation.session.project.sparse == sparse
            np.testing.assert_array_equal(annotation.layer.data, painted)
            np.testing.assert_array_equal(on_disk(annotation, "img_0"), painted)
        annotation.layer.undo()
        assert not annotation.layer.data.any()

    def test_whoever_painted_background_goes_on_with_an_object_where_there_are_no_strokes(self, annotation):
        annotation.set_sparse(True)
        annotation.open("img_0")
        annotation.layer.selected_label = BACKGROUND
        paint(annotation, BACKGROUND)
        annotation.set_sparse(False)
        assert annotation.layer.selected_label == 1
        assert tuple(annotation.layer.get_color(BACKGROUND)) != tuple(annotation.layer.get_color(1))
        annotation.open("img_1")
        assert len({tuple(annotation.layer.get_color(label)) for label in (1, 2, 3)}) == 3
        annotation.open("img_0")
        assert tuple(annotation.layer.get_color(BACKGROUND)) != tuple(annotation.layer.get_color(1))

    def test_it_is_told_how_many_masks_hold_no_background(self, annotation):
        annotation.session.project.save_labels("img_1", np.ones(SIZE, np.uint16), "painted")
        annotation.set_sparse(True)
        assert "1 mask" in annotation.session.message.text

    def test_no_object_here_is_all_background_and_can_be_undone(self, annotation):
        annotation.set_sparse(True)
        annotation.open("img_0")
        paint(annotation, 2)
        painted = annotation.layer.data.copy()
        annotation.mark_empty()
        assert (on_disk(annotation, "img_0") == BACKGROUND).all()
        annotation.layer.undo()
        np.testing.assert_array_equal(annotation.layer.data, painted)


@pytest.mark.usefixtures("qapp")
class TestAnotherWindow:
    @pytest.fixture
    def other(self, annotation):
        annotation.open("img_0")
        return Project.open(annotation.session.project.source)

    def test_what_it_has_painted_is_shown_and_told(self, annotation, other):
        other.save_labels("img_0", BLOB * 4, "painted")
        other.set_role(["img_1"], "test")
        annotation.catch_up()
        np.testing.assert_array_equal(annotation.layer.data, BLOB * 4)
        assert annotation.session.project.image("img_1").role == "test"
        assert "img_0" in annotation.session.message.text
        assert annotation.save()
        np.testing.assert_array_equal(on_disk(annotation, "img_0"), BLOB * 4)

    def test_paint_that_is_not_saved_stays_and_what_it_replaces_is_named(self, annotation, other):
        paint(annotation, 7)
        other.save_labels("img_0", BLOB * 4, "painted")
        annotation.catch_up()
        assert annotation.layer.data[10, 10] == 7
        assert annotation.save()
        (aside,) = (annotation.session.project.folder / "labels" / "removed").iterdir()
        assert str(aside) in annotation.session.message.text
        np.testing.assert_array_equal(tifffile.imread(aside), BLOB * 4)
        assert on_disk(annotation, "img_0")[10, 10] == 7


class TestFolderGone:
    def test_it_is_told_once_and_paint_stays_until_it_is_back(self, annotation, folder, tmp_path, monkeypatch):
        annotation.open("img_0")
        told = []
        monkeypatch.setattr(annotation.session, "tell", lambda text, _tone="info", **_: told.append(text))
        monkeypatch.setattr(annotation.session, "fail", lambda error: told.append(str(error)))
        folder.rename(tmp_path / "moved")
        annotation.catch_up()
        annotation.catch_up()
        assert not annotation.next()
        assert len(told) == 2
        assert all(str(folder) in text for text in told)
        paint(annotation, 7)
        assert not annotation.save()
        assert annotation.unsaved == "img_0"
        assert annotation.layer.data[10, 10] == 7
        assert not folder.exists()
        (tmp_path / "moved").rename(folder)
        assert annotation.save()
        assert on_disk(annotation, "img_0")[10, 10] == 7


def test_colors_and_channels_keep_a_flat_mask(session, tmp_path, viewer):
    rng = np.random.default_rng(0)
    (tmp_path / "i").mkdir()
    tifffile.imwrite(tmp_path / "i" / "rgb.tif", rng.integers(0, 255, (*SIZE, 3), np.uint8), photometric="rgb")
    five = rng.integers(0, 999, (5, *SIZE), np.uint16)
    tifffile.imwrite(tmp_path / "i" / "five.tif", five, imagej=True, metadata={"axes": "CYX"})
    tifffile.imwrite(
        tmp_path / "i" / "um.tif", np.zeros(SIZE, np.uint8), imagej=True, resolution=(4, 2), metadata={"unit": "um"}
    )
    session.project = Project.open(tmp_path / "i")
    annotation = annotation_of(session)
    shown = {}
    for name in ("rgb", "five", "um"):
        annotation.open(name)
        image = viewer.layers[name]
        shown[name] = (image.rgb, image.ndim, annotation.layer.data.shape)
        np.testing.assert_allclose(annotation.layer.scale, image.scale[-2:])
        assert annotation.layer.units == image.units[-2:]
    assert shown == {"rgb": (True, 2, SIZE), "five": (False, 3, SIZE), "um": (False, 2, SIZE)}
    assert tuple(annotation.layer.scale) == (0.5, 0.25)
    annotation.release()


def test_closing_saves_lets_go_and_leaves_the_layers_to_the_user(annotation, viewer):
    annotation.open("img_0")
    paint(annotation)
    layer = annotation.layer
    annotation.session.close()
    assert on_disk(annotation, "img_0").any()
    layer.paint((30, 30), 2)
    assert annotation.unsaved is None
    assert on_disk(annotation, "img_0")[30, 30] == 0
    assert names(viewer) == ["img_0", "mask · img_0"]
    other = annotation_of(annotation.session)
    other.open("img_1")
    assert names(viewer) == ["img_0", "mask · img_0", "img_1", "mask · img_1"]
    other.release()


def test_another_dataset_gets_the_layers_and_the_first_its_paint(annotation, viewer, tmp_path):
    first = annotation.session.project
    annotation.open("img_0")
    paint(annotation)
    (tmp_path / "others").mkdir()
    tifffile.imwrite(tmp_path / "others" / "a.tif", np.zeros(SIZE, np.uint8))
    annotation.session.project = Project.open(tmp_path / "others")
    assert names(viewer) == []
    assert first.read_labels("img_0").any()
    annotation.open("a")
    assert names(viewer) == ["a", "mask · a"]


def test_a_stroke_in_an_annotated_image_says_which_and_bothers_no_one_who_counts(annotation):
    session, counted, saved = annotation.session, [], []
    session.images_changed.connect(lambda: counted.append(True))
    session.mask_saved.connect(saved.append)
    annotation.open("img_0")
    paint(annotation)
    annotation.save()
    assert (len(counted), saved) == (1, [])
    for column in (20, 30):
        annotation.layer.paint((20, column), 1)
        annotation.save()
    assert (len(counted), saved) == (1, ["img_0", "img_0"])
    annotation.layer.data_setitem(np.nonzero(np.asarray(annotation.layer.data)), 0)
    annotation.save()
    assert (len(counted), len(saved)) == (2, 2)
