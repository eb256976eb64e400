"""Masks that are removed are moved aside, and can come back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..data.project import Origin, Project


@dataclass(frozen=True)
class Removed:
    """A mask that was moved aside."""

    name: str
    file: Path
    origin: Origin


def move_aside(project: Project, names: Iterable[str]) -> Iterator[Removed]:
    """Remove the masks of images one by one; raises `DataError` where that fails."""
    for image in map(project.image, names):
        if image.is_annotated and (file := project.remove_labels(image.name)):
            yield Removed(image.name, file, image.origin)


def bring_back(project: Project, removed: Iterable[Removed]) -> Iterator[str]:
    """Restore masks one by one, except where there is a new one meanwhile; raises `DataError` where that fails."""
    for one in removed:
        if not project.image(one.name).is_annotated:
            project.restore_labels(one.name, one.file, one.origin)
            yield one.name
