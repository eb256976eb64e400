"""A run as a folder: what was asked, what happened, the best model, and the state to go on from."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from ..errors import RunError
from ..events import RunStarted, StepEnd, TrainingEvent, ValidationEnd, from_json, to_json
from ..io.disk import check_crc, file_stamp, locked, not_written, remove_partial, write_file
from ..models.names import MIX, mix_stem
from .request import FinetuneRequest, read_request, write_request

if TYPE_CHECKING:
    from ..models.model import Model
    from ..training.state import TrainingState


logger = logging.getLogger(__name__)

EVENTS, LOG = "events.jsonl", "log.txt"
STATE, BEST, RESULT = "state.pt", "best.safetensors", "model.safetensors"


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run; it is the `StateStore` of its training."""

    path: Path

    @classmethod
    def create(cls, path: Path, request: FinetuneRequest) -> Self:
        """Make the folder and keep `request` in it.

        Raises
        ------
        RunError
            If the folder holds a run already, or cannot be written.
        """
        folder = cls(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"{path}: the run folder cannot be made ({error.strerror}). Choose another one.") from error
        with folder.locked():
            if folder.has_begun:
                raise RunError(f"{path}: this folder holds a run already. Choose another folder, or resume that run.")
            write_request(path, request)
        return folder

    @property
    def has_begun(self) -> bool:
        """Tell whether there is anything to lose; a request alone, refused for its data, may be put again."""
        return any((self.path / name).exists() for name in (EVENTS, STATE, BEST, RESULT))

    @property
    def request(self) -> FinetuneRequest:
        """What was asked.

        Raises
        ------
        RunError
            If the folder holds no readable request.
        """
        request = read_request(self.path)
        if not isinstance(request, FinetuneRequest):
            raise RunError(f"{self.path}: this is not the folder of a training. Choose the folder of one.")
        return request

    @property
    def result_path(self) -> Path:
        """Where the finished model lies."""
        return self.path / RESULT

    @property
    def best_path(self) -> Path:
        """Where the best model so far lies."""
        return self.path / BEST

    @property
    def mixes(self) -> tuple[Path, ...]:
        """Models between its base and its own that the user kept, in the order of their names."""
        return tuple(sorted(self.path.glob(f"{MIX}*.safetensors")))

    def new_mix(self, share: float) -> Path:
        """Return a file that is not there yet for the model of a `share` of the way from its base to its own."""
        stem = mix_stem(share)
        names = (f"{stem}{mark}.safetensors" for mark in ("", *(f"-{number}" for number in range(2, 1000))))
        return next(file for name in names if not (file := self.path / name).exists())

    def mixes_of(self, model: Path) -> tuple[Path, ...]:
        """Return those of the mixes that were written after the run's `model`, the newest last."""
        written = {mix: file_stamp(mix)[1] for mix in self.mixes}
        return tuple(sorted((mix for mix in written if written[mix] >= file_stamp(model)[1]), key=written.__getitem__))

    @property
    def is_finished(self) -> bool:
        """Tell whether the run has come to its end."""
        return self.result_path.is_file()

    def load_state(self) -> TrainingState | None:
        """Return the last state, or None at the start.

        What is held out is known from the record of the run where an earlier version did not put it into the state.

        Raises
        ------
        RunError
            If the file is damaged.
        """
        import torch

        from ..training.state import TrainingState

        file = self.path / STATE
        if not file.is_file():
            return None
        try:
            check_crc(file)  # a flipped bit would go on as another training, in silence
            fields: dict[str, Any] = torch.load(file, weights_only=True, map_location="cpu")
            state = TrainingState(**fields)
        except Exception as error:  # torch.load raises many types for a damaged file
            raise RunError(f"{file}: the saved state cannot be read. Delete it to start this run again.") from error
        if state.progress.get("held_out") is None:
            for event in self.events():
                if isinstance(event, RunStarted):
                    state.progress["held_out"] = event.validation_images
        return state

    def save_state(self, state: TrainingState) -> None:
        """Keep `state`, all or nothing."""
        import torch

        buffer = io.BytesIO()
        torch.save({"progress": state.progress, "trainer": state.trainer}, buffer)
        self._write(STATE, buffer.getvalue())

    def save_best(self, model: Model) -> None:
        """Keep the best model so far."""
        model.save(self.path / BEST)

    def save_result(self, model: Model) -> Path:
        """Keep the finished model and return its path."""
        model.save(self.result_path)
        return self.result_path

    def append(self, event: TrainingEvent) -> None:
        """Add `event` to the record of the run.

        Raises
        ------
        RunError
            If the disk does not take it.
        """
        try:
            with (self.path / EVENTS).open("a", encoding="utf-8") as file:
                file.write(to_json(event) + "\n")
        except OSError as error:
            raise RunError(not_written(self.path / EVENTS, error)) from error

    def learned(self) -> Iterator[TrainingEvent]:
        """Yield again how the training has learned so far, for whoever watches it go on after an interruption."""
        return (one for one in self.events() if isinstance(one, RunStarted | StepEnd | ValidationEnd))

    def events(self) -> Iterator[TrainingEvent]:
        """Yield what is on record so far; a line that is still being written, or damaged, is left out."""
        file = self.path / EVENTS
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True) if file.is_file() else []
        for number, line in enumerate(lines, start=1):
            if line.endswith("\n"):
                try:
                    event = from_json(line)
                except ValueError as error:
                    logger.warning("%s, line %d is left out: %s.", file, number, error)
                else:
                    yield event

    def locked(self) -> AbstractContextManager[None]:
        """Hold the run, so that nobody else works on it; raises what `io.disk.locked` raises."""
        return locked(self.path)

    def sweep(self) -> None:
        """Remove what a killed process left half written; call it only while the run is locked."""
        remove_partial(self.path)
        file = self.path / EVENTS
        if file.is_file():
            whole = file.read_bytes().rfind(b"\n") + 1
            os.truncate(file, whole)

    def _write(self, name: str, content: bytes) -> None:
        write_file(self.path / name, content, error=RunError)
