"""The last comparison of a dataset, as far as labels and scores are kept and nothing they were made of has changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from ..errors import DataError, RunError
from ..events import ImageCompared
from ..project.project import Project, ProjectImage
from ..runs.request import CompareRequest, read_request
from .cache import HashedModel, KeptLabels, Source


@dataclass(frozen=True)
class LastComparison:
    """What is known without computing anything.

    Parameters
    ----------
    models, images
        The models as the request named them, and the images, in the order of that comparison. Those of which nothing
        is known are left out.
    cells
        What each model makes of each image, as far as that is known.
    outdated
        Images whose scores are left out, because their masks are others now.
    """

    models: tuple[str, ...]
    images: tuple[str, ...]
    cells: dict[tuple[str, str], ImageCompared]
    outdated: frozenset[str]


def read_last_comparison(job: Path, cache: Path, project: Project) -> LastComparison | None:
    """Return what is kept in the folder `cache` of the comparison that `job` asked for; None if that is nothing."""
    try:
        request = read_request(job)
    except RunError:
        return None
    if not isinstance(request, CompareRequest):
        return None
    names = [image.name for image in request.images if image.name in project.names]
    images = [project.image(name) for name in names]
    cells: dict[tuple[str, str], ImageCompared] = {}
    outdated = set()
    for model in request.models:
        for name, cell in _cells(model.model, request, images, cache):
            if cell is None:
                outdated.add(name)
            else:
                cells[model.model, name] = cell
    known_models, known_images = {model for model, _ in cells}, {name for _, name in cells} | outdated
    if not cells:
        return None
    return LastComparison(
        tuple(model.model for model in request.models if model.model in known_models),
        tuple(name for name in names if name in known_images),
        cells,
        frozenset(outdated),
    )


def _cells(
    model: str, request: CompareRequest, images: list[ProjectImage], cache: Path
) -> Iterator[tuple[str, ImageCompared | None]]:
    """Yield what is kept of a model for each image, None where the mask is another one than was scored with."""
    try:
        hashed = HashedModel.of(model)
    except DataError:  # it is gone, and its column with it
        return
    for image in images:
        kept = KeptLabels.find(cache, hashed, image.ref, request.config)
        note = kept.note
        if note is None or not kept.file.is_file():
            continue
        truth = None if image.pair is None else Source.of_mask(image.pair)
        if note.truth != truth:
            yield image.name, None
        else:
            scores = asdict(note.scores) if note.scores else {}
            yield image.name, ImageCompared(model, image.name, kept.file, **scores)
