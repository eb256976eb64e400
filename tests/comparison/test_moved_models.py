"""What is kept of a model is found wherever that lies by now: a package installed elsewhere, a file that moved."""

import json
import os
import shutil

import numpy as np
import pytest
import tifffile

from napari_unet_finetune.comparison.cache import CELLS, KeptCells, MadeOf
from napari_unet_finetune.config import PredictConfig
from napari_unet_finetune.io.disk import file_stamp
from napari_unet_finetune.io.images import ImageRef
from napari_unet_finetune.metrics import Scores
from napari_unet_finetune.models import zoo

SCORES = Scores(0.5, 0.4, 0.3, None)


@pytest.fixture(autouse=True)
def package(tmp_path, monkeypatch):
    """Return the folder of the models that ship, of which there is one."""
    return move_package(monkeypatch, tmp_path / "environment" / "zoo", b"weights")


@pytest.fixture
def image(tmp_path):
    tifffile.imwrite(tmp_path / "image.tif", np.zeros((4, 4), np.uint8))
    return ImageRef(tmp_path / "image.tif")


def move_package(monkeypatch, folder, weights):
    folder.mkdir(parents=True)
    (folder / "nuclei.safetensors").write_bytes(weights)
    monkeypatch.setattr(zoo, "SHIPPED", folder)
    return folder


def keep(folder, model, image):
    cells = KeptCells(folder)
    cell = cells.new(MadeOf.of(str(model), image, PredictConfig())).model_copy(update={"scores": SCORES})
    cells.put(cell)
    tifffile.imwrite(cell.labels, np.zeros((4, 4), np.uint8))
    return cell


def found(folder, model, image):
    return KeptCells(folder).find(MadeOf.of(str(model), image, PredictConfig()))


def test_scores_of_a_shipped_model_stay_when_the_package_lies_elsewhere(tmp_path, image, package, monkeypatch):
    kept = keep(tmp_path / "labels", "nuclei", image)
    shutil.rmtree(package)
    move_package(monkeypatch, tmp_path / "other environment" / "zoo", b"weights")
    assert found(tmp_path / "labels", "nuclei", image) == kept
    assert KeptCells(tmp_path / "labels").prune() == ()


def test_a_shipped_model_of_another_version_is_another_model(tmp_path, image, package, monkeypatch):
    kept = keep(tmp_path / "labels", "nuclei", image)
    shutil.rmtree(package)
    move_package(monkeypatch, tmp_path / "other environment" / "zoo", b"Weights")
    assert found(tmp_path / "labels", "nuclei", image) is None
    assert KeptCells(tmp_path / "labels").prune() == (kept.labels,)


def test_scores_of_a_file_stay_where_it_moves_to(tmp_path, image):
    (tmp_path / "mine.safetensors").write_bytes(b"my weights")
    kept = keep(tmp_path / "labels", tmp_path / "mine.safetensors", image)
    moved = shutil.move(tmp_path / "mine.safetensors", tmp_path / "ours.safetensors")
    there = found(tmp_path / "labels", moved, image)
    assert (there.labels, there.scores) == (kept.labels, SCORES)
    cells = KeptCells(tmp_path / "labels")
    cells.put(there)
    assert KeptCells(tmp_path / "labels").prune() == ()


def as_before(folder, model):
    """Write the list as versions did that knew models by place, length and time."""
    cells = json.loads((folder / CELLS).read_text())
    for cell in cells:
        del cell["made_of"]["model_sha256"]
        cell["made_of"] |= {"model": str(model), "model_stamp": file_stamp(model)}
    (folder / CELLS).write_text(json.dumps(cells))


def test_an_older_list_is_read_on_also_if_the_package_was_moved(tmp_path, image, package, monkeypatch):
    kept = keep(tmp_path / "labels", "nuclei", image)
    as_before(tmp_path / "labels", package / "nuclei.safetensors")
    assert found(tmp_path / "labels", "nuclei", image) == kept
    shutil.copytree(package, tmp_path / "moved" / "zoo")
    monkeypatch.setattr(zoo, "SHIPPED", tmp_path / "moved" / "zoo")
    shutil.rmtree(package)
    assert found(tmp_path / "labels", "nuclei", image) == kept


def test_what_an_older_list_knew_of_a_model_that_has_changed_is_not_taken_for_it(tmp_path, image, package):
    kept = keep(tmp_path / "labels", "nuclei", image)
    as_before(tmp_path / "labels", package / "nuclei.safetensors")
    os.utime(package / "nuclei.safetensors", ns=(1, 1))
    assert found(tmp_path / "labels", "nuclei", image) is None
    assert KeptCells(tmp_path / "labels").prune() == (kept.labels,)
