"""What is visible with the image that is annotated: all that shows layers beside it, told of another one in turn."""

from __future__ import annotations

from enum import IntEnum
from typing import Protocol


class Place(IntEnum):
    """Who hears first that another image is shown; whoever comes later may look at the layers of those before."""

    IMAGE = 0  # the image and the layer to paint in, which are there before any other hears of it
    TRAINING = 1  # preview and first prediction of a training: those of the image, or none
    PREDICTION = 2  # what Predict made of another image is taken away
    COMPARISON = 3  # models on an image of the comparison, hidden to make room
    ERRORS = 4  # where a model was wrong on another image, taken away
    SIGHT = 5  # what the model sees, made anew


class Guest(Protocol):
    """Something that shows layers of its own."""

    def follow(self, name: str) -> None:
        """Show what belongs to the image called `name`, and take away what does not."""

    def clear(self) -> None:
        """Take everything away, for the dataset is another one."""


class Stage:
    """Tells the guests of one viewer, in the order of `Place`, what is shown."""

    def __init__(self) -> None:
        self._guests: list[tuple[Place, Guest]] = []

    def join(self, place: Place, guest: Guest) -> None:
        """Have `guest` told from now on."""
        self._guests = sorted([*self._guests, (place, guest)], key=lambda one: one[0])

    def leave(self, guest: Guest) -> None:
        """Tell `guest` no more; its layers stay as they are."""
        self._guests = [one for one in self._guests if one[1] is not guest]

    def follow(self, name: str) -> None:
        """Tell all that another image is shown, or that the layers of the same one were made anew."""
        for _, guest in self._guests:
            guest.follow(name)

    def clear(self) -> None:
        """Tell all that the dataset is another one, or none."""
        for _, guest in self._guests:
            guest.clear()
