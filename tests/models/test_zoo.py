import subprocess
import sys

import pytest

from napari_unet_finetune.errors import CheckpointError
from napari_unet_finetune.models import zoo
from napari_unet_finetune.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from napari_unet_finetune.models.provenance import Provenance


@pytest.fixture
def shipped(tmp_path, monkeypatch, small_checkpoint):
    monkeypatch.setattr(zoo, "SHIPPED", tmp_path)
    provenance = Provenance(
        name="oxide", notes=("Oxide layers.", "Width 16."), licence="CC0", scores={"test_dice": 0.5}
    )
    for name in ("oxide", "nuclei"):
        save_checkpoint(
            Checkpoint(small_checkpoint.weights, small_checkpoint.model, provenance=provenance),
            tmp_path / f"{name}.safetensors",
        )
    return tmp_path


def test_models_that_ship_are_listed_by_name(shipped, small_checkpoint):
    models = zoo.list_models()
    assert [model.name for model in models] == ["nuclei", "oxide"]
    assert models[1].path == shipped / "oxide.safetensors"
    assert models[1].description == "Oxide layers. Width 16."
    assert models[1].target == "Oxide layers."
    assert models[1].licence == "CC0"
    assert models[1].scores == {"test_dice": 0.5}
    assert models[1].channels == small_checkpoint.model.in_channels
    assert models[1].size_bytes == models[1].path.stat().st_size


def test_the_list_of_models_does_not_need_torch():
    code = "import sys; from napari_unet_finetune.models import zoo; print([m.target for m in zoo.list_models()]); "
    code += "sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_description_needs_only_the_header(shipped):
    path = shipped / "oxide.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[: 8 + int.from_bytes(data[:8], "little")])
    assert zoo.list_models()[1].description == "Oxide layers. Width 16."


def test_a_model_is_found_and_loaded_by_name(shipped):
    assert zoo.find_model("nuclei") == shipped / "nuclei.safetensors"
    assert load_checkpoint("nuclei").provenance.name == "oxide"


@pytest.mark.usefixtures("shipped")
def test_an_unknown_name_lists_the_known_ones():
    assert zoo.find_model("cells") is None
    with pytest.raises(CheckpointError, match=r"no model called 'cells'.*nuclei, oxide"):
        load_checkpoint("cells")


def test_no_models_are_no_error(tmp_path, monkeypatch):
    monkeypatch.setattr(zoo, "SHIPPED", tmp_path / "absent")
    assert zoo.list_models() == ()
    with pytest.raises(CheckpointError, match="none yet"):
        load_checkpoint("cells")


def test_every_model_in_the_package_loads_and_says_what_it_is():
    for model in zoo.list_models():
        assert load_checkpoint(model.name).weights
        assert model.target
        assert model.licence
        assert model.scores["test_dice"] > 0.5
        assert model.size_bytes < 8_000_000
