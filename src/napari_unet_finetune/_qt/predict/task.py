"""Frames of a layer on their way to a model, through files."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ...io.writing import write_frames
from ..layers.frames import frame_name, frames_of
from ..layers.prediction import Index
from ..layers.stacks import Stack

if TYPE_CHECKING:
    from napari.layers import Image


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
