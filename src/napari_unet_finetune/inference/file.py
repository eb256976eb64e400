"""Predict one image file: an image at once; a stack or a large image in parts that are kept once they are finished."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..config import PREDICTION_VERSION
from ..data.folders import open_unannotated, read_unannotated
from ..data.normalize import Sight
from ..errors import DataError, DeviceError, FinetuneError, lacks_memory
from ..events import ImageEnd, PieceEnd, Run, TileEnd, Ways, never
from ..io.disk import file_stamp
from ..io.images import ImageHeader, ImageRef, read_headers, write_labels
from ..io.regions.ome_zarr import is_zarr, zarr_stamp
from ..io.regions.ome_zarr_labels import write_zarr_labels
from ..io.regions.parts import Parts
from ..io.regions.region import InView, LazyImage, Region
from ..io.writing import write_label_pages, write_label_tiles
from .pieces import IN_ORDER, Cut, Pieces, side_of_chunks, tidied
from .postprocess import to_labels
from .predict import Predictor


@dataclass(frozen=True)
class ImageFile:
    """The images of a file, what its header says of the first, and the file that its labels go to."""

    frames: tuple[ImageRef, ...]
    header: ImageHeader
    target: Path

    @property
    def path(self) -> Path:
        """The file."""
        return self.frames[0].path

    @property
    def is_zarr(self) -> bool:
        """Tell whether it is a Zarr store, whose labels become one, too."""
        return is_zarr(self.path)


@dataclass(frozen=True)
class Stopped:
    """A prediction was stopped; `notes` say in sentences what of the file is kept."""

    notes: tuple[str, ...] = ()


_Outcome = Generator[TileEnd | PieceEnd, None, ImageEnd | Stopped]


def predict_file(
    file: ImageFile,
    predictor: Predictor,
    *,
    cut: Cut = IN_ORDER,
    overwrite: bool = False,
    should_stop: Callable[[], bool] = never,
) -> _Outcome:
    """Write the labels of a file; yield progress, return what became of it.

    Frames of a stack, and regions of a large image, are kept on disk as soon as they are finished, and an attempt that
    was killed goes on with them.

    Raises
    ------
    DeviceError
        If the device's memory does not hold a single tile.
    """
    try:
        if not is_in_parts(file, cut.chunk):
            return (yield from _predict_image(file, predictor, should_stop))
        return (yield from _predict_in_parts(file, predictor, cut, overwrite, should_stop))
    except DeviceError:
        raise  # no other file would fare better
    except FinetuneError as error:
        return ImageEnd(file.path, error=str(error))
    except (MemoryError, RuntimeError) as error:
        if not lacks_memory(error):
            raise
        return ImageEnd(file.path, error=f"{file.path.name} does not fit in memory. Cut it into smaller images.")


def _predict_image(file: ImageFile, predictor: Predictor, should_stop: Callable[[], bool]) -> _Outcome:
    prediction = yield from predictor.stream(read_unannotated(file.frames[0]), should_stop=should_stop)
    if prediction is None:
        return Stopped()
    write_labels(file.target, prediction.labels, scale=prediction.scale, unit=prediction.unit, overwrite=True)
    return ImageEnd(file.path, labels=file.target, shown=_ways([prediction.told]))


def is_in_parts(file: ImageFile, chunk: int | None) -> bool:
    """Tell whether a file is predicted in parts that are kept: a stack, a store, or what is large."""
    return file.frames[0].frame is not None or file.is_zarr or side_of_chunks(file.header.size, chunk) is not None


def begin_parts(file: ImageFile, predictor: Predictor, cut: Cut, *, anew: bool) -> list[Pieces]:
    """Return the pieces of each frame, those that an earlier attempt has left among them; `anew` as `Parts.begin`.

    Raises
    ------
    DataError
        If frames differ in size, or what is left was made otherwise.
    """
    if len({header.size for header in read_headers(file.path)}) > 1:
        raise DataError(f"{file.path.name}: its frames differ in size. Save them as files of their own.")
    side = side_of_chunks(file.header.size, cut.chunk)
    parts = Parts.begin(file.target, {**plan_of(file, predictor), "chunk": side}, anew=anew)
    in_view = {cut.first.frame: cut.first.region} if cut.first is not None else {}
    return [
        Pieces(parts, f"{place:06d}", file.header.size, side, first=in_view.get(place))
        for place in range(len(file.frames))
    ]


def _predict_in_parts(
    file: ImageFile,
    predictor: Predictor,
    cut: Cut,
    overwrite: bool,
    should_stop: Callable[[], bool],
) -> _Outcome:
    """Predict frame by frame and region by region; what is finished lies on disk, and only that in work in memory."""
    frames = begin_parts(file, predictor, cut, anew=overwrite)
    try:
        if not (yield from _predict_pieces(file, frames, predictor, cut, should_stop)):
            return as_stopped(file, frames)
    except FinetuneError:
        as_stopped(file, frames)  # where nothing is finished, nothing stays
        raise
    side = frames[0].side
    tidy = [(pieces, "") if side is None else tidied(pieces, predictor.config) for pieces in frames]
    _write(file, [labels for labels, _ in tidy], side)
    parts = frames[0].parts
    shown = _ways([parts.note(pieces.name(next(pieces.regions()))) for pieces in frames])
    parts.remove()
    notes = tuple(f"{file.path.name}: {note}." for note in dict.fromkeys(note for _, note in tidy) if note)
    return ImageEnd(file.path, labels=file.target, shown=shown, notes=notes)


def _ways(frames: Sequence[str]) -> Ways:
    """Return how a file was seen, from how each of its frames was, in words; nothing of those shown as they are."""
    total = len(frames)
    counts = sorted(Counter(frames).items())
    return tuple((way, "" if count == total else f"{count} of {total} frames") for way, count in counts if way)


def _predict_pieces(
    file: ImageFile, frames: Sequence[Pieces], predictor: Predictor, cut: Cut, should_stop: Callable[[], bool]
) -> Generator[TileEnd | PieceEnd, None, bool]:
    """Predict what of a file is not finished, what is in view first, and tell of all pieces; False if stopped before.

    Those that an earlier attempt has left are told of at once.
    """
    places = [(place, region) for place, pieces in enumerate(frames) for region in pieces.regions()]
    found = [(place, region) for place, region in places if frames[place].name(region) in frames[place].parts]
    for done, (place, region) in enumerate(found, start=1):
        yield _piece_end(file, frames, place, region, (done, len(places)))
    done = len(found)
    waiting = sorted(range(len(frames)), key=lambda place: frames[place].first is None)
    sights: dict[ImageRef, Sight] = {}  # all of a frame was read for it, which is not done again when it was left
    while waiting:
        view = cut.looked_at()
        place = view.frame if view is not None and view.frame in waiting else waiting[0]
        choose = partial(_choose, cut.looked_at, place, waiting)
        events = Run(_predict_frame(file.frames[place], frames[place], predictor, sights, choose, should_stop))
        for event in events:
            if isinstance(event, Region):
                done += 1
                yield _piece_end(file, frames, place, event, (done, len(places)))
            else:
                yield event
        if not events.result:
            return False
        if not frames[place].unfinished():
            waiting.remove(place)
    return True


_Choose = Callable[[list[Region]], Region | None]


def _choose(
    looked_at: Callable[[], InView | None], place: int, waiting: Sequence[int], todo: list[Region]
) -> Region | None:
    """Return which piece of the frame at a place comes next; None if another of those that wait is looked at."""
    view = looked_at()
    if view is None or view.frame not in waiting:
        return todo[0]
    return min(todo, key=view.region.distance) if view.frame == place else None


def _piece_end(
    file: ImageFile, frames: Sequence[Pieces], place: int, region: Region, counts: tuple[int, int]
) -> PieceEnd:
    kept = frames[place].parts.file(frames[place].name(region))
    return PieceEnd(file.path, kept, place, region.top, region.left, region.bottom, region.right, *counts)


def _predict_frame(
    ref: ImageRef,
    pieces: Pieces,
    predictor: Predictor,
    sights: dict[ImageRef, Sight],
    choose: _Choose,
    should_stop: Callable[[], bool],
) -> Generator[TileEnd | Region, None, bool]:
    """Predict what of a frame is not finished until `choose` leaves it, and yield each region that is then.

    Returns False if it is stopped before. What was measured on it is kept among the `sights`.
    """
    todo, count = pieces.unfinished(), sum(1 for _ in pieces.regions())
    if not todo:
        return True
    image = open_unannotated(ref)
    sight = sights[ref] = sights.get(ref) or predictor.measure(image)
    while todo and (region := choose(todo)) is not None:
        before = count - len(todo)
        todo.remove(region)
        tiles = Run(predict_region(image, pieces, region, sight, predictor, should_stop))
        for event in tiles:  # regions at the edge have fewer tiles, which does not matter to a bar
            yield TileEnd(before * event.total + event.done, count * event.total)
        if not tiles.result:
            return False
        yield region
    return True


def predict_region(
    image: LazyImage,
    pieces: Pieces,
    region: Region,
    sight: Sight,
    predictor: Predictor,
    should_stop: Callable[[], bool],
) -> Generator[TileEnd, None, bool]:
    """Predict one piece of a frame and keep it; False if it is stopped before. `sight` was measured on the frame."""
    probabilities = yield from predictor.stream_region(image, region, sight, should_stop=should_stop)
    if probabilities is None:
        return False
    if pieces.side is None:
        labels = to_labels(probabilities, predictor.threshold, predictor.config)
    else:
        labels = (probabilities > predictor.threshold).astype(np.uint8)
    pieces.parts.write(pieces.name(region), labels, note=predictor.how_told(sight))
    return True


def _write(file: ImageFile, frames: list[Pieces], side: int | None) -> None:
    """Write the labels of all frames into one file, a part at a time."""
    dtype = np.min_scalar_type(max(pieces.largest for pieces in frames))
    scale, unit, is_stack = file.header.scale, file.header.unit, file.frames[0].frame is not None
    if file.is_zarr:
        write_zarr_labels(file.target, frames, dtype, file.path)
    elif side is None:
        shape = (len(frames), *file.header.size)
        pages = (pieces.read(Region.whole(pieces.shape)) for pieces in frames)
        write_label_pages(file.target, pages, shape=shape, dtype=dtype, scale=scale, unit=unit)
    else:
        write_label_tiles(file.target, frames, is_stack=is_stack, dtype=dtype, scale=scale, unit=unit)


def as_stopped(file: ImageFile, frames: Sequence[Pieces]) -> Stopped:
    """Return what there is to know of a file whose prediction was stopped; parts without anything finished go."""
    what = "frames" if frames[0].side is None else "parts"
    finished = [pieces.name(region) in pieces.parts for pieces in frames for region in pieces.regions()]
    if not any(finished):
        frames[0].parts.remove()
        return Stopped()
    done = f"{sum(finished)} of its {len(finished)} {what} are finished and kept"
    return Stopped((f"{file.path.name}: {done}. The same prediction goes on with them.",))


def stamp_of(path: Path) -> Any:
    """Return what differs once a file or store has changed."""
    return zarr_stamp(path) if is_zarr(path) else file_stamp(path)


def plan_of(file: ImageFile, predictor: Predictor) -> dict[str, Any]:
    """Return all that the labels of a file depend on, as JSON."""
    how = predictor.config.model_dump(mode="json", exclude={"device", "batch_size", "threshold"})
    card = predictor.model.card.model_dump(mode="json", exclude={"provenance"})
    return {
        "program": PREDICTION_VERSION,
        "image": file.path.name,
        "image file": stamp_of(file.path),
        "model": predictor.model.identity,
        "model card": card,
        "threshold": predictor.threshold,
        "settings": how,
    }
