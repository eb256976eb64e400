"""Sets of a dataset's images that models are compared on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .project import Project, ProjectImage


@dataclass(frozen=True)
class ImageSet:
    """Images that are compared together."""

    key: str
    text: str
    names: tuple[str, ...]


def image_sets(project: Project, current: str | None = None) -> tuple[ImageSet, ...]:
    """Return the sets of images that can be chosen, the one to begin with first; sets without images are left out."""
    annotated = [image for image in project.images if image.is_annotated]
    bare = [image for image in project.images if not image.is_annotated]
    sets = [
        _set("test", "Test images", [image for image in annotated if image.role == "test"]),
        _set("validation", "Held-out images", [image for image in annotated if _is_held_out(image)]),
        _set("annotated", "All annotated images", annotated),
        _set("all", "All images", project.images),
        _set("bare", "Images that are not annotated", bare),
    ]
    if current is not None:
        sets.append(ImageSet("current", f"Current image: {current}", (current,)))
    return tuple(one for one in sets if one.names)


def _is_held_out(image: ProjectImage) -> bool:
    """Tell whether trainings hold an image out, because the user wants it or because they have chosen it."""
    return image.role == "validation" or (image.role == "auto" and image.used_as == "validation")


def _set(key: str, text: str, images: Sequence[ProjectImage]) -> ImageSet:
    return ImageSet(key, f"{text} ({len(images)})", tuple(image.name for image in images))
