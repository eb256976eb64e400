"""The page in a package: what the model is for, how to use it, what it was trained on, and how good it was."""

from __future__ import annotations

from collections.abc import Iterator

from ..config import ExportConfig
from ..models.card import ModelCard
from ..models.model import Model, weights_hash
from ..models.provenance import DISTRIBUTION
from ..text import count_of
from .recipe import Recipe

MODEL_FILE = "model.safetensors"  # the attachment: the model itself

_AT_HOME = (
    f"The attached {MODEL_FILE} is the model itself. {DISTRIBUTION} takes this package wherever it takes a model: to "
    "predict, to compare, and to finetune."
)
_PERCENTILES = f"Of an image whose percentiles are the same, {DISTRIBUTION} takes the lowest and the highest value."


def readme_of(model: Model, recipe: Recipe, config: ExportConfig) -> str:
    """Return the page, as Markdown."""
    card = model.card
    parts = {
        f"# {config.name or card.name or 'Attention U-Net'}": [description_of(card), *card.provenance.notes],
        "## Use": _bullets(_use(recipe, config)),
        "## What the description cannot say": _bullets(_beyond(card, recipe)),
        f"## In {DISTRIBUTION}": [_AT_HOME],
        "## Training": [
            training_of(card),
            _carried(model, config),
            f"SHA-256 of the weights: {weights_hash(model.weights)}.",
        ],
        "## Validation": list(_validation(card)),
        "## License and citation": list(_rights(card, config)),
    }
    return "\n\n".join(text for title, texts in parts.items() for text in (title, *filter(None, texts))) + "\n"


def description_of(card: ModelCard) -> str:
    """Return what the model is, in a sentence."""
    if not card.is_finetuned:
        return "An Attention U-Net that finds objects in two-dimensional images."
    parent = card.provenance.parent or "another model"
    images = count_of(card.image_count, "annotated image")
    return f"An Attention U-Net that finds objects in two-dimensional images, finetuned from {parent} with {images}."


def training_of(card: ModelCard) -> str:
    """Return what the model was trained on, in sentences."""
    about = card.provenance
    if not about.images:
        return "Its file does not tell what it was trained on."
    parent = ""
    if card.is_finetuned:
        parent = f" It was finetuned from {about.parent or 'a model without a name'} (weights {about.parent_sha256})."
    return f"Trained on {card.images_in_words}.{parent}"


def _carried(model: Model, config: ExportConfig) -> str:
    if not config.patches or not model.rehearsal:
        return ""
    return f"The attached model carries {len(model.rehearsal)} patches of its training images, for later trainings."


def _bullets(lines: Iterator[str]) -> list[str]:
    return ["\n".join(f"- {line}" for line in lines)]


def _use(recipe: Recipe, config: ExportConfig) -> Iterator[str]:
    tile, kept = recipe.tile, recipe.tile - 2 * recipe.halo
    yield f"Normalize the whole image, then cut it into tiles of {tile} × {tile} px."
    yield f"Of each result keep the middle {kept} × {kept} px: {recipe.halo} px on each side are halo."
    if config.mask:
        yield f"The result is 1 where the probability of an object is above {recipe.threshold:.3g}, else 0."
    else:
        yield f"The result is the probability of an object: above {recipe.threshold:.3g} it is one."


def _beyond(card: ModelCard, recipe: Recipe) -> Iterator[str]:
    yield from recipe.remarks
    if card.normalization.method == "percentile":
        yield _PERCENTILES


def _validation(card: ModelCard) -> Iterator[str]:
    scores = card.scores_in_words
    yield f"Dice: {', '.join(scores)}." if scores else "Its file tells no scores."
    yield (
        "To see how good it is on other images, annotate some that took no part in the training and compare with the "
        "results: `unet-finetune evaluate` gives Dice, boundary and object scores for each of them."
    )


def _rights(card: ModelCard, config: ExportConfig) -> Iterator[str]:
    about = card.provenance
    if config.authors:
        yield f"By {', '.join(config.author_names)}."
    stated = about.model_copy(update={"licence": config.license or about.licence})
    yield f"License: {stated.license_in_words}." if stated.license_in_words else "No license is stated."
    if about.citation_in_words:
        yield f"To cite: {about.citation_in_words.removesuffix('.')}."
