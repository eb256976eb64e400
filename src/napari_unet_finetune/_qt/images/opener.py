"""Make a dataset of a folder, of dropped files or of open layers, in the background, and hand it to the session."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from psygnal import Signal

from ...errors import DataError
from ...io.content import is_image_file, is_read
from ...io.images import about_subfolders, subfolders_with_images
from ...io.regions.region import is_large
from ...io.writing import Frame, write_frames
from ...project.project import NotWritableError, Project
from ...text import count_of, place_in_words, verb_for
from ..annotate.annotation import annotation_of
from ..layers.frames import frame_name, frame_shape, frames_of
from ..layers.layer_image import LayerImage
from ..layers.layers import file_of, mark_of
from ..layers.stacks import stack_of
from ..session.dock import PLUGIN
from ..session.listener import Listener
from ..session.session import Session
from ..session.worker import Work

if TYPE_CHECKING:
    from napari.layers import Image

_SAMPLE = "microtube_dataset2"  # a model of the other one ships

ChooseFolder = Callable[[str, Path], Path | None]
"""Asks the user for a folder, told why; None if the user does not want to."""

ChooseSubfolder = Callable[[Path, Mapping[Path, int]], Path | None]
"""Asks which of the subfolders with images to open, told how many each holds; None if the user wants none."""


@dataclass(frozen=True)
class LayerChoice:
    """An image layer that can be made a dataset, its number of frames and, if this program reads it, its file."""

    layer: Image
    frames: int
    file: Path | None

    @property
    def text(self) -> str:
        """The layer in words."""
        frames = count_of(self.frames, "image")
        return f"{self.layer.name} · {frames} · {self.file.name if self.file else 'to be copied'}"


class Opener(Listener):
    """Opens datasets one at a time.

    Parameters
    ----------
    session
        Gets the dataset.
    choose_folder
        Asks where masks, or images that are in no file, are to be kept.
    choose_subfolder
        Asks which subfolder to open of a folder that holds no image itself.
    """

    changed = Signal()  # something is being opened, or no longer
    opened = Signal(tuple)  # names of the images to select

    def __init__(self, session: Session, choose_folder: ChooseFolder, choose_subfolder: ChooseSubfolder) -> None:
        self._session, self._choose_folder, self._choose_subfolder = session, choose_folder, choose_subfolder
        self._work: Work[Project] | None = None
        for signal in (session.images_changed, session.mask_saved):
            self.listen(signal, self._on_images_changed)
        self._is_closed = False
        self._is_outdated = False  # something was written into the open dataset since the loading began
        self.doing = ""

    @property
    def is_busy(self) -> bool:
        """Tell whether something is being opened."""
        return self._work is not None

    def open(self, source: Path, folder: Path | None = None, *, select: Sequence[Path] = ()) -> None:
        """Open a folder, a stack file or a project; `select` are files to select in it."""

        def load() -> Generator[str, None, Project]:
            yield f"Opening {place_in_words(source)} …"
            return Project.open(source, folder)

        def failed(error: Exception) -> None:
            if inside := subfolders_with_images(source):
                chosen = _called_images(inside) or self._choose_subfolder(source, inside)
                if chosen is not None:
                    self.open(chosen, folder, select=select)
            elif isinstance(error, NotWritableError):
                chosen = self._choose_folder(str(error), source)
                if chosen is not None:
                    self.open(source, chosen, select=select)
            else:
                self._session.fail(error)

        self._start(load, failed, select)

    def open_files(self, paths: Sequence[Path]) -> None:
        """Open what was dropped: a folder, a file, or the folder that several files lie in."""
        folders = {path.parent for path in paths}
        if len(paths) == 1:
            self.open(paths[0])
        elif len(folders) == 1 and all(path.is_file() for path in paths):
            self.open(folders.pop(), select=paths)
        elif paths:
            self._session.fail(DataError("These files lie in several folders. Put the images in one folder first."))

    def choices(self) -> list[LayerChoice]:
        """Return the image layers of the viewer that are not ours."""
        from napari.layers import Image

        layers = [layer for layer in self._session.viewer.layers if isinstance(layer, Image) and not mark_of(layer)]
        return [LayerChoice(layer, _count(frame_shape(layer)), _readable(file_of(layer))) for layer in layers]

    def open_layers(self, choices: Sequence[LayerChoice]) -> None:
        """Make a dataset of layers: of their file, or of copies of their frames in a folder that the user chooses."""
        files = list(dict.fromkeys(choice.file for choice in choices if choice.file))
        if choices and all(choice.file for choice in choices) and len({file.parent for file in files}) == 1:
            self.open_files(files)
            return
        if not choices:
            return
        total = sum(choice.frames for choice in choices)
        why = f"These layers have no files to use here. Choose an empty folder to write their {total} images to."
        folder = self._choose_folder(why, Path.home())
        if folder is not None:
            self._write([choice.layer for choice in choices], folder, total)

    def open_sample(self) -> None:
        """Open the sample images in the viewer, as its menu does, and make a dataset of them where the user wants."""
        viewer, sample = self._session.viewer, (PLUGIN, _SAMPLE)
        if not any(layer.source.sample == sample for layer in viewer.layers):
            viewer.open_sample(*sample)
        self.open_layers([choice for choice in self.choices() if choice.layer.source.sample == sample])

    def release(self) -> None:
        """Open nothing any more; what is being opened is dropped."""
        self._is_closed = True
        super().release()

    def _write(self, layers: Sequence[Image], folder: Path, total: int) -> None:
        def frames() -> Iterator[Frame]:
            for layer in layers:
                yield from _frames(layer)

        def load() -> Generator[str, None, Project]:
            yield f"Writing {total} images …"
            for number, _ in enumerate(write_frames(frames(), folder / "images"), 1):
                yield f"Writing {number} of {total} images …"
                if self._is_closed:
                    break
            return Project.open(folder / "images", folder)

        self._start(load, self._session.fail, ())

    def _start(
        self,
        load: Callable[[], Generator[str, None, Project]],
        failed: Callable[[Exception], object],
        select: Sequence[Path],
    ) -> None:
        if self.is_busy or not annotation_of(self._session).save():
            return
        self._is_outdated = False

        def on_end(project: Project) -> None:
            self._end()
            if not self._is_closed:
                self._hand_over(project, select)

        def on_error(error: Exception) -> None:
            self._end()
            if not self._is_closed:
                failed(error)

        self._work = Work(
            load, title="Opening images", on_event=self._say, on_end=on_end, on_error=on_error, on_abort=self._end
        )
        self.changed.emit()

    def _hand_over(self, project: Project, select: Sequence[Path]) -> None:
        if not annotation_of(self._session).save():
            return
        if self._is_outdated and self._session.is_open(project):
            self.open(project.source, project.folder, select=select)
            return
        before, self._session.project = self._session.current or "", project
        chosen = {path.absolute() for path in select}
        names = tuple(image.name for image in project.images if image.ref.path.absolute() in chosen)
        opened = f"Opened {count_of(len(project.images), 'image')}. Masks are kept in {project.folder}."
        gone = self._session.base_problem
        told = " ".join(filter(None, (opened, _about_masks(project), *about_subfolders(project.elsewhere), gone)))
        self._session.tell(told, "warning" if gone else "info")
        annotation = annotation_of(self._session)
        again = [before] if before in project.names else []
        annotation.open_first([*names[:1], *again, *annotation.order()])
        if names:
            self.opened.emit(names)

    def _on_images_changed(self) -> None:
        self._is_outdated = True

    def _say(self, doing: str) -> None:
        self.doing = doing
        self.changed.emit()

    def _end(self) -> None:
        self._work, self.doing = None, ""
        self.changed.emit()


def _frames(layer: Image) -> Iterator[Frame]:
    """Yield the frames of a layer to be written; large ones are read while that is done."""
    stack = stack_of(layer)
    if not is_large(stack.size):
        yield from ((frame.name, frame.pixels, frame.scale, frame.unit) for frame in frames_of(layer))
        return
    for index in stack.indices:
        image = LayerImage(layer, stack, index)
        yield frame_name(stack.name, index, stack.frames), image, image.scale, image.unit


def _about_masks(project: Project) -> str:
    if not (count := project.masks_among):
        return ""
    return f"{count_of(count, 'mask')} among them {verb_for(count, 'be')} not listed: Import masks… takes masks over."


def _called_images(folders: Mapping[Path, int]) -> Path | None:
    """Return the folder called images, beside which others hold what belongs to these: their masks."""
    return next((folder for folder in folders if folder.name.casefold() == "images"), None)


def _readable(file: Path | None) -> Path | None:
    """Return the file or folder of images if this program reads it; a plugin may have read one that it does not."""
    if file is None or is_read(file) or (is_image_file(file) and file.is_dir()):
        return file
    is_folder_of_images = file.is_dir() and any(map(is_read, file.iterdir()))
    return file if is_folder_of_images else None


def _count(shape: tuple[int, ...]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count
