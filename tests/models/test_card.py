"""A card tells of a model what its header says, without torch, and of a bad file what is wrong."""

import pytest
import torch

from napari_unet_finetune.config import Normalization
from napari_unet_finetune.data.appearance import Appearance
from napari_unet_finetune.errors import ModelError
from napari_unet_finetune.models.card import PAULOW_THRESHOLD, parse_card, read_card
from napari_unet_finetune.models.header import read_description
from napari_unet_finetune.models.load import load_model
from napari_unet_finetune.models.provenance import Provenance


def test_a_card_says_what_the_model_holds(tmp_path, small_model):
    file = tmp_path / "smallest.safetensors"
    small_model.save(file)
    card, loaded = read_card(file), load_model(file)
    assert card.plain == loaded.card == small_model.card
    assert (card.path, card.size_bytes) == (file, file.stat().st_size)
    assert card.facts.statistics == loaded.card.provenance.statistics


def test_a_model_that_ships_is_found_by_name_and_is_a_base():
    card = read_card("microtube")
    assert card.name == "microtube"
    assert not card.is_finetuned
    assert card.provenance.scores["test_dice"] > 0.9


def test_a_model_without_a_name_goes_by_its_file(tmp_path, small_model):
    unnamed = small_model.card.provenance.model_copy(update={"name": "", "parent_sha256": "0" * 64})
    small_model.with_card(provenance=unnamed).save(tmp_path / "lilac.safetensors")
    card = read_card(tmp_path / "lilac.safetensors")
    assert card.name == "lilac"
    assert card.is_finetuned


class TestTheLicense:
    """A finetuned model has none until its maker states one; that of its base stays said."""

    def described(self, small_model, tmp_path, **history):
        """Return the description of a model with this history, and that as older versions wrote it."""
        about = small_model.card.provenance.model_copy(update=history)
        file = tmp_path / "model.safetensors"
        small_model.with_card(provenance=about).save(file)
        description = read_description(file)
        older = dict(description["provenance"])
        for name in ("base_license", "base_citation"):
            del older[name]
        return file, description, description | {"provenance": older}

    def test_of_a_base_in_an_older_file_was_called_the_models_own(self, small_model, tmp_path):
        history = {"parent_sha256": "0" * 64, "licence": "MIT", "citation": "Somebody 2020"}
        file, new, older = self.described(small_model, tmp_path, **history)
        about = parse_card(file, older).provenance
        assert (about.licence, about.citation) == ("", "")
        assert about.license_in_words == "base model: MIT" and about.citation_in_words == "base model: Somebody 2020"
        assert parse_card(file, new).provenance.license_in_words == "MIT"  # its maker states it

    def test_of_a_base_model_is_its_own_in_any_file(self, small_model, tmp_path):
        file, *both = self.described(small_model, tmp_path, parent_sha256=None, licence="MIT", citation="")
        assert {parse_card(file, one).provenance.license_in_words for one in both} == {"MIT"}

    def test_and_that_of_the_base_are_both_said(self):
        about = Provenance(licence="CC-BY-4.0", base_license="MIT")
        assert about.license_in_words == "CC-BY-4.0; base model: MIT" and not about.citation_in_words


def test_a_paulow_file_gets_a_card_of_what_is_known_of_all_of_them(tmp_path):
    torch.save({"conv1.conv1.weight": torch.zeros(16, 1, 3, 3)}, tmp_path / "base.pth")
    card = read_card(tmp_path / "base.pth")
    assert card.is_foreign
    assert card.normalization == Normalization(method="none")
    assert card.threshold == PAULOW_THRESHOLD


def test_a_damaged_or_missing_file_is_a_sentence(tmp_path, small_model):
    file = tmp_path / "model.safetensors"
    small_model.save(file)
    whole = file.read_bytes()
    file.write_bytes(whole[:200])
    with pytest.raises(ModelError, match="only the beginning"):
        read_card(file)
    file.write_bytes(whole.replace(b"patch_size", b"patch_sise"))
    with pytest.raises(ModelError, match="patch_sise"):
        read_card(file)
    with pytest.raises(ModelError, match="does not exist"):
        read_card(tmp_path / "gone.safetensors")
    with pytest.raises(ModelError, match="no model called 'gone'"):
        read_card("gone")


PLAIN, TURNED = Appearance(), Appearance(inverted=(0,))


@pytest.mark.parametrize(
    ("knows", "of_the_oldest", "of_any"),
    [
        ((), False, False),
        ((PLAIN,), False, False),
        ((PLAIN, PLAIN), False, False),
        ((PLAIN, TURNED), True, True),
        ((PLAIN, TURNED, TURNED), True, False),  # those that are given may be of the second
        ((TURNED, PLAIN, TURNED), False, False),
    ],
)
def test_old_images_may_keep_their_weights_where_all_that_are_scored_are_shown_otherwise(
    small_model, knows, of_the_oldest, of_any
):
    card = small_model.with_card(knows=knows).card
    assert card.can_spare_old(are_given=False) is of_the_oldest
    assert card.can_spare_old(are_given=True) is of_any


def test_a_card_does_not_need_torch(loaded_by):
    code = "from napari_unet_finetune.models.card import read_card; assert read_card('microtube').name"
    assert "torch" not in loaded_by(code)
