"""Predict all images of a folder into labels files, whatever happens to a single one."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

from ..config import PredictConfig
from ..engine import Engine, remove_shared_folders, shared_folder
from ..errors import DataError
from ..events import ImageEnd, PieceEnd, Run, TileEnd, as_run, is_unsure, never, told_of
from ..io.content import is_image_file
from ..io.disk import PASSING_LOCK, locked, remove_partial
from ..io.images import LABELS_MARK, ImageRef, Listing, list_images, without_labels
from ..io.regions.ome_zarr import is_zarr
from ..io.regions.ome_zarr_labels import labels_inside
from ..models.model import Model
from ..result import FailedFile, Result
from .file import ImageFile, Stopped, predict_file
from .pieces import IN_ORDER, Cut
from .predict import Predictor
from .spread import Spread, spread_files

SUFFIX, ZARR_SUFFIX = f"{LABELS_MARK}.tif", f"{LABELS_MARK}.ome.zarr"


@dataclass(frozen=True)
class PredictedFolder(Result):
    """What became of a folder: labels files written, those that were there before, and files that failed and why.

    `unsure` are the image files, predicted this time, where the model is not sure of which dataset they are, or a frame
    of them is. `notes` are what there is to know of the images, in sentences.
    """

    written: tuple[Path, ...]
    skipped: tuple[Path, ...]
    failed: tuple[FailedFile, ...]
    stopped: bool = False
    notes: tuple[str, ...] = ()
    unsure: tuple[Path, ...] = ()

    @property
    def headline(self) -> str:
        """How many files there are of each kind."""
        kept = " and were kept" if self.skipped else ""
        skipped = f"{len(self.skipped)} existed already{kept}"
        return f"{len(self.written)} written, {skipped}, {len(self.failed)} failed."

    @property
    def sentences(self) -> tuple[str, ...]:
        """What of the images was left out or is doubtful."""
        return self.notes


FolderEvent = TileEnd | PieceEnd | ImageEnd
_NO_FILE_TAKES_S = 3600


@as_run
def predict_files(
    model: Model,
    images: Path | str,
    out: Path | str | None,
    *,
    overwrite: bool = False,
    chunk: int | None = None,
    cluster: Engine | None = None,
    **settings: Any,
) -> Generator[FolderEvent, None, PredictedFolder]:
    """Write labels of a file or a folder of `images` into the folder `out`, as the command ``predict`` does.

    Parameters
    ----------
    out
        None writes the labels of OME-Zarr images into these, as ``labels/unet-finetune``.
    overwrite
        Predict again where labels exist.
    chunk
        Images larger than this are predicted in squares of so many pixels a side (default: 2,048 for images of more
        than 4,096 x 4,096), with the same labels in less memory.
    cluster
        Workers to share the work, which gives the same labels.
    settings
        Fields of a `PredictConfig`, such as ``instances=True``.

    Raises
    ------
    FinetuneError
        If the images, the folder, the device or the workers cannot be used; what is wrong with a single file is in the
        result.
    """
    predictor = Predictor(model, PredictConfig.given(None, settings))
    how = predictor if cluster is None else Spread(predictor, cluster)
    return (
        yield from predict_folder(
            Path(images), None if out is None else Path(out), how, overwrite=overwrite, cut=Cut(chunk)
        )
    )


def predict_folder(
    source: Path,
    out: Path | None,
    predictor: Predictor | Spread,
    *,
    overwrite: bool = False,
    cut: Cut = IN_ORDER,
    should_stop: Callable[[], bool] = never,
) -> Generator[FolderEvent, None, PredictedFolder]:
    """Write ``<name>_labels.tif`` into `out` for each image file in `source`; yield progress, return what happened.

    A stack becomes one stack of labels, predicted frame by frame. A file whose labels are there is skipped unless
    `overwrite`; a file that cannot be read or predicted is reported and the others go on. `out` may be `source`:
    labels written there before are then not taken for images, nor ever replaced. `should_stop` is asked before
    every batch of tiles; the file in work is then not written, but what is finished of it, frames of a stack or
    regions of a large image, is kept beside it, also when the process is killed, and the next prediction of the same
    folder goes on with that. Large images are predicted in pieces, as `cut` says, which gives the same labels in little
    memory. Labels of an OME-Zarr image are one; if `out` is None, they are written into the image. Work that is spread
    gives the same files; what is finished is then told in any order.

    Raises
    ------
    DataError
        If `source` holds no images, or, where there is no `out`, one into which no labels can be written; if `out`
        cannot be written to or another prediction writes there, if two images would get the same labels file, or if
        labels would replace a file of `source`.
    DeviceError
        If the device is absent or its memory does not hold a single tile.
    RunError
        If the work is spread and there are no workers any more.
    """
    listing = list_images(source)
    stacks = {path: tuple(frames) for path, frames in groupby(listing.images, key=lambda ref: ref.path)}
    if out is None:
        targets = {path: labels_inside(path) for path in stacks}
        out = source / "labels" if is_zarr(source) else source  # what only passes lies there
    else:
        targets = plan_labels_files(stacks, out, overwrite=overwrite)
    _make_folder(out)
    with locked(out, name=PASSING_LOCK, error=DataError):  # labels of two models side by side would look like one's
        remove_partial(out, older_than_s=_NO_FILE_TAKES_S)  # another program may write there too
        remove_shared_folders(out)
        files = [ImageFile(stacks[path], listing.headers[stacks[path][0]], target) for path, target in targets.items()]
        if isinstance(predictor, Spread):
            with shared_folder(out) as folder:
                spread = partial(
                    spread_files,
                    spread=predictor,
                    folder=folder,
                    cut=cut,
                    overwrite=overwrite,
                    should_stop=should_stop,
                )
                return (yield from _predict_spread(listing, files, spread, overwrite))
        predict = partial(predict_file, predictor=predictor, cut=cut, overwrite=overwrite, should_stop=should_stop)
        return (yield from _predict_files(listing, files, predict, overwrite))


def _predict_files(
    listing: Listing,
    files: Sequence[ImageFile],
    predict: Callable[[ImageFile], Generator[TileEnd | PieceEnd, None, ImageEnd | Stopped]],
    overwrite: bool,
) -> Generator[FolderEvent, None, PredictedFolder]:
    ends = [ImageEnd(path, error=reason) for path, reason in listing.unreadable]
    total = len(ends) + len(files)
    yield from _numbered(ends, total)
    for file in files:
        if not overwrite and is_image_file(file.target):
            end: ImageEnd | Stopped = ImageEnd(file.path, labels=file.target, skipped=True)
        else:
            end = yield from predict(file)
        if isinstance(end, Stopped):
            return _report(ends, (*listing.notes, *end.notes), stopped=True)
        ends.append(end)
        yield replace(end, done=len(ends), total=total)
    return _report(ends, listing.notes)


def _predict_spread(
    listing: Listing,
    files: Sequence[ImageFile],
    predict: Callable[[Sequence[ImageFile]], Generator[FolderEvent, None, Stopped | None]],
    overwrite: bool,
) -> Generator[FolderEvent, None, PredictedFolder]:
    """Predict all files that need it at the same time; the report has them in their order all the same."""
    there = {file.path: file.target for file in files if not overwrite and is_image_file(file.target)}
    ends = [ImageEnd(path, error=reason) for path, reason in listing.unreadable]
    ends += [ImageEnd(path, labels=target, skipped=True) for path, target in there.items()]
    total = len(listing.unreadable) + len(files)
    yield from _numbered(ends, total)
    events = Run(predict([file for file in files if file.path not in there]))
    for event in events:
        if isinstance(event, ImageEnd):
            ends.append(event)
            yield replace(event, done=len(ends), total=total)
        else:
            yield event
    place = {path: number for number, path in enumerate([*dict(listing.unreadable), *(file.path for file in files)])}
    ends.sort(key=lambda end: place[end.path])
    notes = events.result.notes if events.result else ()
    return _report(ends, (*listing.notes, *notes), stopped=events.result is not None)


def _numbered(ends: Sequence[ImageEnd], total: int) -> Iterator[ImageEnd]:
    return (replace(end, done=done, total=total) for done, end in enumerate(ends, start=1))


def plan_labels_files(
    stacks: dict[Path, tuple[ImageRef, ...]], out: Path, *, overwrite: bool = False
) -> dict[Path, Path]:
    """Return the labels file in `out` of each image file; labels files among the images themselves are left out.

    Raises
    ------
    DataError
        If two images would get the same labels file, or if labels would replace one of the files given.
    """
    images = {ref.path for ref in without_labels([frames[0] for frames in stacks.values()])}
    endings = {path: ZARR_SUFFIX if is_zarr(path) else SUFFIX for path in images}
    targets = {path: out / f"{frames[0].raw_stem}{endings[path]}" for path, frames in stacks.items() if path in images}
    inputs = {os.path.realpath(path): path for path in stacks}  # resolve() ends at a link that leads in a circle
    really = {path: os.path.realpath(target) for path, target in targets.items()}
    earlier = {inputs[target] for target in really.values() if target in inputs}
    if earlier and overwrite:
        raise DataError(f"{min(earlier)} would be replaced, but it is one of the images. Choose another output folder.")
    targets = {path: target for path, target in targets.items() if path not in earlier}
    _check_distinct(targets)
    return targets


def _check_distinct(targets: dict[Path, Path]) -> None:
    owners: dict[str, Path] = {}
    for path, target in targets.items():
        other = owners.setdefault(target.name.casefold(), path)  # some file systems do not tell case apart
        if other is not path:
            raise DataError(f"{other.name} and {path.name} would both be written to {target.name}. Rename one of them.")


def _make_folder(out: Path) -> None:
    """Find out before hours of work whether the results can be written."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{out}: the output folder cannot be made ({error.strerror}). Choose another one.") from error
    if not os.access(out, os.W_OK):
        raise DataError(f"{out}: the output folder is read-only. Choose another one.")


def _report(ends: Sequence[ImageEnd], notes: tuple[str, ...], *, stopped: bool = False) -> PredictedFolder:
    return PredictedFolder(
        written=tuple(end.labels for end in ends if end.labels and not end.skipped),
        skipped=tuple(end.labels for end in ends if end.labels and end.skipped),
        failed=tuple(FailedFile(end.path, end.error) for end in ends if end.error is not None),
        stopped=stopped,
        notes=(*notes, *told_of(ends)),
        unsure=tuple(end.path for end in ends if any(is_unsure(way) for way, _part in end.shown)),
    )
