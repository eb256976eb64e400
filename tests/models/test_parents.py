"""The parent of a finetuned model is found by its weights, wherever it lies and whatever it is called."""

import os
import shutil

import pytest
import torch

from napari_unet_finetune.models.card import read_card
from napari_unet_finetune.models.load import load_model
from napari_unet_finetune.models.model import weights_hash
from napari_unet_finetune.models.parents import find_parent


@pytest.fixture
def finetuned(tmp_path, small_model):
    """Return the card of a model that says it came from `base`, and files of that name and others."""
    base, other = tmp_path / "base.safetensors", tmp_path / "other.safetensors"
    small_model.save(base)
    changed = {name: tensor + 1 for name, tensor in small_model.weights.items()}
    type(small_model)(changed, small_model.card).save(other)
    about = small_model.card.provenance.model_copy(
        update={"parent": "base", "parent_sha256": weights_hash(small_model.weights)}
    )
    small_model.with_card(provenance=about).save(tmp_path / "tuned.safetensors")
    return read_card(tmp_path / "tuned.safetensors"), base, other


def test_a_parent_is_found_by_its_weights_though_it_was_renamed(finetuned, tmp_path):
    card, base, other = finetuned
    assert find_parent(card, [other, base]) == base
    moved = tmp_path / "elsewhere" / "wbc.safetensors"
    moved.parent.mkdir()
    shutil.move(base, moved)
    assert find_parent(card, [other, base, moved]) == moved


def test_another_model_under_the_name_of_the_parent_is_not_it(finetuned):
    card, base, other = finetuned
    shutil.move(other, base)
    assert find_parent(card, [base]) is None
    assert find_parent(card, []) is None


def test_a_model_in_half_precision_is_found_too(tmp_path):
    tuned = load_model("microtube")  # ships in half precision
    about = tuned.card.provenance.model_copy(update={"parent_sha256": weights_hash(tuned.weights)})
    tuned.with_card(provenance=about).save(tmp_path / "tuned.safetensors")
    found = find_parent(read_card(tmp_path / "tuned.safetensors"), ["nuclei-fluorescence", "microtube"])
    assert found is not None and found.stem == "microtube"


def test_a_damaged_file_is_no_parent_and_neither_is_a_newer_one_of_pytorch(finetuned, tmp_path):
    card, base, _ = finetuned
    base.write_bytes(base.read_bytes()[:3000])
    assert find_parent(card, [base, tmp_path / "none.safetensors"]) is None
    foreign = tmp_path / "base.pth"
    torch.save({"conv1.conv1.weight": torch.zeros(16, 1, 3, 3)}, foreign)
    os.utime(foreign, (0, 0))
    assert find_parent(card, [foreign]) == foreign
    os.utime(foreign, (2**32, 2**32))
    assert find_parent(card, [foreign]) is None


def test_no_torch_is_needed(finetuned, loaded_by):
    card, base, _ = finetuned
    code = "from napari_unet_finetune.models.card import read_card; "
    code += "from napari_unet_finetune.models.parents import find_parent; "
    code += f"assert find_parent(read_card({str(card.path)!r}), [{str(base)!r}])"
    assert "torch" not in loaded_by(code)
