"""Measure labels files against their images into one table, whatever happens to a single file."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from ..data.masks import read_labels, without_strokes
from ..data.painted import list_masks, meaning_of
from ..data.pairing import FilePair, Pair, pair_images
from ..errors import DataError
from ..events import ImageEnd, never
from ..io.disk import check_suffix, write_file
from ..io.images import ImagePixels, ImageRef, list_images, read_image
from ..result import FailedFile, Result
from ..text import count_of, path_in_words
from .objects import Measured, Place, measure, to_csv


@dataclass(frozen=True)
class MeasuredFiles(Result):
    """What became of labels files: the tables, how much is in them, and files that failed and why."""

    objects: int
    images: int
    tables: tuple[Path, ...]
    failed: tuple[FailedFile, ...] = ()
    stopped: bool = False

    @property
    def headline(self) -> str:
        """How much was measured, and where it is."""
        found = f"{count_of(self.objects, 'object')} in {count_of(self.images, 'image')}"
        where = f"written to {' and '.join(map(str, self.tables))}" if self.tables else "nothing is written"
        return f"{found}, {where}."


def pair_files(images: Path, labels: Path) -> tuple[tuple[FilePair, ...], tuple[FailedFile, ...]]:
    """Return which labels file belongs to which image file, by name, and the files left out, each with the reason.

    Raises
    ------
    DataError
        If a folder holds no images, or nothing belongs together.
    """
    found = list_images(images), list_masks(labels)
    pairing = pair_images(*found)
    pairs = dict.fromkeys(FilePair(pair.image.path, pair.mask.path) for pair in pairing.pairs)
    left_out = dict.fromkeys((one.ref.path, one.reason) for one in pairing.masks_without_image)
    unreadable = dict.fromkeys(problem for listing in found for problem in listing.unreadable)
    if not pairs:
        lain = f"No labels file in {path_in_words(labels)} belongs to an image in {path_in_words(images)}."
        raise DataError(f"{lain} Name them alike.")
    return tuple(pairs), tuple(FailedFile(*one) for one in (*unreadable, *left_out))


def measure_files(
    files: Iterable[FilePair], out: Path, *, overwrite: bool = False, should_stop: Callable[[], bool] = never
) -> Generator[ImageEnd, None, MeasuredFiles]:
    """Write one table of all objects to `out` and one of all images beside it; yield progress, return what happened.

    A file that cannot be read or does not fit is reported and the others go on; no table is written if all fail. If
    `should_stop` says yes, the tables hold what was measured until then.

    Raises
    ------
    DataError
        If a table exists already and `overwrite` is not set, or it cannot be written.
    """
    files, tables = tuple(files), (out, images_table(out))
    check_tables(tables, overwrite=overwrite)
    measured, failed, stopped = Measured(), list[FailedFile](), False
    for done, pair in enumerate(files, start=1):
        if stopped := should_stop():
            break
        error = None
        try:
            measured += sum(map(_measure, _frames(pair)), Measured())
        except DataError as problem:
            error = str(problem)
            failed.append(FailedFile(pair.labels, error))
        yield ImageEnd(pair.image, labels=pair.labels, error=error, done=done, total=len(files))
    written = () if failed and not measured.images else tables
    for table, rows in zip(written, (measured.objects, measured.images), strict=False):
        write_file(table, to_csv(rows))
    return MeasuredFiles(len(measured.objects), len(measured.images), written, tuple(failed), stopped)


def images_table(out: Path) -> Path:
    """Return where the table with one row per image goes if that of the objects goes to `out`."""
    return out.with_name(f"{out.stem}-images{out.suffix}")


def check_tables(tables: Iterable[Path], *, overwrite: bool) -> None:
    """Find out before the work whether the tables may be written.

    Raises
    ------
    DataError
        If one exists already and `overwrite` is not set, or is no CSV file by its name.
    """
    for table in tables:
        check_suffix(table, ".csv")
        if table.exists() and not overwrite:
            raise DataError(f"{table} exists already. Choose another name or allow it to be overwritten.")


def _frames(pair: FilePair) -> tuple[Pair, ...]:
    images, masks = list_images(pair.image).images, list_images(pair.labels).images
    if len(images) != len(masks):
        found = f"{pair.image.name} holds {len(images)} images but {pair.labels.name} {len(masks)}"
        raise DataError(f"{found}. Choose other labels.")
    return tuple(Pair(one, other) for one, other in zip(images, masks, strict=True))


def _measure(pair: Pair) -> Measured:
    image, mask = read_image(pair.image), read_image(pair.mask, as_labels=True)
    is_plain = mask.array.ndim == 2 and mask.array.dtype.kind in "bui"  # then every number is meant
    name, meaning = pair.mask.name, replace(meaning_of(pair.mask.path, sparse=False), sparse=False)
    labels = (
        without_strokes(mask.array, name, meaning)
        if is_plain
        else read_labels(mask.array, name=name, meaning=meaning).labels
    )
    return measure(labels, image.array, _place(pair.image, image))


def _place(ref: ImageRef, image: ImagePixels) -> Place:
    return Place(ref.stem, _frame(ref), image.scale, image.unit, image.channels)


def _frame(ref: ImageRef) -> str:
    return "" if ref.frame is None else str(ref.frame)
