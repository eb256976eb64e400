"""Sets of a dataset's images that models are compared on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..data.pairing import Pair
from ..runs.request import ComparedImage, ImageFile, PairFiles
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
    by_role = {role: [image for image in annotated if image.role == role] for role in ("test", "validation")}
    sets = [
        _set("test", "Test images", by_role["test"]),
        _set("validation", "Validation images", by_role["validation"]),
        _set("annotated", "All annotated images", annotated),
        _set("all", "All images", project.images),
        _set("bare", "Images without a mask", bare),
    ]
    if current is not None:
        sets.append(ImageSet("current", f"Current image: {current}", (current,)))
    return tuple(one for one in sets if one.names)


def _set(key: str, text: str, images: Sequence[ProjectImage]) -> ImageSet:
    return ImageSet(key, f"{text} ({len(images)})", tuple(image.name for image in images))


def _pairs(images: Sequence[ProjectImage]) -> list[Pair]:
    return [Pair(image.ref, ImageFile(path=image.mask).ref, image.origin) for image in images if image.mask]


def pair_of(image: ProjectImage) -> PairFiles | None:
    """Return image and mask as files, None without a mask."""
    return next((PairFiles.of(pair) for pair in _pairs([image])), None)


def compared_image(project: Project, name: str) -> ComparedImage:
    """Return an image of `project` as a comparison names it, with its mask if it has one."""
    image = project.image(name)
    pair = pair_of(image)
    return ComparedImage(name=name, image=ImageFile.of(image.ref), mask=pair and pair.mask)
