"""Frames of a layer on their way to a model, through files."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...io.images import ImageRef
from ...io.writing import write_frames
from ..layers.frames import frame_name, frames_of
from ..layers.prediction import Index
from ..layers.stacks import Stack
from ..session.jobs import Job

if TYPE_CHECKING:
    from napari.layers import Image


@dataclass
class Task:
    """Frames of a layer that are predicted with one model; `done` counts those that are.

    `shown` says of those by name how the model saw them, as far as that is worth a word.
    """

    source: Image
    stack: Stack
    indices: tuple[Index, ...]
    model: str
    done: int = 0
    files: list[ImageRef] = field(default_factory=list)  # that were written for it
    shown: list[tuple[str, str]] = field(default_factory=list)

    @property
    def title(self) -> str:
        """What the user reads while it is under way."""
        if len(self.indices) == 1:
            return f"Predicting {self.name(0)}"
        return f"Predicting {len(self.indices)} frames of {self.stack.name}"

    def name(self, number: int) -> str:
        """Return what frame `number` of these is called."""
        return frame_name(self.stack.name, self.indices[number], self.stack.frames)


def write_task(task: Task, job: Job) -> Generator[str, None, list[ImageRef]]:
    """Write the frames of a task into the folder of its job, one in memory at a time; they may be on a slow disk."""
    stack, count = task.stack, len(task.indices)
    numbered = enumerate(frames_of(task.source, iter(task.indices)))
    frames = ((f"{number:06d}", frame.pixels, stack.pixel, stack.unit) for number, frame in numbered)
    yield f"Reading {task.name(0)}" if count == 1 else f"Reading frame 1 of {count}"
    for number, path in enumerate(write_frames(frames, job.folder / "images"), start=1):
        task.files.append(ImageRef(path))
        if job.is_stopping:
            break
        yield f"Reading frame {min(number + 1, count)} of {count}"
    return task.files
