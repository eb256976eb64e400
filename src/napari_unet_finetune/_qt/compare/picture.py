"""One image with its truth and what each model makes of it, as arrays ready to be shown."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ...io.images import ImageRef, read_image
from ...io.pixels import ImagePixels
from ...metrics import error_map
from ...project.project import Project
from ...text import number
from .controller import CompareController

_BRIGHT = 0.55  # of the range between the darkest and the brightest pixels


@dataclass(frozen=True, eq=False)
class Guess:
    """What one model makes of the image: (Y, X), above 0 is object; the title holds its score."""

    label: str
    color: str
    title: str
    labels: NDArray[Any]


@dataclass(frozen=True, eq=False)
class Picture:
    """An image, its truth (Y, X) if there is one, where that holds (None: everywhere), and the guesses."""

    name: str
    pixels: ImagePixels
    truth: NDArray[Any] | None
    annotated: NDArray[np.bool_] | None
    guesses: tuple[Guess, ...]

    def guess(self, label: str) -> Guess | None:
        """Return what the model called `label` makes of it, None if that failed or is not there yet."""
        return next((guess for guess in self.guesses if guess.label == label), None)

    def errors(self, label: str) -> NDArray[np.uint8] | None:
        """Return (Y, X): 0 right background, 1 right object, 2 false positive, 3 false negative; None without truth."""
        guess = self.guess(label)
        if guess is None or self.truth is None:
            return None
        return error_map(guess.labels, self.truth, self.annotated)

    @cached_property
    def is_bright(self) -> bool:
        """Tell whether dark lines show better on it than light ones."""
        array = self.pixels.array[..., ::4, ::4].astype(np.float32)
        low, high = np.percentile(array, (1, 99))
        return bool(np.median(array) > low + _BRIGHT * (high - low))


def read_picture(comparing: CompareController, project: Project, name: str) -> Picture:
    """Read an image, its mask and all labels that were predicted.

    Raises
    ------
    DataError
        If the image, its mask or a labels file cannot be read, or they differ in size.
    """
    image = project.annotated_image(name)
    guesses = []
    for column in comparing.columns:
        cell = comparing.cell(column.label, name)
        if cell is None or cell.labels is None:
            continue
        labels = read_image(ImageRef(cell.labels), as_labels=True).array
        if labels.shape != image.shape:
            raise DataError(f"{name} has changed in size since it was compared. Press Compare again.")
        score = "" if cell.dice is None else f"  Dice {number(cell.dice)}"
        guesses.append(Guess(column.label, column.color, f"{column.title}{score}", labels))
    pixels = ImagePixels(image.image, image.scale, image.unit)
    truth = None if image.labels is None else _numbered(image.labels)
    return Picture(name, pixels, truth, image.annotated, tuple(guesses))


def _numbered(labels: NDArray[Any]) -> NDArray[Any]:
    """Return labels as integers that napari takes."""
    return labels.astype(np.uint8) if labels.dtype == bool else labels
