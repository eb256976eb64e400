"""Train the models that ship with the package, from data that the package generates: python tools/make_zoo.py."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from napari_unet_finetune.config import FinetuneConfig
from napari_unet_finetune.data.microtube import make_microtube
from napari_unet_finetune.evaluation.compare import evaluate
from napari_unet_finetune.events import drain
from napari_unet_finetune.models.checkpoint import save_checkpoint
from napari_unet_finetune.training.finetune import train

ZOO = Path(__file__).parents[1] / "src" / "napari_unet_finetune" / "zoo"
TEST_IMAGES = 6


def main() -> None:
    """Train on Dataset 1 of the sample data, all but its last images, and score on these."""
    images = make_microtube(1)
    # Half precision and few patches keep the file small.
    config = FinetuneConfig.from_preset("from scratch", steps=300, rehearsal_patches=64)
    checkpoint = drain(train(images[:-TEST_IMAGES], config)).checkpoint
    scores = [row.dice for row in evaluate(checkpoint, images[-TEST_IMAGES:], dataset=1)]
    test_dice = sum(scores) / len(scores)
    origin = checkpoint.provenance.model_copy(
        update={
            "name": "microtube",
            "licence": "BSD-3-Clause",
            "scores": {**checkpoint.provenance.scores, "test_dice": test_dice},
            "notes": (
                "Cells in a microtube, bright on a dark lumen: Dataset 1 of the generated sample data.",
                f"Mean Dice {test_dice:.3f} on {TEST_IMAGES} generated test images; for trying the program out only.",
            ),
        }
    )
    ZOO.mkdir(exist_ok=True)
    save_checkpoint(replace(checkpoint, provenance=origin), ZOO / "microtube.safetensors", half=True)
    print(f"microtube: Dice {test_dice:.4f} on {TEST_IMAGES} test images")


if __name__ == "__main__":
    main()
