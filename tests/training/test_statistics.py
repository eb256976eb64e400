"""A trained model knows what its images were like."""

from napari_unet_finetune.data.statistics import measure
from napari_unet_finetune.events import drain
from napari_unet_finetune.models.load import load_model
from napari_unet_finetune.training.finetune import train

from .conftest import TINY, make_squares, tiny_config


def test_statistics_of_all_annotated_images_travel_in_the_model_file(tmp_path):
    images = make_squares(4)
    model = drain(train(images, tiny_config(steps=2), shape=TINY)).model
    model.save(tmp_path / "model.safetensors")
    found = load_model(tmp_path / "model.safetensors").card.provenance.statistics
    assert found == measure(images, model.card.view)
    assert found.images == 4 and found.object_width_px is not None
