"""Train the models that ship with the package, and write a card beside each.

python tools/make_zoo.py microtube                          # from data that the package generates
python tools/make_zoo.py nuclei-fluorescence --data FOLDER  # fluorescent nuclei of BBBC038: FOLDER/images, FOLDER/masks
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean

from napari_unet_finetune.config import AugmentConfig, FinetuneConfig
from napari_unet_finetune.data.annotated_image import AnnotatedImage
from napari_unet_finetune.data.folders import AnnotatedFolder, open_folder
from napari_unet_finetune.data.samples import make_microtube
from napari_unet_finetune.evaluation.evaluate import evaluate
from napari_unet_finetune.models.model import Model
from napari_unet_finetune.training.finetune import train

ZOO = Path(__file__).parents[1] / "src" / "napari_unet_finetune" / "zoo"
MICROTUBE_TEST_IMAGES = 6
# Image sizes that no training image has: other experiments. Of all other sizes every tenth image is held out.
UNSEEN_SIZES = {(512, 640), (260, 347), (256, 320)}
HELD_OUT_EVERY = 10
NUCLEI_AUGMENT = AugmentConfig(
    p_affine=0.6, scale_low=0.5, scale_high=2.0, p_gamma=0.6, p_brightness=0.4, p_contrast=0.4, p_noise=0.4,
    p_blur=0.3, p_low_resolution=0.3, p_invert=0.3, p_objects=0,
)  # fmt: skip
NUCLEI_CONFIG = FinetuneConfig(
    preset="from scratch",
    steps=2500,
    warmup_steps=100,
    weight_average=0.99,
    validate_every=250,
    validation_share=0.1,
    rehearsal_patches=0,  # no image content of anyone ships
    augment=NUCLEI_AUGMENT,
)
BBBC038 = (
    'Caicedo JC et al., "Nucleus segmentation across imaging experiments: the 2018 Data Science Bowl", Nature Methods '
    "16, 1247-1253 (2019); image set BBBC038v1, Broad Bioimage Benchmark Collection"
)


@dataclass(frozen=True)
class Card:
    """What is said of a model, in its file and in the page beside it."""

    name: str
    target: str
    data: str
    licence: str
    citation: str
    limits: str
    command: str


NUCLEI = Card(
    name="nuclei-fluorescence",
    target="Nuclei in fluorescence images: one gray channel, bright on dark.",
    data="Fluorescence images of BBBC038 (2018 Data Science Bowl), CC0 1.0, with corrected masks.",
    licence="BSD-3-Clause, data CC0-1.0",
    citation=BBBC038,
    limits="A starting point for finetuning: brightfield and stained tissue need it, and touching nuclei are not "
    "separated. It carries no patches of its training images, so what finetuning makes it forget is measured only "
    "if old images are given. Crops of one field may lie on both sides of the split, so the score on sizes trained on "
    "is rather too good; that on other sizes is the one to expect.",
    command="python tools/make_zoo.py nuclei-fluorescence --data FOLDER",
)
MICROTUBE = Card(
    name="microtube",
    target="Cells in a microtube, bright on a dark lumen: Dataset 1 of the generated sample data.",
    data="Images that this package generates.",
    licence="BSD-3-Clause",
    citation="",
    limits="For trying the program out only.",
    command="python tools/make_zoo.py microtube",
)


def main() -> None:
    """Train one model, score it on images it has not seen, and write model and card."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=[MICROTUBE.name, NUCLEI.name])
    parser.add_argument("--data", type=Path, help="folder with images and masks of nuclei")
    options = parser.parse_args()
    if options.name == MICROTUBE.name:
        make_microtube_model()
    elif options.data is None:
        parser.error(f"{options.name} needs --data")
    else:
        make_nuclei_model(options.data)


def make_microtube_model() -> None:
    """Train on Dataset 1 of the sample data, all but its last images, and score on these."""
    images = make_microtube(1)
    preset = FinetuneConfig(preset="from scratch", steps=300, rehearsal_patches=64)
    # Inverted patches, so that the base sees a part of the sample's new images as they are.
    augment = preset.augment.model_copy(update={"p_invert": 0.3, "p_objects": 0.0})
    config = preset.model_copy(update={"augment": augment})
    model = train(images[:-MICROTUBE_TEST_IMAGES], config).result.model
    ship(model, MICROTUBE, {"generated": images[-MICROTUBE_TEST_IMAGES:]})


def make_nuclei_model(data: Path) -> None:
    """Train on nuclei of BBBC038, with whole experiments and every tenth of the other images held out."""
    folder = open_folder(data / "images", data / "masks")
    training, unseen, seen = split_by_size(folder)
    model = train(folder.only(training), NUCLEI_CONFIG).result.model
    ship(model, NUCLEI, nuclei_tests(folder, unseen, seen))


def nuclei_tests(
    folder: AnnotatedFolder, unseen: Sequence[str], seen: Sequence[str]
) -> dict[str, Sequence[AnnotatedImage]]:
    """Return the held-out images by what they are called on the card."""
    return {"sizes not trained on": folder.only(unseen), "sizes trained on": folder.only(seen)}


def split_by_size(folder: AnnotatedFolder) -> tuple[list[str], list[str], list[str]]:
    """Return names of images to train on, held-out ones of sizes not trained on, and held-out ones of the others."""
    by_size: dict[tuple[int, ...], list[str]] = defaultdict(list)
    for image in folder:
        by_size[image.image.shape[-2:]].append(image.name)
    unseen = [name for size in UNSEEN_SIZES for name in by_size[size]]
    seen = [
        name
        for size, names in by_size.items()
        if size not in UNSEEN_SIZES
        for name in names[HELD_OUT_EVERY - 1 :: HELD_OUT_EVERY]
    ]
    held_out = {*unseen, *seen}
    return [name for name in folder.names if name not in held_out], sorted(unseen), sorted(seen)


def ship(model: Model, card: Card, tests: Mapping[str, Sequence[AnnotatedImage]]) -> None:
    """Write the model in half precision, with its card, and score it as it was written."""
    path = ZOO / f"{card.name}.safetensors"
    ZOO.mkdir(exist_ok=True)
    rounded = {name: tensor.half().float() for name, tensor in model.weights.items()}
    scores = {
        f"test_dice of {len(images)} images, {kind}": [row.dice for row in evaluate(as_written, images, dataset=1)]
        for as_written in (replace(model, weights=rounded),)
        for kind, images in tests.items()
    }
    test_dice = mean(dice for values in scores.values() for dice in values)
    means = {name: mean(values) for name, values in scores.items()}
    origin = model.card.provenance.model_copy(
        update={
            "name": card.name,
            "licence": card.licence,
            "citation": card.citation,
            "scores": {
                **model.card.provenance.scores,
                "test_dice": test_dice,
                **(means if len(means) > 1 else {}),  # of a single kind, the mean is all there is
            },
            "notes": (card.target, card.data, card.limits, f"Made by: {card.command}"),
        }
    )
    model.with_card(provenance=origin).save(path, half=True)
    path.with_suffix(".md").write_text(card_page(card, means, test_dice), encoding="utf-8")
    print(f"{card.name}: Dice {test_dice:.4f}, {path.stat().st_size / 1e6:.1f} MB")


def card_page(card: Card, means: Mapping[str, float], test_dice: float) -> str:
    """Return the model card as Markdown."""
    scores = "".join(f"| {name.removeprefix('test_dice of ')} | {value:.3f} |\n" for name, value in means.items())
    citation = f"Cite: {card.citation}\n\n" if card.citation else ""
    return (
        f"# {card.name}\n\n{card.target}\n\n"
        f"Data: {card.data}\n\nLicense of the weights: {card.licence}\n\n{citation}"
        f"Limits: {card.limits}\n\nMade by `{card.command}`.\n\n"
        f"| held-out images | mean Dice |\n|---|---|\n{scores}| all | {test_dice:.3f} |\n"
    )


if __name__ == "__main__":
    main()
