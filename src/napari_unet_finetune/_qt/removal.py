"""Masks that are removed are moved aside, and can come back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..data.project import Origin, Project


@dataclass(frozen=True)
class Removed:
    """A mask that was removed: moved to `file`, None if its file was gone already, so that it cannot come back."""

    name: str
    file: Path | None
    origin: Origin


def move_aside(project: Project, names: Iterable[str]) -> Iterator[Removed]:
    """Remove the masks of images one by one; raises `DataError` where that fails."""
    for image in map(project.image, names):
        if image.is_annotated:
            yield Removed(image.name, project.remove_labels(image.name), image.origin)


def bring_back(project: Project, removed: Iterable[Removed]) -> Iterator[str]:
    """Restore masks one by one, except where there is a new one meanwhile; raises `DataError` where that fails."""
    for one in removed:
        if one.file is not None and not project.image(one.name).is_annotated:
            project.restore_labels(one.name, one.file, one.origin)
            yield one.name
