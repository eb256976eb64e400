import pytest

from napari_unet_finetune.errors import ModelError
from napari_unet_finetune.models import zoo
from napari_unet_finetune.models.card import ModelCard, read_card
from napari_unet_finetune.models.load import load_model
from napari_unet_finetune.models.model import Model
from napari_unet_finetune.models.provenance import Provenance


@pytest.fixture
def shipped(tmp_path, monkeypatch, small_model):
    monkeypatch.setattr(zoo, "SHIPPED", tmp_path)
    provenance = Provenance(
        name="oxide", notes=("Oxide layers.", "Width 16."), licence="CC0", scores={"test_dice": 0.5}
    )
    for name in ("oxide", "nuclei"):
        card = ModelCard(shape=small_model.card.shape, provenance=provenance)
        Model(small_model.weights, card).save(tmp_path / f"{name}.safetensors")
    return tmp_path


def test_models_that_ship_are_listed_by_name(shipped):
    assert zoo.list_models() == ("nuclei", "oxide")
    card = read_card("oxide")
    assert card.path == shipped / "oxide.safetensors"
    assert card.is_shipped and card.target == "Oxide layers."


def test_the_cards_of_models_need_neither_torch_nor_what_follows_their_header(shipped, loaded_by):
    path = shipped / "oxide.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[: 8 + int.from_bytes(data[:8], "little")])
    assert read_card(path).provenance.notes[0] == "Oxide layers."
    code = f"from napari_unet_finetune.models.card import read_card; read_card({str(path)!r})"
    assert "torch" not in loaded_by(code)


def test_a_model_is_found_and_loaded_by_name(shipped):
    assert zoo.find_model("nuclei") == shipped / "nuclei.safetensors"
    assert load_model("nuclei").card.provenance.name == "nuclei"


@pytest.mark.usefixtures("shipped")
def test_an_unknown_name_lists_the_known_ones():
    assert zoo.find_model("cells") is None
    with pytest.raises(ModelError, match=r"no model called 'cells'.*nuclei, oxide"):
        load_model("cells")


def test_no_models_are_no_error(tmp_path, monkeypatch):
    monkeypatch.setattr(zoo, "SHIPPED", tmp_path / "absent")
    assert zoo.list_models() == ()
    with pytest.raises(ModelError, match="none yet"):
        load_model("cells")


def test_every_model_in_the_package_loads_and_says_what_it_is():
    for name in zoo.list_models():
        assert load_model(name).weights
        card = read_card(name)
        assert card.target
        assert card.provenance.licence
        assert card.provenance.scores["test_dice"] > 0.5
        assert card.size_bytes < 8_000_000
