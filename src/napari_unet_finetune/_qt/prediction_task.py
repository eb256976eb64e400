"""Frames of a layer on their way to a model, through files."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..data.frames import write_frames
from ..models.card import find_model_file
from .layer_frames import frame_name, frames_of
from .prediction_layer import Index
from .stacks import Stack

if TYPE_CHECKING:
    from napari.layers import Image

_PLAIN_NAMES = ("model", "best")  # of files whose folder tells more


@dataclass
class Task:
    """Frames of a layer that are predicted with one model; `done` counts those that are."""

    source: Image
    stack: Stack
    indices: tuple[Index, ...]
    model: str
    folder: Path
    read: int = 0
    done: int = 0
    is_stopped: bool = False
    is_asked: bool = False
    files: tuple[Path, ...] = field(default=())

    @property
    def words(self) -> str:
        """How far it is."""
        count = len(self.indices)
        if not self.is_asked:
            if count == 1:
                return f"Reading {self.name(0)}"
            return f"Reading frame {min(self.read + 1, count)} of {count}"
        number = min(self.done, count - 1)
        return self.name(number) if count == 1 else f"{self.name(number)}, {number + 1} of {count}"

    @property
    def title(self) -> str:
        """What the user reads while it is under way."""
        if len(self.indices) == 1:
            return f"Predicting {self.name(0)}"
        return f"Predicting {len(self.indices)} frames of {self.stack.name}"

    def name(self, number: int) -> str:
        """Return what frame `number` of these is called."""
        return frame_name(self.stack.name, self.indices[number], self.stack.frames)


def model_label(model: str) -> str:
    """Return how to call a model in a sentence: its file, or the run that it came from."""
    path = Path(model)
    return path.parent.name if path.stem in _PLAIN_NAMES else path.stem


def output_name(model: str, runs: Iterable[Path]) -> str:
    """Return a name for the folder of what `model` predicts, which no other model has.

    Models that ship, and those of `runs`, are named well enough; of a file elsewhere there may be others so called.
    """
    file, label = find_model_file(model).absolute(), model_label(model)
    if file != Path(model).absolute() or file.parent in runs:
        return label
    return f"{label}-{hashlib.sha256(str(file).encode()).hexdigest()[:6]}"


def write_task(task: Task) -> Generator[int, None, tuple[Path, ...]]:
    """Write the frames of a task as files, one in memory at a time; yield how many are written, return the files."""
    stack = task.stack
    numbered = enumerate(frames_of(task.source, iter(task.indices)))
    frames = ((f"{number:06d}", frame.pixels, stack.pixel, stack.unit) for number, frame in numbered)
    paths: list[Path] = []
    for path in write_frames(frames, task.folder / "images"):
        paths.append(path)
        yield len(paths)
        if task.is_stopped:
            break
    return tuple(paths)
