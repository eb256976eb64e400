"""The record of a dataset that two windows may have open: each writes only what it has changed itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import Timeout

from ..data.masks import RECORD
from ..data.painted import LABELS, REMOVED
from ..errors import DataError
from ..io.disk import acquired_lock, file_identity, file_stamp, not_written, remove_partial
from .image import RegionUse, Use, joined_uses, strongest
from .record import OF_IMAGE, OF_MASK, ImageRecord, ProjectRecord, read_record, write_record

LOCK = "project.lock"
_LONGEST_WAIT_S = 20.0  # for another window; it holds the lock while it writes one file
Key = tuple[str, int | None]


class FolderGoneError(DataError):
    """The folder of a dataset is no longer where it was when it was opened."""


class _BusyError(DataError):
    """Another window, or a thread of this one, is writing."""


class SharedRecord:
    """What is on disk, and what of it came from others since it was last taken over here.

    Parameters
    ----------
    folder
        Of the project.
    found
        The record as it was read; ``None`` if there was none.
    ours
        The same as this window would write it.
    """

    def __init__(self, folder: Path, found: ProjectRecord | None, ours: ProjectRecord) -> None:
        self.folder = folder
        self.news: set[Key] = set()  # images that others have changed
        self.is_set_anew = False  # others have changed what holds for all images
        self._ours = ours
        self._on_disk = found
        self._is_swept = False
        self._stands_in = next(one for one in (folder, *folder.parents) if one.is_dir())
        self._seen = file_identity(folder / RECORD)
        self._look(anew=True)  # another window may have written since it was read

    @contextmanager
    def locked(self, wait_s: float = _LONGEST_WAIT_S) -> Iterator[None]:
        """Keep others from writing masks and record; the lock of a process that was killed is in nobody's way.

        Raises
        ------
        DataError
            If another window does not stop writing, the folder takes no files, or it is gone.
        """
        self.check_there()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._stands_in = self.folder
            lock = acquired_lock(self.folder / LOCK, wait_s)
        except Timeout:
            raise _BusyError(f"{self.folder}: another window is writing there. Wait for it, or close it.") from None
        except OSError as error:
            raise DataError(not_written(self.folder / LOCK, error)) from error
        try:
            self._sweep()
            yield
        finally:
            lock.release()

    def check_there(self) -> None:
        """Refuse to make a folder anew that was renamed or deleted while it was open.

        Raises
        ------
        FolderGoneError
            If it is gone.
        """
        if not self._stands_in.is_dir():
            raise FolderGoneError(
                f"{self._stands_in}: this folder is gone. Was it renamed or moved? Move it back to save here."
            )

    def write(self, ours: ProjectRecord) -> None:
        """Write what `ours` has changed into the record on disk.

        Raises
        ------
        DataError
            If the disk does not take it, or what others have written there cannot be read.
        """
        with self.locked():
            self._look()
            record = ours if self._on_disk is None else self._merged(ours, self._on_disk)
            write_record(self.folder, record)
            self._seen, self._on_disk, self._ours = file_identity(self.folder / RECORD), record, ours

    def look(self) -> ProjectRecord | None:
        """Return the record on disk, read again if others have written it, unless somebody is about to.

        Raises
        ------
        DataError
            If it cannot be read, or the folder is gone.
        """
        self.check_there()
        if file_identity(self.folder / RECORD) != self._seen:
            with suppress(_BusyError), self.locked(wait_s=0):
                self._look()
        return self._on_disk

    def take_over(self, ours: ProjectRecord, keys: set[Key]) -> None:
        """Count images as known, which are now in memory as they are in `ours`."""
        taken = {key: one for key, one in _by_key(ours).items() if key in keys}
        kept = {key: one for key, one in _by_key(self._ours).items() if key not in keys}
        of_all = {name: getattr(ours if self.is_set_anew else self._ours, name) for name in _OF_ALL}
        self._ours = self._ours.model_copy(update={"images": (*kept.values(), *taken.values()), **of_all})
        self.news -= keys
        self.is_set_anew = False

    def changed_here(self, ours: ProjectRecord) -> set[Key]:
        """Return the images with changes that are not written yet."""
        return _changed(_by_key(self._ours), _by_key(ours))

    def _look(self, *, anew: bool = False) -> None:
        now = file_identity(self.folder / RECORD)
        if now == self._seen and not anew:
            return
        found = read_record(self.folder)
        if found is not None and found != self._on_disk:
            before = {} if self._on_disk is None else _by_key(self._on_disk)
            images = _by_key(found)
            self.news |= _changed(before, images)
            self.is_set_anew |= any(getattr(found, name) != getattr(self._on_disk, name, None) for name in _OF_ALL)
        self._seen, self._on_disk = now, found

    def _sweep(self) -> None:
        """Remove, once, what killed windows left half written; nobody writes there while the lock is held."""
        if not self._is_swept:
            self._is_swept = True
            labels = self.folder / (self._ours.labels or LABELS)
            for folder in (self.folder, labels, labels / REMOVED):
                with suppress(OSError):
                    remove_partial(folder)

    def _merged(self, ours: ProjectRecord, theirs: ProjectRecord) -> ProjectRecord:
        if not self.news and not self.is_set_anew:
            return ours
        before, mine, other = _by_key(self._ours), _by_key(ours), _by_key(theirs)
        images = []
        for key in (*mine, *(key for key in other if key not in mine)):
            one = mine.get(key) if key not in self.news else self._with_changes(key, before, mine, other)
            if one is not None:
                images.append(one)
        others = [name for name in _OF_ALL if self.is_set_anew and getattr(ours, name) == getattr(self._ours, name)]
        return ours.model_copy(update={"images": tuple(images), **{name: getattr(theirs, name) for name in others}})

    def _with_changes(
        self, key: Key, before: dict[Key, ImageRecord], mine: dict[Key, ImageRecord], other: dict[Key, ImageRecord]
    ) -> ImageRecord | None:
        """Return what others have written of an image, with what was changed here."""
        known = next(images[key] for images in (mine, other, before) if key in images)
        plain = ImageRecord(file=known.file, frame=known.frame, name=known.name)
        was, ours, theirs = (images.get(key, plain) for images in (before, mine, other))
        values = {name: getattr(ours, name) for name in OF_IMAGE if getattr(ours, name) != getattr(was, name)}
        if not values.keys().isdisjoint(("used_as", "region_uses")):
            values |= _uses_of_both(was, ours, theirs)
        if _mask_of(ours) != _mask_of(was) and (_mask_of(theirs) == _mask_of(was) or not self._is_there(theirs)):
            values |= {name: getattr(ours, name) for name in OF_MASK}
        record = theirs.model_copy(update=values)
        return None if record == plain else record

    def _is_there(self, image: ImageRecord) -> bool:
        return image.mask is not None and file_stamp(self.folder / image.mask) == image.stamp


_OF_ALL = ("sparse", "channels")


def _uses_of_both(was: ImageRecord, ours: ImageRecord, theirs: ImageRecord) -> dict[str, Use | tuple[RegionUse, ...]]:
    """Return what an image was used for here and by others; what either has given up is given up."""
    given_up = set(was.region_uses).difference(ours.region_uses)
    kept = [one for one in theirs.region_uses if one not in given_up]
    regions = joined_uses(kept, (one for one in ours.region_uses if one not in was.region_uses))
    now = [one.used_as for one in (ours, theirs) if one.used_as != was.used_as] or [was.used_as]
    return {"used_as": strongest((*now, *(one.use for one in regions))), "region_uses": regions}


def _mask_of(image: ImageRecord) -> list[object]:
    return [getattr(image, name) for name in OF_MASK]


def _by_key(record: ProjectRecord) -> dict[Key, ImageRecord]:
    return {(image.file, image.frame): image for image in record.images}


def _changed(before: Mapping[Key, ImageRecord], after: Mapping[Key, ImageRecord]) -> set[Key]:
    return {key for key in {*before, *after} if before.get(key) != after.get(key)}
