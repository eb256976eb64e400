"""Carry out what a run folder asks for, here in this process."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

from ..data.annotated_image import AnnotatedImage
from ..data.folders import AnnotatedFolder, UnannotatedFolder, open_folder
from ..errors import DataError, RunError
from ..events import Notice, Run, never
from ..io.images import ImageRef, read_headers
from ..io.regions.region import is_large
from ..models.load import load_model
from ..training.finetune import Training, finetune, train
from ..training.patches.unannotated import some_of
from .folder import LOG, RunFolder
from .request import FinetuneRequest

PACKAGE = __name__.partition(".")[0]


def run_here(
    folder: RunFolder, *, asked: FinetuneRequest | None = None, should_stop: Callable[[], bool] = never
) -> Training:
    """Start or resume the run in `folder`; every event is on disk before it is yielded.

    Parameters
    ----------
    asked
        What the folder must ask for, of one that was just made: another training may be put there at this moment.

    Raises
    ------
    FinetuneError
        If the request cannot be carried out; the message says why.
    RunError
        If the run is finished, another process works on it, or it is not what was `asked`.
    """
    _ = folder.request  # before anything is written: what holds no request is no run
    with folder.locked():
        request = folder.request
        if asked not in (None, request):
            raise RunError(f"{folder.path}: this folder holds a run already, begun just now. Choose another folder.")
        if folder.is_finished:
            raise RunError(
                f"{folder.path}: this run is finished; its model is {folder.result_path.name} in that folder."
            )
        folder.sweep()
        with _logged(folder):
            return (yield from _carried_out(request, folder, should_stop))


def _carried_out(request: FinetuneRequest, folder: RunFolder, should_stop: Callable[[], bool]) -> Training:
    images = images_of(request)
    more = unannotated_of(request, images)
    events = _start(request, images, more, folder, should_stop)
    result = yield from _recorded(_with_notes(events, images.besides(more.refs).notes), folder)
    if result.ended.stopped:
        folder.save_best(result.model)
    return result


def check_request(request: FinetuneRequest) -> None:
    """Open what a training asks for, and leave it at that.

    Raises
    ------
    FinetuneError
        If images, masks or the base model are missing or cannot be read.
    """
    images_of(request)
    old_images_of(request)
    if request.checkpoint is not None:
        load_model(request.checkpoint)


def images_of(request: FinetuneRequest) -> AnnotatedFolder:
    """Return the annotated images that a training asks for.

    Raises
    ------
    DataError
        If a folder is missing, or an image that is asked for by name.
    """
    if request.pairs is not None:
        return AnnotatedFolder.of(request.pairs).only(request.only)
    assert request.images is not None
    assert request.masks is not None
    return open_folder(request.images, request.masks, sparse=request.sparse).only(request.only)


def _start(
    request: FinetuneRequest,
    images: AnnotatedFolder,
    more: UnannotatedFolder,
    folder: RunFolder,
    should_stop: Callable[[], bool],
) -> Training:
    if request.task == "train":
        return train(
            images, request.config, shape=request.model, unannotated=more, should_stop=should_stop, store=folder
        )
    if request.checkpoint is None:
        raise RunError(f"{folder.path}: the request names no base model. Start a new run with one.")
    return finetune(
        load_model(request.checkpoint),
        images,
        request.config,
        base_images=old_images_of(request),
        unannotated=more,
        should_stop=should_stop,
        store=folder,
    )


def unannotated_of(request: FinetuneRequest, images: AnnotatedFolder) -> UnannotatedFolder:
    """Return the images without masks that a training may learn from as well; those in a folder beside `images`.

    They are spread evenly over all that there are; large ones are left out, as they would be read whole.
    """
    if not request.config.unannotated_share:
        return UnannotatedFolder(())
    refs = request.unannotated or images.without_mask
    return UnannotatedFolder(tuple(ref for ref in map(refs.__getitem__, some_of(len(refs))) if not _is_large(ref)))


def _is_large(ref: ImageRef) -> bool:
    with suppress(DataError, IndexError):  # said where it is read
        return is_large(read_headers(ref.path)[ref.frame or 0].size)
    return False


def old_images_of(request: FinetuneRequest) -> Sequence[AnnotatedImage] | None:
    """Return the images of the old dataset, with their masks if there are any; None if no folder was given.

    Raises
    ------
    DataError
        If a folder is missing.
    """
    if request.base_images is None:
        return None
    if request.base_masks is None:
        return open_folder(request.base_images)
    return open_folder(request.base_images, request.base_masks)


def _with_notes(events: Training, notes: Iterable[str]) -> Training:
    """Pass `events` on, with notices after the first one."""
    yield next(events)
    yield from map(Notice, notes)
    return (yield from events)


def _recorded(events: Training, folder: RunFolder) -> Training:
    stream = Run(events)
    for event in stream:
        folder.append(event)
        yield event
    return stream.result


@contextmanager
def _logged(folder: RunFolder) -> Iterator[None]:
    """Write the package's log messages to the run's own log file as well."""
    handler = logging.FileHandler(folder.path / LOG, encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger(PACKAGE)
    logger.addHandler(handler)
    try:
        yield
    except Exception:
        logger.exception("The run ended with an error.")
        raise
    finally:
        logger.removeHandler(handler)
        handler.close()
