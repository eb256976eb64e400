"""Measure labels files against their images into one table, whatever happens to a single file."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..data.masks import read_labels
from ..data.pairing import FilePair, Pair, pair_images
from ..errors import DataError
from ..events import ImageEnd, never
from ..io.disk import check_suffix, write_file
from ..io.images import ImageRef, list_images, read_image
from ..result import FailedFile, Result
from ..text import count_of
from .objects import Measured, MeasuredRow, Place, measure, to_csv


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
    found = list_images(images), list_images(labels)
    pairing = pair_images(*found)
    pairs = dict.fromkeys(FilePair(pair.image.path, pair.mask.path) for pair in pairing.pairs)
    left_out = dict.fromkeys((one.ref.path, one.reason) for one in pairing.masks_without_image)
    unreadable = dict.fromkeys(problem for listing in found for problem in listing.unreadable)
    if not pairs:
        raise DataError(f"No labels file in {labels} belongs to an image in {images}. Name them alike.")
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
    files = tuple(files)
    tables = (out, images_table(out))
    check_tables(tables, overwrite=overwrite)
    work, stopped = _Work(), False
    for done, (image, labels) in enumerate(((pair.image, pair.labels) for pair in files), start=1):
        if stopped := should_stop():
            break
        yield ImageEnd(image, labels=labels, error=work.add(image, labels), done=done, total=len(files))
    measured = work.measured
    if work.failed and not measured.images:
        return MeasuredFiles(0, 0, (), tuple(work.failed), stopped)
    write_tables(tables, measured)
    return MeasuredFiles(len(measured.objects), len(measured.images), tables, tuple(work.failed), stopped)


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


def write_tables(tables: tuple[Path, Path], measured: Measured) -> None:
    """Write the table of the objects and that of the images.

    Raises
    ------
    DataError
        If the disk does not take them.
    """
    for table, rows in zip(tables, (measured.objects, measured.images), strict=True):
        write_table(table, rows)


def write_table(table: Path, rows: Sequence[MeasuredRow]) -> None:
    """Write `rows` as CSV, whole or not at all.

    Raises
    ------
    DataError
        If the disk does not take it.
    """
    write_file(table, to_csv(rows))


@dataclass
class _Work:
    """What is measured so far, and what failed."""

    measured: Measured = field(default_factory=Measured)
    failed: list[FailedFile] = field(default_factory=list)

    def add(self, image: Path, labels: Path) -> str | None:
        """Measure one file and return what is wrong with it, if something is."""
        try:
            found = sum((_measure(pair) for pair in _frames(image, labels)), Measured())
        except DataError as error:
            self.failed.append(FailedFile(labels, str(error)))
            return str(error)
        self.measured += found
        return None


def _frames(image: Path, labels: Path) -> tuple[Pair, ...]:
    images, masks = list_images(image).images, list_images(labels).images
    if len(images) != len(masks):
        raise DataError(f"{image.name} holds {len(images)} images but {labels.name} {len(masks)}. Choose other labels.")
    return tuple(Pair(one, other) for one, other in zip(images, masks, strict=True))


def _measure(pair: Pair) -> Measured:
    image, mask = read_image(pair.image), read_image(pair.mask, as_labels=True)
    is_plain = mask.array.ndim == 2 and mask.array.dtype.kind in "bui"  # then every number is meant
    labels = mask.array if is_plain else read_labels(mask.array, name=pair.mask.name).labels
    return measure(labels, image.array, Place(pair.image.stem, _frame(pair.image), image.scale, image.unit))


def _frame(ref: ImageRef) -> str:
    return "" if ref.frame is None else str(ref.frame)
