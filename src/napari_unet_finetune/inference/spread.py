"""Predict files on workers: parts of large ones side by side, small ones some at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any, Self

from ..config import PredictConfig
from ..data.folders import open_unannotated
from ..data.normalize import Sight
from ..engine import Engine, Piece
from ..errors import DeviceError, FinetuneError
from ..events import ImageEnd, Run, TileEnd, drain, never
from ..io.images import ImageRef
from ..io.regions.region import LazyImage, Region
from ..models.model import Model
from .file import ImageFile, Stopped, as_stopped, begin_parts, is_in_parts, predict_file, predict_region, stamp_of
from .pieces import IN_ORDER, Cut, Pieces
from .predict import Predictor

_ENOUGH_PX = 1024**2  # of small images for one piece of work: about a second


@dataclass(frozen=True)
class Spread:
    """A predictor whose work is carried out by an engine, where the device of its settings is looked for."""

    predictor: Predictor
    engine: Engine


@dataclass(frozen=True)
class _Task:
    """What all pieces of a prediction know: the model's file, and what was asked."""

    model: Path
    config: PredictConfig
    cut: Cut
    overwrite: bool

    @classmethod
    def of(cls, predictor: Predictor, folder: Path, *, cut: Cut, overwrite: bool) -> Self:
        """Write the model into a folder that all workers see; a network of another program is taken where it is."""
        file = folder / "model.safetensors"
        if isinstance(predictor.model, Model):
            predictor.model.save(file)
        else:
            assert predictor.source is not None, "a network of another program is loaded by `Predictor.of`"
            file = Path(predictor.source).absolute()
        return cls(file, predictor.config, cut, overwrite)

    def predictor(self) -> Predictor:
        """Return the model made ready; a process keeps the last one."""
        return _made_ready(self.model, self.config.model_dump_json())


@lru_cache(maxsize=1)
def _made_ready(model: Path, config: str) -> Predictor:
    return Predictor.of(model, PredictConfig.model_validate_json(config))


@lru_cache(maxsize=1)
def _opened(ref: ImageRef, _stamp: Any) -> LazyImage:
    """Return an image that may have to be read whole, for which a process that predicts its parts keeps the last."""
    return open_unannotated(ref)


def _open(ref: ImageRef) -> LazyImage:
    return _opened(ref, stamp_of(ref.path))


@dataclass(frozen=True)
class _Files:
    """Files, one after the other; of one that has parts, what is not finished of these."""

    files: tuple[ImageFile, ...]
    task: _Task

    @property
    def name(self) -> str:
        more = len(self.files) - 1
        return f"{self.files[0].path.name}{f' and {more} more' if more else ''}"

    def carry_out(self, should_stop: Callable[[], bool]) -> tuple[ImageEnd, ...]:
        """Write their labels, and return what became of those that were not stopped before."""
        ends, task = [], self.task
        for file in self.files:
            end = drain(
                predict_file(file, task.predictor(), cut=task.cut, overwrite=task.overwrite, should_stop=should_stop)
            )
            if isinstance(end, Stopped):
                break
            ends.append(end)
        return tuple(ends)


@dataclass(frozen=True)
class _Measure:
    """How a large frame is shown to the network, which is measured over all of it."""

    ref: ImageRef
    pieces: Pieces
    task: _Task

    @property
    def name(self) -> str:
        return f"{self.ref.name}, intensities"

    def carry_out(self, _should_stop: Callable[[], bool]) -> Sight | None:
        """Return it; None if it cannot be, which whoever predicts what is left of the file will say."""
        try:
            return self.task.predictor().measure(_open(self.ref))
        except DeviceError:
            raise  # no other file would fare better
        except FinetuneError:
            return None


@dataclass(frozen=True)
class _Regions:
    """Some regions of one frame whose `sight` was measured, or frames of a stack, each as a whole."""

    where: tuple[tuple[ImageRef, Pieces, Region], ...]
    sight: Sight | None
    task: _Task

    @property
    def name(self) -> str:
        ref, _, region = self.where[0]
        return f"{ref.name} at {region.top}, {region.left}"

    def carry_out(self, should_stop: Callable[[], bool]) -> int:
        """Keep what is not finished of them and return how many tiles the last one had; leave out what cannot be."""
        predictor, tiles = self.task.predictor(), 0
        for ref, pieces, region in self.where:
            if pieces.name(region) in pieces.parts:
                continue
            try:
                image = _open(ref)
                run = Run(
                    predict_region(
                        image, pieces, region, self.sight or predictor.measure(image), predictor, should_stop
                    )
                )
                tiles = max((event.total for event in run), default=0)
            except DeviceError:
                raise  # no other file would fare better
            except FinetuneError:
                continue
            if not run.result:
                break
        return tiles


class _InParts:
    """A file that is predicted in parts: what of it can be handed out, and at last the file itself.

    The last piece of work finds all parts on disk and makes the labels of them. A part that could not be made is tried
    again there, and whatever is wrong with it is said of the file.
    """

    def __init__(self, file: ImageFile, frames: Sequence[Pieces], task: _Task) -> None:
        self.file, self.frames = file, frames
        self._task = task
        self._todo = deque(self._begin())
        self._in_work = 0
        self._is_at_its_end = False
        self._total = sum(1 for pieces in frames for _ in pieces.regions())
        self._done = self._total - sum(len(pieces.unfinished()) for pieces in frames)

    def _begin(self) -> Iterator[Piece]:
        frames = list(zip(self.file.frames, self.frames, strict=True))
        if self.frames and self.frames[0].side is not None:
            yield from (_Measure(ref, pieces, self._task) for ref, pieces in frames if pieces.unfinished())
            return
        left = [(ref, pieces, region) for ref, pieces in frames for region in pieces.unfinished()]
        some = max(1, _ENOUGH_PX // prod(self.file.header.size))
        yield from (_Regions(tuple(left[at : at + some]), None, self._task) for at in range(0, len(left), some))

    def next(self) -> Piece | None:
        """Return a piece of work, None if there is none now."""
        if not self._todo and (self._in_work or self._is_at_its_end):
            return None
        self._in_work += 1
        if self._todo:
            return self._todo.popleft()
        self._is_at_its_end = True
        return _Files((self.file,), self._task)

    def take(self, piece: Piece, result: Any) -> TileEnd | None:
        """Take note of what came of a piece, and return how far the file is."""
        self._in_work -= 1
        if isinstance(piece, _Measure) and result is not None:
            regions = reversed(piece.pieces.unfinished())
            self._todo.extendleft(_Regions(((piece.ref, piece.pieces, one),), result, self._task) for one in regions)
        if not isinstance(piece, _Regions):
            return None
        self._done += len(piece.where)
        return TileEnd(self._done * result, self._total * result) if result else None


class _Board:
    """What of many files is to be handed out; those in parts that were begun come first."""

    def __init__(self, files: Sequence[ImageFile], task: _Task) -> None:
        self._files, self._task = deque(files), task
        self.in_parts: dict[Path, _InParts] = {}
        self._whose: dict[Piece, _InParts] = {}

    def next(self) -> Piece | None:
        """Return a piece of work, None if there is none now."""
        for one in self.in_parts.values():
            if (piece := one.next()) is not None:
                return self._of(one, piece)
        if not self._files:
            return None
        if not is_in_parts(self._files[0], self._task.cut.chunk):
            return _Files(tuple(self._small()), self._task)
        file = self._files.popleft()
        try:
            frames = begin_parts(file, self._task.predictor(), self._task.cut, anew=self._task.overwrite)
        except FinetuneError:
            return _Files((file,), self._task)  # which says why
        begun = self.in_parts[file.path] = _InParts(file, frames, self._task)
        piece = begun.next()
        assert piece is not None
        return self._of(begun, piece)

    def _of(self, one: _InParts, piece: Piece) -> Piece:
        self._whose[piece] = one
        return piece

    def _small(self) -> Iterator[ImageFile]:
        pixels = 0
        while self._files and pixels < _ENOUGH_PX and not is_in_parts(self._files[0], self._task.cut.chunk):
            pixels += prod(self._files[0].header.size)
            yield self._files.popleft()

    def take(self, piece: Piece, result: Any) -> Iterator[TileEnd | ImageEnd]:
        """Yield what there is to tell of a piece that is finished."""
        whose = self._whose.pop(piece, None)
        told = whose.take(piece, result) if whose is not None else None
        if told is not None:
            yield told
        if isinstance(piece, _Files):
            for end in result:
                self.in_parts.pop(end.path, None)
                yield end


def spread_files(
    files: Sequence[ImageFile],
    spread: Spread,
    folder: Path,
    *,
    cut: Cut = IN_ORDER,
    overwrite: bool = False,
    should_stop: Callable[[], bool] = never,
) -> Generator[TileEnd | ImageEnd, None, Stopped | None]:
    """Write the labels of files as `predict_file` does; yield what became of each, return what was stopped.

    `folder` is from `engine.shared_folder`.

    Raises
    ------
    DeviceError
        If a worker lacks the device, or its memory does not hold a single tile.
    RunError
        If the workers are gone.
    """
    known = {file.path.absolute(): file for file in files}
    task = _Task.of(spread.predictor, folder, cut=cut, overwrite=overwrite)
    board = _Board([_absolute(file) for file in files], task)
    is_left = set(known)
    for piece, result in spread.engine.finished(board.next, folder, should_stop=should_stop):
        for event in board.take(piece, result):
            if isinstance(event, ImageEnd):
                file = known[event.path]
                is_left.discard(event.path)
                yield replace(event, path=file.path, labels=event.labels and file.target)
            else:
                yield event
    if not is_left:
        return None
    begun = (as_stopped(one.file, one.frames) for one in board.in_parts.values())
    return Stopped(tuple(note for one in begun for note in one.notes))


def _absolute(file: ImageFile) -> ImageFile:
    frames = tuple(replace(ref, path=ref.path.absolute()) for ref in file.frames)
    return replace(file, frames=frames, target=file.target.absolute())
