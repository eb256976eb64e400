"""Where work is spread: pieces of it go to the workers of a Dask cluster, and come back finished in any order."""

from __future__ import annotations

import logging
import os
import pickle
import secrets
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol, Self

from .errors import FinetuneError, RunError
from .events import never

INSTALL = 'pip install "napari-unet-finetune[cluster]"'
_DISTRIBUTION = "napari-unet-finetune"
_SHARED, _AT_WORK = ".spread-", "at-work"
_WINDOW = 4  # pieces that are handed out at a time for each worker: their number is bounded, and no worker waits
_LEAST_HANDED_OUT = 16  # a cluster that grows with its work must see some
_LOG = logging.getLogger(__name__)
_LOOK_S = 1.0
_CONNECTION_S, _RESTART_S = 30, 60
_SILENCE_S = 5  # without workers, before that is said
_OF_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_RETRIES = 3  # of what failed for another reason than one that a user can put right


class Piece(Protocol):
    """Part of some work that any process can do by itself: a small value that names its files by absolute paths."""

    @property
    def name(self) -> str:
        """How messages call it; no other piece of the same work is called so."""

    def carry_out(self, should_stop: Callable[[], bool]) -> Any:
        """Do it, as far as it gets before `should_stop` says yes; what is finished is on disk."""


class Engine(Protocol):
    """Has pieces of work carried out, wherever that is."""

    def finished(
        self, next_piece: Callable[[], Piece | None], folder: Path, *, should_stop: Callable[[], bool] = never
    ) -> Iterator[tuple[Piece, Any]]:
        """Yield each piece with what `carry_out` returned, in the order in which they are finished.

        Parameters
        ----------
        next_piece
            Returns a piece that can be carried out now, None if there is none; it is asked again whenever a piece is
            finished, upon which others may have become possible.
        folder
            From `shared_folder`; pieces stop once its mark or all of it is gone.
        should_stop
            Asked once a second. Pieces in work are then told to stop and still yielded; no other is begun.

        Raises
        ------
        FinetuneError
            What a piece could not do.
        RunError
            If there are no workers that can do it any more.
        """


@contextmanager
def shared_folder(out: Path) -> Iterator[Path]:
    """Yield a hidden folder in `out` for what all pieces need; call it while `out` is locked.

    Workers look whether a mark in it is still there and stop when it is not. The folder of a program that was killed is
    removed first, so that what its workers are still busy with ends too.

    Raises
    ------
    RunError
        If it cannot be made.
    """
    remove_shared_folders(out)
    folder = out.absolute() / f"{_SHARED}{secrets.token_hex(8)}"
    try:
        folder.mkdir(parents=True)
        (folder / _AT_WORK).touch()
    except OSError as error:
        raise RunError(f"{out}: the folder cannot be written ({error.strerror}). Choose another one.") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_shared_folders(out: Path) -> None:
    """Stop workers that are still busy for a program that was killed; call it while `out` is locked."""
    for folder in out.glob(f"{_SHARED}*"):
        shutil.rmtree(folder, ignore_errors=True)


class Cluster:
    """Workers of a Dask cluster as an `Engine`; use it in a ``with`` statement.

    Workers must see the files under the same paths as this program, and have the same version of it. Those on this
    computer share its cores, unless OMP_NUM_THREADS says how many each takes. A worker that has several threads does
    one piece at a time.

    Parameters
    ----------
    workers
        Number of worker processes to start on this computer.
    scheduler
        Instead: address of a scheduler that is running (``tcp://host:8786``), or the file in which it wrote it.
    tell
        Called with a sentence where a scheduler has no workers, which are waited for; a line of the log if not given.

    Raises
    ------
    RunError
        If Dask is not installed, or there is no such scheduler.
    """

    def __init__(
        self,
        workers: int | None = None,
        scheduler: str | None = None,
        *,
        tell: Callable[[str], object] = _LOG.warning,
    ) -> None:
        if (workers is None) == (scheduler is None):
            raise ValueError("Give a number of workers, or a scheduler, and not both.")
        self._distributed = _load_distributed()
        for name in ("distributed", "distributed.client"):  # what they would tell of lost connections is an error here
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._cluster: Any = None
        self._tell, self._is_told = tell, False
        self.scheduler = scheduler or ""
        self._seen = time.monotonic()  # when there were workers
        self.client = self._begin(workers) if workers is not None else self._connect(self.scheduler)

    def _begin(self, workers: int) -> Any:
        threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, _cores() // workers))
        before = {name: os.environ.get(name) for name in _OF_THREADS}
        with _interrupts_ignored():  # by the workers: this program hears Ctrl-C and lets them end what they are at
            self._cluster = self._distributed.LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                dashboard_address=None,
                memory_limit=0,  # with a limit, workers near it wait for ever
                silence_logs=logging.CRITICAL,
                env={"OMP_WAIT_POLICY": "PASSIVE", **dict.fromkeys(_OF_THREADS, threads)},
            )
        for name, value in before.items():  # Dask sets them here too
            os.environ.pop(name, "")
            os.environ.update({} if value is None else {name: value})
        self.scheduler = self._cluster.scheduler_address
        return self._distributed.Client(self._cluster, set_as_default=False)

    def _connect(self, scheduler: str) -> Any:
        is_file = Path(scheduler).is_file()
        if not is_file and ":" not in scheduler:
            raise RunError(
                f"'{scheduler}' is neither the address of a scheduler, such as tcp://host:8786, nor a file that one "
                "has written. Check that it is running."
            )
        where = {"scheduler_file": scheduler} if is_file else {"address": scheduler}
        try:
            return self._distributed.Client(**where, timeout=_CONNECTION_S, set_as_default=False)
        except (OSError, ValueError) as error:
            raise RunError(f"No scheduler answers at {scheduler}. Start it, or check its address.") from error

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Let the cluster go."""
        self.close()

    def close(self) -> None:
        """End the workers that were started here; those of a scheduler go on without this program."""
        self.client.close()
        if self._cluster is not None:
            self._cluster.close()

    def finished(
        self, next_piece: Callable[[], Piece | None], folder: Path, *, should_stop: Callable[[], bool] = never
    ) -> Iterator[tuple[Piece, Any]]:
        """Yield pieces as `Engine.finished` describes."""
        handed_out: dict[Any, Piece] = {}
        has_stopped, self._seen = False, time.monotonic()
        try:
            while True:
                has_stopped = has_stopped or should_stop()
                if has_stopped:
                    _tell_to_stop(folder)
                else:
                    self._hand_out(next_piece, folder, handed_out)
                if not handed_out or (has_stopped and not self._workers()):  # without workers nothing comes back
                    return
                for future in self._some_done(list(handed_out)):
                    piece = handed_out.pop(future)
                    answer = self._answer_of(future, piece)
                    if answer.is_begun:
                        yield piece, answer.result
                    elif not has_stopped:
                        raise RunError(
                            f"A worker on {answer.host} does not see {folder.parent}. All workers need the same disk, "
                            "under the same path."
                        )
        finally:
            if handed_out:
                _tell_to_stop(folder)
                with suppress(Exception):  # the scheduler may be what is gone
                    self.client.cancel(list(handed_out))

    def _hand_out(self, next_piece: Callable[[], Piece | None], folder: Path, handed_out: dict[Any, Piece]) -> None:
        most = max(_LEAST_HANDED_OUT, _WINDOW * self._workers())
        while len(handed_out) < most and (piece := next_piece()) is not None:
            future = self.client.submit(
                _carried_out,
                pickle.dumps(piece),  # the scheduler need not know of what it passes on
                folder,
                _here(),
                key=f"{type(piece).__name__.strip('_').lower()}-{secrets.token_hex(16)}",  # Dask learns of each kind
                pure=False,
                retries=_RETRIES,
            )
            handed_out[future] = piece

    def _workers(self) -> int:
        with self._told_if_gone():
            workers = len(self.client.nthreads())
        if workers:
            self._seen, self._is_told = time.monotonic(), False
        waited = time.monotonic() - self._seen
        if self._cluster is None and waited > _SILENCE_S and not self._is_told:
            self._is_told = True
            self._tell(
                f"The scheduler at {self.scheduler} has no workers now. This goes on as soon as one has joined it; "
                "Ctrl-C ends the waiting."
            )
        if self._cluster is not None and waited > _RESTART_S:  # elsewhere, a queue may take hours to start one
            raise RunError(
                "All workers have ended, and no new one begins. What is finished is kept: give the same command again, "
                "with fewer workers if memory is short."
            )
        return workers

    def _some_done(self, futures: list[Any]) -> list[Any]:
        with self._told_if_gone(), suppress(TimeoutError), self.client.as_current():
            self._distributed.wait(futures, timeout=_LOOK_S, return_when="FIRST_COMPLETED")
        if self.client.status not in ("running", "connecting"):
            raise RunError(self._is_gone)
        return [future for future in futures if future.status != "pending"]

    def _answer_of(self, future: Any, piece: Piece) -> _Answer:
        try:
            with self._told_if_gone():
                answer: _Answer = future.result()
        except self._distributed.KilledWorker as error:
            raise RunError(
                f"{piece.name}: the workers that were given this were killed one after the other, perhaps because "
                "memory ran out. What is finished is kept: give the same command again with fewer workers, or with "
                "more memory for each."
            ) from error
        except ModuleNotFoundError as error:
            raise RunError(
                f"The workers lack the package {error.name}. Install there what is installed here."
            ) from error
        if answer.error is not None:
            raise answer.error
        return answer

    @contextmanager
    def _told_if_gone(self) -> Iterator[None]:
        """Say in a sentence that the scheduler is gone."""
        try:
            yield
        except (
            CancelledError,
            self._distributed.client.CommClosedError,
            self._distributed.client.ClosedClientError,
        ) as error:
            raise RunError(self._is_gone) from error

    @property
    def _is_gone(self) -> str:
        return (
            f"The scheduler {self.scheduler} is gone. What is finished is kept: start it again, and give the same "
            "command."
        )


@dataclass(frozen=True)
class _Answer:
    """What a worker has made of a piece; it is not begun where the mark in the shared folder is not there."""

    host: str
    is_begun: bool
    result: Any = None
    error: FinetuneError | None = None


def _tell_to_stop(folder: Path) -> None:
    """Have pieces in work end; what they need to end well stays in the folder until nobody uses it."""
    with suppress(OSError):
        (folder / _AT_WORK).unlink(missing_ok=True)


_ONE_AT_A_TIME = threading.Lock()  # trainings share torch's random numbers, predictions the memory of a GPU


def _carried_out(pickled: bytes, folder: Path, wanted: str) -> _Answer:
    """Carry out a piece; this runs in a worker."""
    host, is_gone = socket.gethostname(), _Gone(folder / _AT_WORK)
    if _here() != wanted:
        return _Answer(host, True, error=RunError(f"The worker on {host} runs {_here()}, but here is {wanted}."))
    with _ONE_AT_A_TIME:
        if is_gone():
            return _Answer(host, False)
        piece: Piece = pickle.loads(pickled)  # noqa: S301 - from whoever may run anything here
        try:
            return _Answer(host, True, piece.carry_out(is_gone))
        except FinetuneError as error:
            return _Answer(host, True, error=error)


class _Gone:
    """Tells whether a file is gone, after a look once a second."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._is_gone, self._looked = False, -_LOOK_S

    def __call__(self) -> bool:
        now = time.monotonic()
        if not self._is_gone and now >= self._looked + _LOOK_S:
            self._looked = now
            with suppress(OSError):  # a network disk that does not answer says nothing
                self._is_gone = not self._file.exists()
        return self._is_gone


def _here() -> str:
    return f"{_DISTRIBUTION} {version(_DISTRIBUTION)}"


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Ignore Ctrl-C here and in processes that are started meanwhile."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _load_distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise RunError(f"Workers need Dask, which is not installed: {INSTALL}.") from error
    return distributed
