"""Masks from elsewhere on their way in: written one by one, refused one by one, entered together."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass

from ..errors import DataError
from ..events import drain, never
from .pairing import Pair
from .project import Project
from .project_image import SavedMask

Taken = SavedMask | DataError
_REFUSED_SHOWN = 8


@dataclass(frozen=True)
class Imported:
    """What became of masks: the images that have got one, and a sentence per mask that was refused."""

    names: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """How many were imported and refused, and the first reasons."""
        shown = [f"• {sentence}" for sentence in self.refused[:_REFUSED_SHOWN]]
        more = len(self.refused) - len(shown)
        shown += [f"• and {more} more"] if more > 0 else []
        return f"{len(self.names)} imported, {len(self.refused)} refused:\n" + "\n".join(shown)


def take_masks(project: Project, pairs: Iterable[Pair]) -> Iterator[Taken]:
    """Write masks of `pairs` one by one, and yield each, or why it was refused."""
    for pair in pairs:
        try:
            yield project.write_imported(pair)
        except DataError as error:
            yield error


def collect(taken: Iterable[Taken], should_stop: Callable[[], bool]) -> Generator[int, None, tuple[Taken, ...]]:
    """Yield how many masks are taken so far, and return them, those until then if it was asked to stop."""
    done: list[Taken] = []
    for one in taken:
        done.append(one)
        yield len(done)
        if should_stop():
            break
    return tuple(done)


def enter_masks(project: Project, taken: Iterable[Taken]) -> Imported:
    """Enter the masks that were written; a painted mask was never among them."""
    taken = tuple(taken)
    written = [one for one in taken if isinstance(one, SavedMask)]
    refused = [str(one) for one in taken if isinstance(one, DataError)]
    try:
        if written:
            project.keep(*written)
    except DataError as error:
        refused.append(str(error))
    return Imported(tuple(mask.name for mask in written), tuple(refused))


def import_masks(project: Project, pairs: Iterable[Pair]) -> Imported:
    """Copy masks in, all that can be."""
    return enter_masks(project, drain(collect(take_masks(project, pairs), never)))
