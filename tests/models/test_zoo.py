import pytest

from napari_unet_finetune.errors import CheckpointError
from napari_unet_finetune.models import zoo
from napari_unet_finetune.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from napari_unet_finetune.models.provenance import Provenance


@pytest.fixture
def shipped(tmp_path, monkeypatch, small_checkpoint):
    monkeypatch.setattr(zoo, "SHIPPED", tmp_path)
    provenance = Provenance(name="oxide", notes=("Oxide layers.", "Width 16."), licence="CC0")
    for name in ("oxide", "nuclei"):
        save_checkpoint(
            Checkpoint(small_checkpoint.weights, small_checkpoint.model, provenance=provenance),
            tmp_path / f"{name}.safetensors",
        )
    return tmp_path


def test_models_that_ship_are_listed_by_name(shipped):
    models = zoo.list_models()
    assert [model.name for model in models] == ["nuclei", "oxide"]
    assert models[1].path == shipped / "oxide.safetensors"
    assert models[1].description == "Oxide layers. Width 16."
    assert models[1].licence == "CC0"


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
        assert model.description
        assert model.licence
