"""Look through images and masks before a training: what is there, how it was understood, what may go wrong."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..data.appearance import DIFFERS
from ..data.folders import Opened, open_unannotated, pair_folders
from ..data.pairing import LeftOver, Pair, Pairing
from ..data.statistics import DataStatistics, ModelFacts, Together
from ..errors import DataError
from ..events import ImageSeen, as_run
from ..io.images import ImageRef, list_images, read_headers, without_labels
from ..io.pixels import ImageHeader
from ..io.regions.region import is_large
from ..result import Offer, Result, ResultTable
from ..text import count_of, number, percent
from .advice import Unpaired, give_advice, name_doubts, name_problems, name_shared
from .against_training import DataComparison, compare
from .duplicates import Duplicate, Fingerprint, find_duplicates, find_shared
from .findings import ImageFindings, Look, look_at


@dataclass(frozen=True)
class Checkup(Result):
    """What was found in a folder of images and, if given, a folder of masks.

    Parameters
    ----------
    images
        One entry per pair or, without masks, per image.
    not_annotated
        Images without a mask, if there are masks.
    images_without_mask, masks_without_image
        What is left over, with the reason.
    unreadable
        Files that cannot be read, with the reason.
    duplicates
        Images that are there before, or nearly; each with the first that shows the same.
    shared_with_test
        Test images that are among the others, or nearly; each with the first that shows the same.
    mean_foreground
        Mean share of object pixels over all masks, ``None`` without masks.
    empty_masks
        Number of masks without any object.
    comparison
        How far the images are from the data of the model, ``None`` if no model was given.
    problems
        What keeps an image from being used as it is, in sentences.
    advice
        What may make a training worse than it need be, in sentences.
    doubts
        What is right only if the user says so, in sentences: pairs and meanings that were guessed, missing masks.
    """

    images: tuple[ImageFindings, ...]
    not_annotated: tuple[ImageFindings, ...]
    images_without_mask: tuple[Unpaired, ...]
    masks_without_image: tuple[Unpaired, ...]
    unreadable: tuple[Unpaired, ...]
    duplicates: tuple[Duplicate, ...]
    shared_with_test: tuple[Duplicate, ...]
    mean_foreground: float | None
    empty_masks: int
    comparison: DataComparison | None
    problems: tuple[str, ...]
    advice: tuple[str, ...]
    doubts: tuple[str, ...] = ()

    @property
    def headline(self) -> str:
        """Whether there is something to do."""
        compared, headline = self.comparison, ""
        if self.problems:
            headline = f"{count_of(len(self.problems), 'problem')} to fix before a training."
        elif self.doubts:
            headline = f"{count_of(len(self.doubts), 'question')} to settle before a training."
        elif self.advice:
            headline = f"Nothing is wrong; {count_of(len(self.advice), 'suggestion')}."
        if compared is None or not compared.is_different:
            return headline or "Your data are fine."
        differs = f"the images differ from those of {compared.model}."
        return f"{headline} T{differs[1:]}" if headline else f"Nothing is wrong by itself, but {differs}"

    @property
    def sentences(self) -> tuple[str, ...]:
        """Problems, doubts, advice, and what the distance to the model's data means."""
        return (*self.problems, *self.doubts, *self.advice, *(self.comparison.verdict if self.comparison else ()))

    @property
    def is_warning(self) -> bool:
        """Whether an image cannot be used as it is, or is used in a way that may be wrong."""
        return bool(self.problems or self.doubts)

    @property
    def table(self) -> ResultTable:
        """Numbers of these images beside those of the model's data."""
        compared = self.comparison
        objects = [one.objects for one in self.images if one.objects is not None]
        images, share, width, brightest = _cells(compared.base if compared else None)
        rows: tuple[tuple[str, ...], ...] = (
            ("images", str(len(self.images) + len(self.not_annotated)), images),
            ("with a mask", str(sum(one.mask is not None for one in self.images)), "–"),
            ("objects", str(sum(objects)) if objects else "–", "–"),
            ("share of objects", _percent(self.mean_foreground), share),
        )
        if compared is None:
            return ResultTable(("", "here"), tuple(row[:2] for row in rows))
        _, _, width_here, brightest_here = _cells(compared.new)
        rows += (
            ("width of objects, px", width_here, width),
            ("brightest, of full range", brightest_here, brightest),
            *compared.shifts,
        )
        note = f"* in brightness, after normalization: {DIFFERS:.2f} or more is much." if compared.shifts else ""
        return ResultTable(("", "here", compared.model), rows, note=note)

    @property
    def image_table(self) -> ResultTable:
        """What is there, image by image."""
        columns = ("image", "size", "type", "objects", "Ø px", "at edge", "mask")
        return ResultTable(
            columns, tuple(one.cells for one in self.images), of_images=True, title=count_of(len(self.images), "image")
        )

    @property
    def offers(self) -> tuple[Offer, ...]:
        """The factor that brings objects to the size of the model's."""
        setting = self.comparison.setting if self.comparison else None
        return (Offer("rescale", f"Set Rescale to {setting:g}", setting),) if setting else ()


@dataclass(frozen=True)
class CheckupSource:
    """What is looked through: pairs, images without a mask, and what cannot be used.

    `has_masks` is false if only images were given; `may_lack_masks` says that images without one are still to be
    annotated, which is no problem. `notes` are what there is to know of the files, in sentences.
    """

    pairing: Pairing
    unreadable: tuple[tuple[Path, str], ...] = ()
    has_masks: bool = True
    may_lack_masks: bool = False
    notes: tuple[str, ...] = ()

    @classmethod
    def of_folders(cls, images: Path, masks: Path | None, *, sparse: bool = False) -> CheckupSource:
        """List images and masks, which hold strokes if they are `sparse`, and pair them.

        Raises
        ------
        DataError
            If a folder is missing or holds no image.
        """
        if masks is not None:
            folder = pair_folders(images, masks, sparse=sparse)
            return cls(folder.pairing, folder.unreadable, notes=folder.told)
        found = list_images(images)
        alone = tuple(LeftOver(ref, "no masks were given") for ref in without_labels(found))
        return cls(Pairing((), images_without_mask=alone), found.unreadable, has_masks=False, notes=found.notes)


@as_run
def check(
    images: Path | str,
    masks: Path | str | None = None,
    *,
    sparse: bool = False,
    model: ModelFacts | None = None,
    test_images: Path | str | None = None,
) -> Generator[ImageSeen, None, Checkup]:
    """Look through the images and masks of two folders, one image in memory at a time.

    Parameters
    ----------
    images
        A folder or a stack file.
    masks
        The same for the masks, or the folder of the images again if it holds both; None looks at the images alone.
    sparse
        The masks hold strokes: 0 is not annotated, 1 background, 2 object.
    model
        What the card of a model says (`model.card.facts`), to whose data the images are compared.
    test_images
        Folder with images that are kept for the final score, to find those that are among the others too.

    Raises
    ------
    DataError
        If a folder is missing or holds no image. Whatever is wrong with single files is in the result.
    """
    source = CheckupSource.of_folders(Path(images), Path(masks) if masks else None, sparse=sparse)
    test = list_images(Path(test_images)).images if test_images else ()
    return (yield from check_images(source, model=model, test_images=test))


def check_images(
    source: CheckupSource,
    *,
    model: ModelFacts | None = None,
    test_images: Sequence[ImageRef] = (),
) -> Generator[ImageSeen, None, Checkup]:
    """Yield after each image and return what was found; see `check`.

    Where there are masks, a large image without one is not read: of large ones, only annotated regions are.
    """
    pairing, headers = source.pairing, lru_cache(1)(read_headers)  # frames of a file follow each other
    todo: list[tuple[ImageRef, Pair | None]] = [(pair.image, pair) for pair in pairing.pairs]
    todo += [(one.ref, None) for one in pairing.images_without_mask]
    known = len(todo)
    todo += [(ref, None) for ref in test_images]
    seen, test, opened = _Seen(), _Seen(), Opened(open_unannotated)
    for done, (ref, pair) in enumerate(todo, start=1):
        if done > known:
            test.note(look_at(ref, None, view=None, opened=opened))
        elif pair is not None or not (source.has_masks and _is_large(ref, headers)):
            seen.note(look_at(ref, pair, view=model.view if model else None, opened=opened))
        yield ImageSeen(pair.name if pair else ref.name, done, len(todo))
    return _summary(source, seen, test, model)


@dataclass(frozen=True, eq=False)
class _Seen:
    """What is kept of images that were looked at: of their statistics, which are large, only those of all together."""

    findings: list[ImageFindings] = field(default_factory=list)
    prints: list[Fingerprint] = field(default_factory=list)
    statistics: Together = field(default_factory=Together)

    def note(self, look: Look) -> None:
        self.findings.append(look.findings)
        if look.fingerprint is not None:
            self.prints.append(look.fingerprint)
        if look.statistics is not None:
            self.statistics.add(look.statistics)


def _is_large(ref: ImageRef, headers: Callable[[Path], Sequence[ImageHeader]]) -> bool:
    """Tell whether an image is large, as far as the header of its file tells."""
    with suppress(DataError, IndexError):  # said when it is read
        return is_large(headers(ref.path)[ref.frame or 0].size)
    return False


def _summary(source: CheckupSource, seen: _Seen, test: _Seen, model: ModelFacts | None) -> Checkup:
    findings = tuple(seen.findings)
    count = len(source.pairing.pairs) if source.has_masks else len(findings)
    images, not_annotated = findings[:count], findings[count:]
    shares = [one.foreground for one in images if one.foreground is not None]
    without_mask = _unpaired(source.pairing.images_without_mask) if source.has_masks else ()
    without_image = _unpaired(source.pairing.masks_without_image)
    unreadable = tuple(Unpaired(str(path), reason) for path, reason in source.unreadable)
    duplicates, shared = find_duplicates(seen.prints), find_shared(seen.prints, test.prints)
    missing = () if source.may_lack_masks else without_mask
    problems = name_problems((*findings, *test.findings), missing, without_image, unreadable)
    return Checkup(
        images=images,
        not_annotated=not_annotated,
        images_without_mask=without_mask,
        masks_without_image=without_image,
        unreadable=unreadable,
        duplicates=duplicates,
        shared_with_test=shared,
        mean_foreground=float(np.mean(shares)) if shares else None,
        empty_masks=sum(share == 0 for share in shares),
        comparison=compare(seen.statistics.combined, model) if model else None,
        problems=(*problems, *name_shared(shared)),
        advice=(*source.notes, *give_advice(images, not_annotated, duplicates)),
        doubts=name_doubts(images, missing),
    )


def _unpaired(rest: tuple[LeftOver, ...]) -> tuple[Unpaired, ...]:
    return tuple(Unpaired(one.ref.name, one.reason) for one in rest)


def _cells(of: DataStatistics | None) -> tuple[str, str, str, str]:
    """Return number of images, share and width of objects, and brightness for a table."""
    if of is None:
        return "–", "–", "–", "–"
    return str(of.images), _percent(of.foreground), number(of.object_width_px, 0), _percent(of.brightest)


def _percent(share: float | None) -> str:
    return "–" if share is None else percent(share)
