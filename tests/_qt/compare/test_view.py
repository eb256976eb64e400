"""A comparison in the viewer: flicked through, side by side, its errors; and all else as it was."""

import operator
import re
import shutil

import numpy as np
import pytest
import tifffile

pytest.importorskip("napari")
pytest.importorskip("qtpy")

from napari_unet_finetune._qt.compare.controller import CompareController
from napari_unet_finetune._qt.compare.export import save_figures, save_table
from napari_unet_finetune._qt.compare.layers import ComparisonLayers
from napari_unet_finetune._qt.compare.picture import Guess, Picture
from napari_unet_finetune._qt.compare.view import ComparisonView
from napari_unet_finetune._qt.layers.layers import find_ours, mark_of, show_labels
from napari_unet_finetune.errors import RunError
from napari_unet_finetune.events import ImageCompared
from napari_unet_finetune.io.pixels import ImagePixels
from napari_unet_finetune.metrics import dice
from napari_unet_finetune.project.project import Project

from ..comparison_data import SIZE, project_with_tests, with_models
from ..datasets import message

pytestmark = pytest.mark.usefixtures("qapp")


@pytest.fixture
def project(tmp_path, write_squares):
    return project_with_tests(tmp_path, write_squares)


@pytest.fixture
def view(session, project, tmp_path):
    """Return a view of three models on two test images, the first of which is shown."""
    files = with_models(session, tmp_path / "models", 3)
    session.project = project
    comparing = CompareController(session)
    for file in files[1:]:
        comparing.add_file(type(tmp_path)(file))
    found = ComparisonView(comparing)
    comparing.compare()
    yield found
    found.release()


def visible(viewer):
    return [mark_of(layer) for layer in viewer.layers if layer.visible]


MODELS = ["compare:model:model-0", "compare:model:model-1", "compare:model:model-2"]


def test_the_first_image_is_shown_as_soon_as_it_is_predicted(view, viewer):
    assert (view.image, view.label) == ("img_04", "model-0")
    assert visible(viewer) == ["compare:image", "compare:model:model-0", "compare:truth"]
    assert [mark_of(layer) for layer in viewer.layers] == ["compare:image", *MODELS, "compare:truth"]


def test_scores_without_a_picture_show_their_first_image_at_a_click(view):
    view.clear()
    view.set_mode("errors")
    assert (view.image, view.label) == ("img_04", "model-0")
    assert view.layers.mode == "errors"


def test_layers_hold_image_truth_and_predictions_at_the_place_of_the_image(view, viewer, session):
    image = session.project.annotated_image("img_04")
    assert (find_ours(viewer, "compare:image").data == image.image).all()
    truth = find_ours(viewer, "compare:truth")
    assert (truth.data == image.labels).all() and truth.contour == 2
    for column in view.comparing.columns:
        layer = find_ours(viewer, f"compare:model:{column.label}")
        cell = view.comparing.cell(column.label, "img_04")
        assert dice(layer.data, image.target) == cell.dice
        assert layer.name == f"{column.label}  Dice {cell.dice:.3f}"
        assert tuple(layer.scale) == tuple(find_ours(viewer, "compare:image").scale)


def test_keys_flick_through_the_models_one_visible_at_a_time(view, viewer):
    keys = {str(key): action for key, action in viewer.keymap.items()}
    seen = []
    for _ in range(4):
        (shown,) = [mark for mark in visible(viewer) if mark in MODELS]
        layer = find_ours(viewer, shown)
        assert layer.name_overlay.visible and layer.name.startswith(view.label)
        seen.append(shown)
        keys["."](viewer)
    assert seen == [*MODELS, MODELS[0]]
    keys[","](viewer)
    assert view.label == "model-0"


def test_layers_are_reused_for_another_image(view, viewer):
    before = list(viewer.layers)
    view.show("img_05", "model-1")
    assert list(viewer.layers) == before
    assert visible(viewer) == ["compare:image", "compare:model:model-1", "compare:truth"]
    assert find_ours(viewer, "compare:image").name == "img_05"


def test_colors_are_those_of_the_table(view, viewer):
    for column in view.comparing.columns:
        layer = find_ours(viewer, f"compare:model:{column.label}")
        shown = np.round(np.asarray(layer.get_color(7))[:3] * 255).astype(int)
        assert "#" + "".join(f"{channel:02X}" for channel in shown) == column.color


def test_errors_are_shown_in_three_colors_on_a_map_of_right_and_wrong(view, viewer, session):
    view.set_mode("errors")
    assert visible(viewer) == ["compare:image", "compare:truth", "compare:error"]
    image = session.project.annotated_image("img_04")
    guess = find_ours(viewer, "compare:model:model-0").data > 0
    errors = find_ours(viewer, "compare:error")
    assert ((errors.data == 2) == (guess & ~image.target)).all()
    assert ((errors.data == 3) == (~guess & image.target)).all()
    assert ((errors.data == 1) == (guess & image.target)).all()
    colors = [np.asarray(errors.colormap.color_dict[value]) for value in (1, 2, 3)]
    assert len({tuple(color) for color in colors}) == 3
    view.next()
    assert errors.name.startswith("errors of model-1")
    view.set_mode("overlay")
    assert find_ours(viewer, "compare:error") is None


def test_the_grid_shows_pairs_of_image_and_labels_and_is_given_back(view, viewer):
    theirs = viewer.add_points([[1, 1]], name="theirs")
    hidden = viewer.add_points([[1, 1]], name="hidden", visible=False)
    viewer.canvas.grid.stride = 3
    viewer.scene.camera.zoom = 7.5
    view.set_mode("grid")
    grid = viewer.canvas.grid
    assert (grid.enabled, grid.stride) == (True, 2)
    pairs = [layer for layer in viewer.layers if layer.visible]
    assert [mark_of(layer) for layer in pairs[1::2]] == [*MODELS, "compare:truth"]
    assert all(layer.data is pairs[0].data for layer in pairs[::2])
    assert len({grid.position(viewer.layers.index(layer), viewer.layers) for layer in pairs}) == 4
    for image, labels in zip(pairs[::2], pairs[1::2], strict=True):
        places = [grid.position(viewer.layers.index(layer), viewer.layers) for layer in (image, labels)]
        assert places[0] == places[1]
    pairs[2].contrast_limits = (3, 40)
    assert tuple(pairs[0].contrast_limits) == (3, 40)
    assert not theirs.visible
    view.set_mode("overlay")
    assert (grid.enabled, grid.stride) == (False, 3) and viewer.scene.camera.zoom == 7.5
    assert theirs.visible and not hidden.visible
    assert [layer.name for layer in viewer.layers[:2]] == ["theirs", "hidden"]
    assert visible(viewer)[1:] == ["compare:image", "compare:model:model-0", "compare:truth"]


def test_another_image_and_model_in_the_grid_keep_the_pairs(view, viewer):
    view.set_mode("grid")
    before = list(viewer.layers)
    view.show("img_05", "model-2")
    assert list(viewer.layers) == before
    assert all(layer.data is before[0].data for layer in before[::2])
    view.set_mode("errors")
    assert not viewer.canvas.grid.enabled and visible(viewer) == ["compare:image", "compare:truth", "compare:error"]


def test_a_failure_leaves_no_empty_cell_in_the_grid(view, viewer):
    view.comparing.cells["model-0", "img_05"] = ImageCompared("model-0", "img_05", error="no")
    view.set_mode("grid")
    view.show("img_05", "model-1")
    assert [mark for mark in visible(viewer) if not mark.startswith("compare:image")] == [*MODELS[1:], "compare:truth"]
    assert len(visible(viewer)) == 6 and len(viewer.layers) == 6


def test_flicking_draws_no_labels_again(view, viewer):
    drawn = []
    for mark in (*MODELS, "compare:truth", "compare:image"):
        find_ours(viewer, mark).events.data.connect(lambda _event: drawn.append(True))
    view.next()
    view.previous()
    assert drawn == []
    view.show("img_05", "model-0")
    assert len(drawn) == 5


def test_a_grid_that_was_on_before_is_on_again(view, viewer):
    viewer.canvas.grid.enabled, viewer.canvas.grid.shape = True, (1, 4)
    view.set_mode("grid")
    view.set_mode("overlay")
    assert (viewer.canvas.grid.enabled, viewer.canvas.grid.shape, viewer.canvas.grid.stride) == (True, (1, 4), 1)


def test_a_layer_of_somebody_else_ends_the_grid(view, viewer, qtbot):
    view.set_mode("grid")
    theirs = viewer.add_points([[1, 1]])
    qtbot.waitUntil(lambda: view.mode == "overlay")
    assert not viewer.canvas.grid.enabled and theirs in viewer.layers
    assert [mark for mark in visible(viewer) if mark in MODELS] == ["compare:model:model-0"]


def test_opening_an_image_to_annotate_makes_room_for_it(view, viewer, session):
    view.set_mode("grid")
    session.current = "img_01"
    assert not viewer.canvas.grid.enabled and visible(viewer) == []
    view.show("img_05", "model-0")
    assert visible(viewer) == ["compare:image", "compare:model:model-0", "compare:truth"]


def test_the_contour_of_the_truth_can_be_switched_off(view, viewer):
    view.set_truth(is_shown=False)
    assert visible(viewer) == ["compare:image", "compare:model:model-0"]


def test_clear_removes_what_was_made_here_and_nothing_else(view, viewer):
    theirs = viewer.add_points([[1, 1]])
    view.set_mode("grid")
    view.clear()
    assert list(viewer.layers) == [theirs] and theirs.visible and view.image is None
    view.next()
    assert list(viewer.layers) == [theirs]


def test_closing_gives_back_keys_and_grid_and_takes_the_layers_away(session, project, tmp_path, viewer):
    done = []
    viewer.bind_key(",", lambda _viewer: done.append("theirs"))
    with_models(session, tmp_path / "models", 1)
    session.project = project
    comparing = CompareController(session)
    view = ComparisonView(comparing)
    comparing.compare()
    view.set_mode("grid")
    view.release()
    assert not viewer.canvas.grid.enabled and not viewer.layers
    keys = {str(key): action for key, action in viewer.keymap.items()}
    assert "." not in keys
    keys[","](viewer)
    assert done == ["theirs"]
    viewer.add_points([[1, 1]])
    session.project = None
    assert len(viewer.layers) == 1


@pytest.mark.parametrize("mode", ["overlay", "grid", "errors"])
def test_what_was_shown_at_closing_is_shown_again_by_the_next_view(view, viewer, session, mode):
    theirs = viewer.add_points([[1, 1]])
    duplicate = viewer.layers["ground truth"].as_layer_data_tuple()
    view.show("img_05", "model-1")
    mine = viewer._add_layer_from_data(*duplicate)[0]
    errors = show_labels(viewer, "error", "errors on img_05", np.zeros(SIZE, np.uint8))
    view.set_mode(mode)
    shown = visible(viewer)
    view.release()
    assert set(viewer.layers) == {theirs, mine, errors} and view.image is None
    view.comparing.changed.emit()
    session.stage.follow("img_04")
    assert len(viewer.layers) == 3
    again = ComparisonView(view.comparing)
    again.bring_back()
    assert (again.image, again.label, again.mode, visible(viewer)) == ("img_05", "model-1", mode, shown)
    again.bring_back()
    again.release()


def test_what_made_room_or_is_of_another_dataset_is_not_shown_again(view, viewer, session):
    view.show("img_05", "model-1")
    session.stage.follow("img_04")
    view.put_away()
    view.bring_back()
    assert view.image is None and not viewer.layers
    view.show("img_05", "model-1")
    view.put_away()
    session.project = None
    view.bring_back()
    assert view.image is None and not viewer.layers


def test_a_deleted_layer_is_made_again(view, viewer):
    viewer.layers.remove(find_ours(viewer, "compare:model:model-0"))
    viewer.layers.remove(find_ours(viewer, "compare:image"))
    view.show("img_05", "model-0")
    assert visible(viewer) == ["compare:image", "compare:model:model-0", "compare:truth"]
    assert [mark_of(layer) for layer in viewer.layers] == ["compare:image", *MODELS, "compare:truth"]


def test_what_is_selected_stays_selected(view, viewer):
    theirs = viewer.add_labels(np.zeros(SIZE, np.uint8))
    viewer.layers.selection.active = theirs
    view.set_mode("grid")
    view.set_mode("errors")
    view.show("img_05", "model-0")
    assert viewer.layers.selection.active is theirs


@pytest.mark.parametrize("end", ["clear", "layers.hide", "layers.release"])
def test_nobody_paints_into_a_layer_that_lies_unseen_below(view, viewer, end, monkeypatch):
    theirs = viewer.add_labels(np.zeros(SIZE, np.uint8))
    theirs.mode = "paint"
    viewer.layers.selection.active = theirs
    view.show("img_05", "model-0")
    view.next()
    assert mark_of(viewer.layers.selection.active) == "compare:image"
    monkeypatch.setattr(view, "release", lambda: None)
    operator.attrgetter(end)(view)()
    assert viewer.layers.selection.active is theirs and theirs.mode == "paint"


def test_a_model_that_failed_on_an_image_is_named_with_the_reason(view, viewer):
    comparing = view.comparing
    comparing.cells["model-0", "img_05"] = ImageCompared("model-0", "img_05", error="img_05 does not fit in memory.")
    view.show("img_05", "model-0")
    assert view.words == "img_05 · model-0: img_05 does not fit in memory."
    assert visible(viewer) == ["compare:image", "compare:truth"]
    view.set_mode("grid")
    assert [mark for mark in visible(viewer) if mark in MODELS] == MODELS[1:]


def test_an_image_that_cannot_be_read_leaves_what_is_shown(view, viewer, session):
    session.project.image("img_05").ref.path.unlink()
    with message("img_05"):
        view.show("img_05", "model-0")
    assert view.image == "img_04" and visible(viewer)[0] == "compare:image"


@pytest.mark.parametrize("gone", ["comparison", "comparison/labels"])
def test_predictions_that_are_gone_are_told_in_a_sentence_and_made_again(view, session, tmp_path, gone):
    comparing, project = view.comparing, session.project
    view.clear()
    shutil.rmtree(project.folder / gone)
    scores = dict(comparing.cells)
    sentence = "its predictions are no longer in .*labels. Press Compare"
    view.show("img_05", "model-0")
    assert re.search(f"^img_05: {sentence}", session.message.text) and view.image is None
    with pytest.raises(RunError, match=sentence):
        save_figures(comparing, comparing.images, tmp_path / "f.png", study=None, curve=None)
    save_table(comparing, tmp_path / "t.csv")
    assert comparing.cells == scores
    comparing.compare()
    view.show("img_05", "model-0")
    assert view.image == "img_05"


def test_without_the_folder_of_the_dataset_there_is_one_sentence_and_no_new_folder(view, session, project, tmp_path):
    view.clear()
    project.folder.rename(tmp_path / "renamed")
    told = []
    session.message_changed.connect(lambda: told.append(session.message.text))
    for ask in (lambda: view.show("img_05", "model-0"), view.comparing.compare):
        told.clear()
        ask()
        (sentence,) = filter(None, told)
        assert "this folder is gone" in sentence
    assert not project.folder.exists()
    assert view.comparing.cells


def test_frames_colors_and_sizes(session, tmp_path, viewer):
    rng = np.random.default_rng(0)
    folder = tmp_path / "images"
    folder.mkdir()
    tifffile.imwrite(folder / "stack.tif", rng.integers(0, 200, (2, 40, 56), dtype=np.uint8))
    tifffile.imwrite(folder / "wide.tif", rng.integers(0, 200, (33, 90, 3), dtype=np.uint8), photometric="rgb")
    project = Project.open(folder, tmp_path / "project")
    truth = np.zeros((33, 90), np.uint16)
    truth[4:20, 30:50] = 1
    project.save_labels("wide", truth, "painted")
    with_models(session, tmp_path / "models", 1)
    session.project = project
    comparing = CompareController(session)
    view = ComparisonView(comparing)
    comparing.choose_images("all")
    comparing.compare()
    assert {cell.error for cell in comparing.cells.values()} == {None}
    for mode in ("overlay", "grid", "errors"):
        view.set_mode(mode)
        for name, shape in (("wide", (33, 90, 3)), ("stack[001]", (40, 56)), ("stack[000]", (40, 56))):
            view.show(name, "model-0")
            assert find_ours(viewer, "compare:image").data.shape == shape
            assert find_ours(viewer, "compare:model:model-0").data.shape == shape[:2]
            assert (find_ours(viewer, "compare:truth") is not None) == (name == "wide")
    view.release()


@pytest.mark.parametrize(("light", "is_bright"), [(20, False), (230, True)])
def test_the_truth_is_drawn_in_what_shows_on_the_image(light, is_bright):
    pixels = np.full((40, 40), light, np.uint8)
    pixels[:4], pixels[-4:] = 0, 255
    assert Picture("a", ImagePixels(pixels), None, None, ()).is_bright == is_bright


def test_the_contour_has_that_color(viewer):
    pixels = np.full((40, 40), 230, np.uint8)
    pixels[:4], pixels[-4:] = 0, 255
    layers = ComparisonLayers(viewer)
    for array, expected in ((pixels, 0), (255 - pixels, 1)):
        layers.show(Picture("a", ImagePixels(array), np.eye(40, dtype=np.uint8), None, ()), "model-0", "overlay")
        color = find_ours(viewer, "compare:truth").get_color(1)
        assert np.allclose(color, (expected, expected, expected, 1), atol=0.01)
    layers.release()


def test_errors_count_only_where_the_truth_holds():
    known = np.zeros((4, 4), bool)
    known[:2] = True
    guess = Guess("model-0", "#fff", "model-0", np.ones((4, 4), np.uint8))
    picture = Picture("a", ImagePixels(np.zeros((4, 4))), np.zeros((4, 4), np.uint8), known, (guess,))
    assert picture.errors("model-0").tolist() == [[2] * 4] * 2 + [[0] * 4] * 2
    assert picture.errors("other") is None


def test_a_new_comparison_takes_the_old_one_away(view, viewer):
    view.comparing.choose_images("bare")
    view.comparing.compare()
    assert view.image == "x_bare" and "no mask to score with" in view.words
    assert visible(viewer) == ["compare:image", "compare:model:model-0"]


def test_a_single_result_that_was_only_read_again_is_not_shown_by_itself(view, viewer):
    view.clear()
    view.comparing.cells = dict(list(view.comparing.cells.items())[:1])
    view.comparing.changed.emit()
    assert view.image is None and visible(viewer) == []
