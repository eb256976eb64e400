"""What to predict, with which model, and the button."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from qtpy.QtCore import QSignalBlocker, QTimer
from qtpy.QtWidgets import QCheckBox, QWidget

from ...config import AppearanceName
from ...io.images import channel_names
from ...io.regions.ome_zarr import is_zarr
from ...text import count_of, place_in_words
from ..layers.frames import current_frame, frame_name
from ..layers.layers import file_of
from ..model.choices import ModelBox, list_choices, output_name
from ..session.dock import Panel
from ..session.known_models import LOAD_TIP, accept_model, ask_for_model
from ..session.session import Session
from ..widgets.channel_box import ChannelBox
from ..widgets.editors import ChoiceBox
from ..widgets.layout import in_column, in_form, in_row, push_button, tipped
from ..widgets.path_box import PathBox
from ..widgets.wrapped_label import WrappedLabel
from .controller import PredictController
from .large import is_large

Source = Literal["image", "stack", "dataset", "folder"]

_SOURCES: tuple[tuple[str, Source], ...] = (
    ("The image shown", "image"),
    ("All frames of the image", "stack"),
    ("All images of the dataset", "dataset"),
    ("A folder of images", "folder"),
)
_APPEARANCES: tuple[tuple[str, AppearanceName], ...] = (
    ("as in similar training images", "auto"),
    ("as they are", "as they are"),
    ("exchanged", "inverted"),
)
_OF_LAYERS = ("image", "stack")
_BESIDE, _CHOOSE_OUT = "beside the images", "Choose a folder for the labels"


def beside(source: Path) -> Path:
    """Return the folder that labels go to which lie beside the images of a folder or file."""
    return source.parent if source.is_file() or is_zarr(source) else source


class PredictPanel(Panel):
    """Chooses source and model, and starts and describes a prediction."""

    def __init__(self, session: Session, predicting: PredictController, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session, self.predicting = session, predicting
        self.source = tipped(
            ChoiceBox(_SOURCES), "Select an image in the layer list to predict it; stacks are predicted frame by frame."
        )
        self.about = WrappedLabel()
        self.images, self.out = PathBox("Choose the folder with the images"), PathBox(_CHOOSE_OUT)
        self.overwrite = tipped(
            QCheckBox("Overwrite existing labels"),
            "If unticked, images that already have a labels file are skipped. Images are never overwritten.",
        )
        self.model = tipped(ModelBox(), "The model that predicts.")
        self.load = push_button("Load…", LOAD_TIP)
        self.channel = ChannelBox()
        self.appearance = tipped(
            ChoiceBox(_APPEARANCES),
            "Which way round this model is to see images, here and in Annotate. Exchanged, if objects are dark here "
            "and were bright in the training images, or the other way round.",
        )
        self._folder_channels: tuple[Path | None, tuple[str, ...]] = (None, ())
        self.button = push_button("Predict", "Find the objects in these images.")
        self._is_waiting = False  # to start
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self.start)
        self._lay_out()
        self._connect()
        self._list_models()
        self.refresh()

    def start(self) -> None:
        """Predict what is chosen."""
        match self.source.value():
            case "image" | "stack" as kind:
                _, out = self.folders()
                self.predicting.predict(whole=kind == "stack", out=out, overwrite=self.overwrite.isChecked())
            case _:
                source, out = self.folders()
                if source is not None and out is not None:
                    config = self.predicting.config_of_files(self.channel.value())
                    self.predicting.files.predict(source, out, config, overwrite=self.overwrite.isChecked())

    def start_when_free(self) -> None:
        """Predict what is chosen now or, if another job is under way, as soon as that has ended."""
        self._is_waiting = bool(self.session.jobs.busy)
        if self._is_waiting:
            self.session.tell("Predicting begins as soon as what is under way has ended.")
        else:
            self.start()

    def folders(self) -> tuple[Path | None, Path | None]:
        """Return where the images are and where labels go, None where that is not chosen."""
        if self.source.value() == "folder":
            source = self.images.value()
            return source, self.out.value() or (None if source is None else beside(source))
        layer = self.predicting.source()
        if self.source.value() in _OF_LAYERS and layer is not None and not self.predicting.is_own(layer):
            file = file_of(layer)
            return file, self.out.value() or (None if file is None else beside(file))
        project = self.session.project
        if project is None:
            return None, None
        name = output_name(self.session, self.session.predictor)
        return project.source, self.out.value() or project.folder / "predictions" / name

    def refresh(self) -> None:
        """Show what would be predicted, or why nothing can."""
        kind = self.source.value()
        is_files = kind in ("dataset", "folder") or self._is_large()
        for row, shown in ((self.images, kind == "folder"), (self.out, is_files), (self.overwrite, is_files)):
            self._form.setRowVisible(row, shown)
        _, out = self.folders()
        is_beside = kind != "dataset" and not self._is_own(kind) and self.out.value() is None
        self.out.set_hint(_BESIDE if is_beside and (kind == "folder" or out) else str(out or _CHOOSE_OUT))
        names = self._channel_names(kind)
        self.channel.set_channels(names, self.predicting.channels(names, is_own=self._is_own(kind)))
        self._form.setRowVisible(self.channel, len(names) > 1)
        with QSignalBlocker(self.appearance):
            self.appearance.set_value(self.session.appearance_of(self.session.predictor))
        words, can = self._describe(kind)
        self.about.setText(words)
        self._form.setRowVisible(self.about, bool(words))
        busy = self.session.jobs.busy
        self.button.setEnabled(can and not busy)
        self.button.setToolTip(busy or ("" if can else words))

    def _is_large(self) -> bool:
        """Tell whether a layer would be predicted that is too large to be predicted in memory."""
        layer = self.predicting.source()
        return self.source.value() in _OF_LAYERS and layer is not None and layer.ndim > 1 and is_large(layer)

    def _is_own(self, kind: Source) -> bool:
        """Tell whether images of the dataset would be predicted."""
        layer = self.predicting.source()
        shows_own = layer is not None and self.predicting.is_own(layer)
        return kind == "dataset" or (kind != "folder" and shows_own)

    def _channel_names(self, kind: Source) -> tuple[str, ...]:
        """Return the names of the channels of what would be predicted."""
        if kind == "dataset":
            return self.session.project.channel_names if self.session.project else ()
        if kind != "folder":
            layer = self.predicting.source()
            return self.predicting.channel_names(layer) if layer is not None and layer.ndim > 1 else ()
        folder = self.images.value()
        if folder != self._folder_channels[0]:  # not looked into at every key
            names = channel_names(folder) if folder is not None and folder.exists() else ()
            self._folder_channels = folder, names
        return self._folder_channels[1]

    def _on_appearance(self) -> None:
        self.session.show_as(self.session.predictor, self.appearance.value())

    def _on_channel(self) -> None:
        if self._is_own(self.source.value()):
            self.session.channels = self.channel.value()
        else:
            self.predicting.elsewhere = self.channel.value()

    def _describe(self, kind: Source) -> tuple[str, bool]:
        """Return what is predicted in words, and whether it can be."""
        if kind in ("image", "stack"):
            return self._describe_layer(whole=kind == "stack")
        if kind == "dataset":
            project = self.session.project
            if project is None:
                return "Open a dataset in Annotate and finetune first.", False
            count = len(project.images)
            return f"{count_of(count, 'image')} in {place_in_words(project.source)}", True
        source = self.images.value()
        if source is None:
            return "Choose the folder with the images.", False
        return ("", True) if source.exists() else (f"{source} does not exist.", False)

    def _describe_layer(self, *, whole: bool) -> tuple[str, bool]:
        layer = self.predicting.source()
        if layer is None or layer.ndim < 2:
            return "Open an image first.", False
        stack = self.predicting.stack(layer)
        count = 1
        for length in stack.frames:
            count *= length
        size = " × ".join(map(str, stack.size))
        pieces = ", in pieces: what you look at first" if is_large(layer) else ""
        if whole:
            return f"{stack.name} · {count_of(count, 'frame')} of {size} px{pieces}", True
        name = frame_name(stack.name, current_frame(self.session.viewer, layer), stack.frames)
        return f"{name} · {size} px{pieces}", True

    def _lay_out(self) -> None:
        self._form = in_form(
            ("Predict", self.source), self.about, ("Images", self.images), ("Labels", self.out), ("", self.overwrite),
            ("Channel", self.channel), ("Model", in_row(self.model, self.load, stretch=self.model)),
            ("Dark and bright", self.appearance),
        )  # fmt: skip
        self.setLayout(in_column(self._form, self.button, spacing=6))

    def _connect(self) -> None:
        viewer, session = self.session.viewer, self.session
        for event in (
            viewer.layers.selection.events.active, viewer.layers.events.inserted, viewer.layers.events.removed,
            viewer.layers.events.renamed,
            viewer.dims.events.current_step, session.current_changed,
        ):  # fmt: skip
            self.listen(event, self.refresh)
        self.listen(session.project_changed, self._list_models)
        self.listen(session.models_changed, self._list_models)
        self.listen(session.model_changed, self._on_predictor_changed)
        self.listen(session.predictor_changed, self._on_predictor_changed)
        self.listen(session.jobs.changed, self._on_busy)
        self.listen(self.predicting.changed, self._on_busy)
        self.listen(session.channels_changed, self.refresh)
        self.listen(session.appearance_changed, self.refresh)
        self.channel.changed.connect(self._on_channel)
        self.appearance.changed.connect(self._on_appearance)
        self.source.changed.connect(self.refresh)
        self.images.changed.connect(self.refresh)
        self.out.changed.connect(self.refresh)
        self.model.changed.connect(self._on_model_chosen)
        self.load.clicked.connect(self._choose_model)
        self.button.clicked.connect(self.start)
        self.at_release(self._soon.stop)

    def _list_models(self) -> None:
        self.model.set_choices(list_choices(self.session), self.session.predictor)
        self.refresh()

    def _choose_model(self) -> None:
        if (path := ask_for_model(self)) is not None:
            self.use_model(path)

    def use_model(self, path: Path) -> None:
        """Predict with the model in a file, and remember the file; one that is no model is refused in a sentence."""
        accepted = accept_model(self.session, path)
        if accepted is not None:
            self.session.predictor = accepted
            self._list_models()

    def _on_model_chosen(self) -> None:
        self.session.predictor = self.model.value()

    def _on_predictor_changed(self) -> None:
        self.model.choose(self.session.predictor)
        self.refresh()

    def _on_busy(self) -> None:
        if self._is_waiting and not self.session.jobs.busy:
            self._is_waiting = False
            self._soon.start()
        self.button.setEnabled(not self.session.jobs.busy and self._describe(self.source.value())[1])
        self.button.setToolTip(self.session.jobs.busy)
