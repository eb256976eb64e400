"""Labels are kept for as long as their model and image are what they were; nothing else is ever removed."""

import json
import os
import shutil

import numpy as np
import pytest
import tifffile

from napari_unet_finetune.comparison import cache as cache_module
from napari_unet_finetune.comparison.cache import KeptCells, MadeOf, Truth
from napari_unet_finetune.config import PredictConfig
from napari_unet_finetune.data.masks import STROKES
from napari_unet_finetune.data.pairing import Pair
from napari_unet_finetune.errors import DataError
from napari_unet_finetune.io.images import ImageRef
from napari_unet_finetune.metrics import Scores

SCORES = Scores(0.123456789012345, 0.2, 0.3, None)


@pytest.fixture
def files(tmp_path):
    """Return a model and an image; the bytes of a model do not matter here."""
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    tifffile.imwrite(tmp_path / "image.tif", np.zeros((4, 4), np.uint8))
    return tmp_path / "model.safetensors", tmp_path / "image.tif"


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "labels"


def made_of(model, image, frame=None, **settings):
    return MadeOf.of(str(model), ImageRef(image, frame), PredictConfig(**settings))


def keep(folder, model, image, *, frame=None, **known):
    cells = KeptCells(folder)
    cell = cells.new(made_of(model, image, frame)).model_copy(update=known)
    cells.put(cell)
    tifffile.imwrite(cell.labels, np.zeros((4, 4), np.uint8))
    return cell


def test_the_list_says_what_labels_were_made_of_and_how_they_score(folder, files):
    truth = Truth.of(Pair(ImageRef(files[1]), ImageRef(files[1]), meaning=STROKES))
    kept = keep(folder, *files, truth=truth, scores=SCORES)
    found = KeptCells(folder).find(made_of(*files, batch_size=1))
    assert found == kept and (found.truth, found.scores) == (truth, SCORES)
    assert KeptCells(folder).find(made_of(*files, threshold=0.9)) is None
    assert KeptCells(folder).find(made_of(*files, frame=1)) is None


def test_labels_of_an_earlier_way_to_predict_are_not_taken_for_those_of_this_one(folder, files, monkeypatch):
    kept = keep(folder, *files)
    monkeypatch.setattr(cache_module, "PREDICTION_VERSION", cache_module.PREDICTION_VERSION + 1)
    assert KeptCells(folder).find(made_of(*files)) is None
    assert keep(folder, *files).labels != kept.labels


def test_a_list_that_says_the_same_is_not_written_again(folder, files):
    kept = keep(folder, *files, scores=SCORES)
    os.utime(folder / "cells.json", ns=(1, 1))
    cells = KeptCells(folder)
    cells.put(kept)
    assert (folder / "cells.json").stat().st_mtime_ns == 1
    cells.put(kept.model_copy(update={"scores": None}))
    assert KeptCells(folder).find(kept.made_of).scores is None


@pytest.mark.parametrize("text", ["", "{}", '[{"labels": "a.tif"}]'])
def test_a_list_that_cannot_be_read_is_empty_and_written_anew(folder, files, text):
    kept = keep(folder, *files)
    (folder / "cells.json").write_text(text)
    assert KeptCells(folder).find(kept.made_of) is None
    assert KeptCells(folder).prune() == () and kept.labels.is_file()
    KeptCells(folder).put(kept)
    assert KeptCells(folder).find(kept.made_of) == kept


def test_cells_that_do_not_say_how_an_image_was_shown_are_read(folder, files):
    kept = keep(folder, *files, scores=SCORES, shown="exchanged")
    cells = json.loads((folder / "cells.json").read_text())
    assert cells[0].pop("shown") == "exchanged"
    (folder / "cells.json").write_text(json.dumps(cells))
    assert KeptCells(folder).find(kept.made_of) == kept.model_copy(update={"shown": ""})


def test_labels_that_are_gone_are_not_found(folder, files):
    kept = keep(folder, *files)
    kept.labels.unlink()
    assert KeptCells(folder).find(kept.made_of) is None


def test_a_disk_that_is_full_is_a_sentence(folder, files):
    folder.write_bytes(b"a file where the folder should be")
    with pytest.raises(DataError, match="cannot be written"):
        KeptCells(folder).put(KeptCells(folder).new(made_of(*files)))


def test_what_is_still_so_is_kept(folder, files):
    kept = [keep(folder, *files), keep(folder, *files, frame=1)]
    assert KeptCells(folder).prune() == ()
    assert all(one.labels.is_file() for one in kept)


def test_labels_of_a_model_that_is_gone_or_another_one_are_removed(folder, files, tmp_path):
    other = tmp_path / "other.safetensors"
    other.write_bytes(b"other weights")
    gone, changed = keep(folder, *files), keep(folder, other, files[1])
    files[0].unlink()
    other.write_bytes(b"trained again")
    assert set(KeptCells(folder).prune()) == {gone.labels, changed.labels}
    assert [file.name for file in folder.iterdir()] == ["cells.json"] and KeptCells(folder).prune() == ()


def test_labels_of_an_image_that_is_gone_or_has_changed_are_removed(folder, files, tmp_path):
    other = shutil.copy(files[1], tmp_path / "other.tif")
    gone, changed = keep(folder, *files), keep(folder, files[0], other)
    files[1].unlink()
    tifffile.imwrite(other, np.ones((5, 5), np.uint8))
    anew = keep(folder, files[0], other)
    assert set(KeptCells(folder).prune()) == {gone.labels, changed.labels}
    assert anew.labels.is_file() and KeptCells(folder).find(anew.made_of) == anew


def test_what_is_asked_to_stay_stays(folder, files):
    kept = keep(folder, *files)
    files[0].unlink()
    assert KeptCells(folder).prune([kept.labels]) == ()
    assert KeptCells(folder).prune() == (kept.labels,)


def test_files_of_others_are_not_touched(folder, files):
    """A user may have put anything into the folder, under any name, and labels that are not in the list may be hers."""
    kept = keep(folder, *files)
    files[0].unlink()
    foreign = {folder / "mine.tif": b"tif", folder / ("a" * 32 + ".tif"): b"tif", folder / ("b" * 32 + ".json"): b"{}"}
    for path, content in foreign.items():
        path.write_bytes(content)
    assert KeptCells(folder).prune() == (kept.labels,)
    assert {path: path.read_bytes() for path in foreign} == foreign


def test_without_a_folder_there_is_nothing_to_remove(tmp_path):
    assert KeptCells(tmp_path / "nowhere").prune() == ()
