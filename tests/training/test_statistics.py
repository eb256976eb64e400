"""A trained model knows what its images were like."""

from napari_unet_finetune.data.statistics import measure
from napari_unet_finetune.events import drain
from napari_unet_finetune.models.checkpoint import load_checkpoint, save_checkpoint
from napari_unet_finetune.training.finetune import train

from .conftest import TINY, make_squares, tiny_config


def test_statistics_of_all_annotated_images_travel_in_the_model_file(tmp_path):
    images = make_squares(4)
    checkpoint = drain(train(images, tiny_config(steps=2), model=TINY)).checkpoint
    save_checkpoint(checkpoint, tmp_path / "model.safetensors")
    found = load_checkpoint(tmp_path / "model.safetensors").provenance.statistics
    assert found == measure(images, checkpoint.view)
    assert found.images == 4 and found.object_width_px is not None
