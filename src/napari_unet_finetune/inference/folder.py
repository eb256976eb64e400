"""Predict all images of a folder into labels files, whatever happens to a single one."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.folders import read_unannotated
from ..device import is_out_of_memory
from ..errors import DataError, DeviceError, FinetuneError
from ..events import ImageEnd, TileEnd, never
from ..io.disk import is_file, remove_partial
from ..io.images import LABELS_MARK, ImageRef, list_images, without_labels, write_labels
from ..result import FailedFile, Result
from ..text import count_of, first_of
from .predict import Prediction, Predictor

SUFFIX = f"{LABELS_MARK}.tif"


@dataclass(frozen=True)
class PredictedFolder(Result):
    """What became of a folder: labels files written, those that were there before, and files that failed and why.

    `notes` are what there is to know of the images, in sentences.
    """

    written: tuple[Path, ...]
    skipped: tuple[Path, ...]
    failed: tuple[FailedFile, ...]
    stopped: bool = False
    notes: tuple[str, ...] = ()

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


FolderEvent = TileEnd | ImageEnd
_NO_FILE_TAKES_S = 3600
_Outcome = Generator[TileEnd, None, ImageEnd | None]


def predict_folder(
    source: Path, out: Path, predictor: Predictor, *, overwrite: bool = False, should_stop: Callable[[], bool] = never
) -> Generator[FolderEvent, None, PredictedFolder]:
    """Write ``<name>_labels.tif`` into `out` for each image file in `source`; yield progress, return what happened.

    A stack becomes one stack of labels, predicted frame by frame. A file whose labels are there is skipped unless
    `overwrite`; a file that cannot be read or predicted is reported and the others go on. `out` may be `source`:
    labels written there before are then not taken for images, nor ever replaced. `should_stop` is asked before
    every batch of tiles; the file in work is then not written.

    Raises
    ------
    DataError
        If `source` holds no images, if `out` cannot be written to, if two images would get the same labels file, or
        if labels would replace a file of `source`.
    DeviceError
        If the device's memory does not hold a single tile.
    """
    listing = list_images(source)
    stacks = {path: tuple(frames) for path, frames in groupby(listing.images, key=lambda ref: ref.path)}
    targets = plan_labels_files(stacks, out, overwrite=overwrite)
    _make_folder(out)
    remove_partial(out, older_than_s=_NO_FILE_TAKES_S)  # another prediction may write there too
    ends = [ImageEnd(path, error=reason) for path, reason in listing.unreadable]
    total = len(ends) + len(targets)
    yield from (replace(end, done=done, total=total) for done, end in enumerate(ends, start=1))
    for path, target in targets.items():
        if not overwrite and is_file(target):
            end: ImageEnd | None = ImageEnd(path, labels=target, skipped=True)
        else:
            end = yield from _predict_file(stacks[path], target, predictor, should_stop)
        if end is None:
            return _report(ends, listing.notes, stopped=True)
        ends.append(end)
        yield replace(end, done=len(ends), total=total)
    return _report(ends, listing.notes)


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
    targets = {path: out / f"{frames[0].raw_stem}{SUFFIX}" for path, frames in stacks.items() if path in images}
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


def _predict_file(
    frames: Sequence[ImageRef], target: Path, predictor: Predictor, should_stop: Callable[[], bool]
) -> _Outcome:
    path = frames[0].path
    try:
        predictions = []
        for ref in frames:
            prediction = yield from predictor.stream(read_unannotated(ref), should_stop=should_stop)
            if prediction is None:
                return None
            predictions.append(replace(prediction, probabilities=np.empty((0, 0), np.float32)))
        first = predictions[0]
        write_labels(target, _stack(frames, predictions), scale=first.scale, unit=first.unit, overwrite=True)
    except DeviceError:
        raise  # no other file would fare better
    except FinetuneError as error:
        return ImageEnd(path, error=str(error))
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not is_out_of_memory(error):
            raise
        return ImageEnd(path, error=f"{path.name} does not fit in memory. Cut it into smaller images.")
    shown = {one.appearance.in_words(predictor.channels) for one in predictions if one.appearance.inverted}
    return ImageEnd(path, labels=target, shown=", or ".join(sorted(shown)))


def _stack(frames: Sequence[ImageRef], predictions: Sequence[Prediction]) -> NDArray[np.unsignedinteger[Any]]:
    """Return labels (Y, X) of a single image, (T, Y, X) of a stack."""
    if frames[0].frame is None:
        return predictions[0].labels
    shapes = {prediction.labels.shape for prediction in predictions}
    if len(shapes) > 1:
        raise DataError(f"{frames[0].path.name}: its frames differ in size. Save them as files of their own.")
    stacked: NDArray[np.unsignedinteger[Any]] = np.stack([prediction.labels for prediction in predictions])
    return stacked


def _report(ends: Sequence[ImageEnd], notes: tuple[str, ...], *, stopped: bool = False) -> PredictedFolder:
    return PredictedFolder(
        written=tuple(end.labels for end in ends if end.labels and not end.skipped),
        skipped=tuple(end.labels for end in ends if end.labels and end.skipped),
        failed=tuple(FailedFile(end.path, end.error) for end in ends if end.error is not None),
        stopped=stopped,
        notes=(*notes, *_about_appearance(ends)),
    )


def _about_appearance(ends: Sequence[ImageEnd]) -> Iterator[str]:
    """Yield how images were shown to the model, if not as they are."""
    for shown in dict.fromkeys(end.shown for end in ends if end.shown):
        names = [end.path.stem for end in ends if end.shown == shown]
        yield f"The model saw {count_of(len(names), 'file')} {shown}: {first_of(names)}."
