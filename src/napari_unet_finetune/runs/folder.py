"""A run as a folder: what was asked, what happened, the best model, and the state to go on from."""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import psutil
import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from ..config import FinetuneConfig, ModelConfig
from ..data.atomic import atomic_write
from ..errors import RunError
from ..events import TrainingEvent, to_json
from ..models.checkpoint import Checkpoint, save_checkpoint
from ..training.state import TrainingState

REQUEST, EVENTS, LOG, LOCK = "request.json", "events.jsonl", "log.txt", "running.json"
STATE, BEST, RESULT = "state.pt", "best.safetensors", "model.safetensors"


class FinetuneRequest(BaseModel):
    """What a run is asked to do; all paths are absolute, so that it can be resumed from anywhere."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = 1
    task: Literal["train", "finetune"]
    images: Path
    masks: Path
    sparse: bool = False
    only: tuple[str, ...] | None = None  # names of the images to use; None takes all
    checkpoint: str | None = None
    model: ModelConfig | None = None
    base_images: Path | None = None
    base_masks: Path | None = None
    config: FinetuneConfig
    out: Path | None = None


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
        if (path / REQUEST).exists():
            raise RunError(f"{path}: this folder holds a run already. Choose another folder, or resume that run.")
        try:
            path.mkdir(parents=True, exist_ok=True)
            folder._write(REQUEST, request.model_dump_json(indent=2).encode())
        except OSError as error:
            raise RunError(f"{path}: the run folder cannot be written ({error.strerror}). Choose another one.") from error
        return folder

    @property
    def request(self) -> FinetuneRequest:
        """What was asked.

        Raises
        ------
        RunError
            If the folder holds no readable request.
        """
        file = self.path / REQUEST
        if not file.is_file():
            raise RunError(f"{self.path}: this is not the folder of a run, for it holds no {REQUEST}. Choose a run folder.")
        try:
            return FinetuneRequest.model_validate_json(file.read_bytes())
        except ValidationError as error:
            raise RunError(f"{file}: the request cannot be read ({error.errors()[0]['msg']}). Start a new run.") from error

    @property
    def result_path(self) -> Path:
        """Where the finished model lies."""
        return self.path / RESULT

    @property
    def best_path(self) -> Path:
        """Where the best model so far lies."""
        return self.path / BEST

    @property
    def is_finished(self) -> bool:
        """Tell whether the run has come to its end."""
        return self.result_path.is_file()

    def load_state(self) -> TrainingState | None:
        """Return the last state, or None at the start.

        Raises
        ------
        RunError
            If the file is damaged.
        """
        file = self.path / STATE
        if not file.is_file():
            return None
        try:
            fields: dict[str, Any] = torch.load(file, weights_only=True, map_location="cpu")
            return TrainingState(**fields)
        except Exception as error:  # torch.load raises many types for a damaged file
            raise RunError(f"{file}: the saved state cannot be read. Delete it to start this run again.") from error

    def save_state(self, state: TrainingState) -> None:
        """Keep `state`, all or nothing."""
        buffer = io.BytesIO()
        torch.save({"progress": state.progress, "trainer": state.trainer}, buffer)
        self._write(STATE, buffer.getvalue())

    def save_best(self, checkpoint: Checkpoint) -> None:
        """Keep the best model so far."""
        save_checkpoint(checkpoint, self.path / BEST)

    def save_result(self, checkpoint: Checkpoint) -> Path:
        """Keep the finished model and return its path."""
        save_checkpoint(checkpoint, self.result_path)
        return self.result_path

    def append(self, event: TrainingEvent) -> None:
        """Add `event` to the record of the run."""
        with (self.path / EVENTS).open("a", encoding="utf-8") as file:
            file.write(to_json(event) + "\n")

    def _write(self, name: str, content: bytes) -> None:
        try:
            atomic_write(self.path / name, lambda file: file.write(content))
        except OSError as error:
            raise RunError(
                f"{self.path / name}: the file cannot be written ({error.strerror}). Free some space or choose another folder."
            ) from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run, so that no second process works on it; the lock of a dead process is taken over.

        Raises
        ------
        RunError
            If another living process works on this run.
        """
        file = self.path / LOCK
        if (owner := _living_owner(file)) is not None:
            raise RunError(f"{self.path}: process {owner} is working on this run. Wait for it, or stop it first.")
        self._write(LOCK, json.dumps(_this_process()).encode())
        try:
            yield
        finally:
            file.unlink(missing_ok=True)


def _this_process() -> dict[str, float]:
    return {"pid": os.getpid(), "started": psutil.Process().create_time(), "locked": time.time()}


def _living_owner(file: Path) -> int | None:
    """Return the process that holds the lock, if it lives; a process id alone may have been given out again."""
    try:
        lock = json.loads(file.read_bytes())
        process = psutil.Process(int(lock["pid"]))
        lives = abs(process.create_time() - float(lock["started"])) < 1 and process.pid != os.getpid()
        return process.pid if lives else None
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):
        return None
