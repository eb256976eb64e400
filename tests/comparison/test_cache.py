"""Labels are kept for as long as their model and image are what they were; nothing else is ever removed."""

import os
import shutil

import numpy as np
import pytest
import tifffile

from napari_unet_finetune.comparison import cache as cache_module
from napari_unet_finetune.comparison.cache import HashedModel, KeptLabels, Source, prune
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
def cache(tmp_path):
    return tmp_path / "labels"


def keep(cache, model, image, truth=None, scores=None, frame=None):
    kept = KeptLabels.find(cache, HashedModel.of(str(model)), ImageRef(image, frame), PredictConfig())
    kept.write_note(truth, scores)
    tifffile.imwrite(kept.file, np.zeros((4, 4), np.uint8))
    return kept


def test_a_note_says_what_labels_were_made_of_and_how_they_score(cache, files):
    truth = Source.of_mask(Pair(ImageRef(files[1]), ImageRef(files[1]), meaning=STROKES))
    kept = keep(cache, *files, truth, SCORES)
    again = KeptLabels.find(cache, HashedModel.of(str(files[0])), ImageRef(files[1]), PredictConfig(batch_size=1))
    assert again.file == kept.file
    assert (again.note.truth, again.note.scores) == (truth, SCORES)
    assert again.note.is_current


def test_labels_of_an_earlier_way_to_predict_are_not_taken_for_those_of_this_one(cache, files, monkeypatch):
    kept = keep(cache, *files)
    monkeypatch.setattr(cache_module, "PREDICTION_VERSION", cache_module.PREDICTION_VERSION + 1)
    assert keep(cache, *files).file != kept.file


def test_a_note_that_says_the_same_is_not_written_again(cache, files):
    kept = keep(cache, *files, scores=SCORES)
    note = kept.file.with_suffix(".json")
    os.utime(note, ns=(1, 1))
    kept.write_note(scores=SCORES)
    assert note.stat().st_mtime_ns == 1
    kept.write_note()
    assert kept.note.scores is None


def test_a_damaged_note_is_none(cache, files):
    kept = keep(cache, *files)
    kept.file.with_suffix(".json").write_text("{}")
    assert kept.note is None


def test_a_model_that_is_missing_and_a_disk_that_is_full_are_sentences(cache, files):
    with pytest.raises(DataError, match="cannot be read"):
        HashedModel.of("nowhere.safetensors")
    cache.write_bytes(b"a file where the folder should be")
    with pytest.raises(DataError, match="cannot be written"):
        KeptLabels.find(cache, HashedModel.of(str(files[0])), ImageRef(files[1]), PredictConfig()).write_note()


def test_what_is_still_so_is_kept(cache, files):
    kept = [keep(cache, *files), keep(cache, *files, frame=1)]
    os.utime(files[0], ns=(5, 5))  # copied, for instance, and its content is the same
    assert prune(cache) == ()
    assert all(one.file.is_file() for one in kept)


def test_labels_of_a_model_that_is_gone_or_another_one_are_removed(cache, files, tmp_path):
    other = tmp_path / "other.safetensors"
    other.write_bytes(b"other weights")
    gone, changed = keep(cache, *files), keep(cache, other, files[1])
    files[0].unlink()
    other.write_bytes(b"trained again")
    assert set(prune(cache)) == {gone.file, changed.file}
    assert list(cache.iterdir()) == []


def test_labels_of_an_image_that_is_gone_or_has_changed_are_removed(cache, files, tmp_path):
    other = shutil.copy(files[1], tmp_path / "other.tif")
    gone, changed = keep(cache, *files), keep(cache, files[0], other)
    files[1].unlink()
    tifffile.imwrite(other, np.ones((5, 5), np.uint8))
    anew = keep(cache, files[0], other)
    assert set(prune(cache)) == {gone.file, changed.file}
    assert anew.file.is_file() and anew.note is not None


def test_what_is_asked_to_stay_stays(cache, files):
    kept = keep(cache, *files)
    files[0].unlink()
    assert prune(cache, [kept.file]) == ()
    assert prune(cache) == (kept.file,)


def test_files_of_others_are_not_touched(cache, files):
    """A user may have put anything into the folder, under any name, and labels without a note may be hers."""
    kept = keep(cache, *files)
    note = kept.file.with_suffix(".json").read_bytes()
    files[0].unlink()
    foreign = {
        cache / "mine.tif": b"tif",
        cache / "mine.json": note,
        cache / ("a" * 32 + ".tif"): b"tif",
        cache / ("b" * 32 + ".json"): b"{}",
        cache / "old" / kept.file.with_suffix(".json").name: note,
        cache.parent / kept.file.with_suffix(".json").name: note,
    }
    (cache / "old").mkdir()
    for path, content in foreign.items():
        path.write_bytes(content)
    assert prune(cache) == (kept.file,)
    assert {path: path.read_bytes() for path in foreign} == foreign


def test_without_a_folder_there_is_nothing_to_remove(tmp_path):
    assert prune(tmp_path / "nowhere") == ()
