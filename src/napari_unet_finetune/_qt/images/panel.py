"""The section "Images": choose a dataset, see the state of each image, choose what it is used for, open it."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QLabel,
    QLineEdit,
    QSizePolicy,
    QWidget,
)

from ...colors import LINK
from ...errors import FinetuneError
from ...io.images import SUFFIXES
from ...project.mask_import import masks_beside
from ...project.project import Role
from ...project.training_plan import summarize
from ...project.uses import NOTHING, Known, accept_question, role_question
from ..annotate.annotation import annotation_of, image_keys
from ..session.dock import Panel
from ..session.session import Session
from ..session.shortcuts import bind_keys
from ..widgets.channel_box import ChannelBox
from ..widgets.file_dialogs import ask_for_folder, ask_for_subfolder, confirm
from ..widgets.layout import in_column, in_row, menu_button, push_button, tipped
from ..widgets.tick_dialog import TickDialog
from ..widgets.wrapped_label import WrappedLabel
from .mask_import import MaskImportController
from .opener import Opener
from .table_view import ImageView
from .thumbnails import ThumbnailLoader

_WHICH_LAYERS = (
    "Choose the layers whose images you want to annotate. A layer that was read from a file uses that file; "
    "others are copied, frame by frame, into a folder you choose."
)
_NO_DATASET = (
    "Begin with a folder of your images: press “Open folder…”, or drop it here.\n\n"
    "TIFF, PNG, JPEG, BMP and NumPy files; in a stack, each frame is an image."
)
_SAMPLE = f"<a style='color: {LINK}' href='sample'>Try it with sample images…</a>"
_FILES = f"Images ({' '.join(f'*{suffix}' for suffix in SUFFIXES)})"


class ImagesPanel(Panel):
    """The dataset as a table, and what can be done with it.

    Parameters
    ----------
    session
        What the docks share.
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session, self._annotation = session, annotation_of(session)
        self._opener = Opener(session, partial(ask_for_folder, self), partial(ask_for_subfolder, self))
        self._thumbnails: ThumbnailLoader | None = None
        self.importing = MaskImportController(session, self._annotation, self)
        self.view = ImageView()
        self.words, self.annotated_only = QLineEdit(), QCheckBox("annotated only")
        self.channel, self._channel_row = ChannelBox(), QWidget()
        self.folder_button = push_button(
            "Open folder…", "Choose a folder of images; what was annotated there before comes back."
        )
        self.import_button = push_button(
            "Import masks…",
            "Import masks made elsewhere: those among the images, or in a folder called masks or labels beside them, "
            "else those in a folder that you choose. You can check which mask goes where.",
        )
        self.more_button = push_button("⋯", "More ways to open images and masks")
        self.footer, self.empty, self._start = QLabel(), WrappedLabel(), QWidget()
        self.sample = tipped(QLabel(_SAMPLE), "Cells in a microtube, with their true masks, also under Open Sample.")
        self.setAcceptDrops(True)
        self._lay_out()
        self._connect()
        self._annotation.order = self.view.filter.names
        self._on_project_changed()

    def open(self, source: Path, folder: Path | None = None) -> None:
        """Open a folder or a file as the dataset; `folder` is where masks are kept, if not beside the images."""
        self._opener.open(source, folder)

    def import_masks(self, masks: Path) -> None:
        """Pair the masks in a folder or a file with the images, and show the pairing."""
        self.importing.from_files(masks)

    def release(self) -> None:
        """Let go of the session; thumbnails that are being made are the last."""
        super().release()
        self._drop_thumbnails()
        self._annotation.order = self._annotation.names

    def dragEnterEvent(self, event: QDragEnterEvent | None) -> None:
        """Take files and folders."""
        if event is not None and (data := event.mimeData()) is not None and data.hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent | None) -> None:
        """Open the files and folders that are dropped."""
        data = event.mimeData() if event is not None else None
        if event is None or data is None:
            return
        event.acceptProposedAction()
        self._opener.open_files([Path(url.toLocalFile()) for url in data.urls() if url.isLocalFile()])

    def _lay_out(self) -> None:
        self.words.setPlaceholderText("filter by name")
        self.words.setClearButtonEnabled(True)
        self.empty.setText(_NO_DATASET)
        self._start.setLayout(in_column(self.empty, self.sample, None, spacing=12))
        self._start.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self.footer.setWordWrap(True)
        self.more_button.setFixedWidth(self.more_button.fontMetrics().horizontalAdvance("⋯⋯⋯"))
        buttons = in_row(self.folder_button, self.import_button, self.more_button)
        words = in_row(self.words, self.annotated_only)
        self._channel_row.setLayout(in_row(QLabel("Channel"), self.channel, stretch=self.channel))
        self.setLayout(
            in_column(
                buttons, words, self._channel_row, self._start, self.view, self.footer, stretch=self.view, spacing=6
            )
        )  # fmt: skip
        from_layers = self.importing.from_layers
        self.more_menu = menu_button(
            self.more_button,
            (
                ("Open file…", "A stack in which each frame is an image.", self._on_open_file),
                ("Use open layers…", "Image layers of this viewer, frame by frame.", self._on_use_layers),
                ("Accept all predictions…", "Count them as masks that you have looked at.", self._on_accept_all),
                ("Import masks from another folder…", "Any folder of masks.", self._on_import_other_folder),
                ("Import masks from a file…", "A stack of masks for a stack of images.", self._on_import_file),
                ("Import masks from open layers…", "Labels layers of this viewer, frame by frame.", from_layers),
                ("Keep masks elsewhere…", "Open these images with masks in another folder.", self._on_keep_elsewhere),
                ("Look for new images", "Look through the folder again.", self._on_reload),
            ),
        )

    def _connect(self) -> None:
        session = self._session
        self.keep(self._opener, self.importing)
        self.listen(session.project_changed, self._on_project_changed)
        for signal in (session.images_changed, session.mask_saved, session.current_changed, self._annotation.changed):
            self.listen(signal, self._refresh)
        for signal in (
            session.images_changed, session.model_changed, session.models_changed, session.choices_changed,
        ):  # fmt: skip
            self.listen(signal, self._show_counts)
        self.listen(session.current_changed, self._show_current)
        for signal in (session.channels_changed, session.predictor_changed, session.model_changed):
            self.listen(signal, self._show_channels)
        self.channel.changed.connect(self._on_channel)
        self.listen(self._opener.changed, self._on_opening)
        self.listen(self._opener.opened, self.view.select)
        self.folder_button.clicked.connect(self._on_open_folder)
        self.sample.linkActivated.connect(lambda _link: self._opener.open_sample())
        self.import_button.clicked.connect(self._on_import_folder)
        self.words.textChanged.connect(self._on_filter)
        self.annotated_only.toggled.connect(self._on_filter)
        self.view.open_requested.connect(self._annotation.open)
        self.view.role_requested.connect(self._set_role)
        self.view.removal_requested.connect(self._annotation.remove_masks)
        self.view.accept_requested.connect(self._accept)
        bind_keys(self, image_keys(self._annotation))

    def _on_project_changed(self) -> None:
        self._drop_thumbnails()
        project = self._session.project
        if project is not None:
            self._thumbnails = ThumbnailLoader(project)
            self._thumbnails.ready.connect(self.view.images.refresh_thumbnail)
            self.view.images.destroyed.connect(self._thumbnails.close)
            self.view.images.thumbnail = self._thumbnails.get
        has_images = project is not None
        self._start.setVisible(not has_images)
        for widget in (self.import_button, self.view, self.words, self.annotated_only, self.footer):
            widget.setVisible(has_images)
        self._show_channels()
        self._refresh()
        self._show_counts()

    def _refresh(self) -> None:
        project, session = self._session.project, self._session
        images = project.images if project else ()
        self.view.images.show(images, unsaved=self._annotation.unsaved, current=session.current)

    def _show_counts(self) -> None:
        project, session = self._session.project, self._session
        unreadable = (*project.unreadable, *session.history.unreadable) if project else ()
        left_out = f" · {len(unreadable)} cannot be read" if unreadable else ""
        self.footer.setText(summarize(project.images if project else (), session.plan()) + left_out)
        self.footer.setToolTip("\n".join(reason for _, reason in unreadable))

    def _show_current(self) -> None:
        if self._session.current is not None:
            self.view.select([self._session.current])

    def _show_channels(self) -> None:
        project = self._session.project
        names = project.channel_names if project else ()
        self._channel_row.setVisible(len(names) > 1)
        self.channel.set_channels(names, self._session.channels)

    def _on_channel(self) -> None:
        self._session.channels = self.channel.value()

    def _drop_thumbnails(self) -> None:
        self.view.images.thumbnail = lambda _name: None
        if self._thumbnails is not None:
            self._thumbnails.ready.disconnect(self.view.images.refresh_thumbnail)
            self.view.images.destroyed.disconnect(self._thumbnails.close)
            self._thumbnails.close()
            self._thumbnails = None

    def confirm(self, question: str) -> bool:
        """Ask before images change sides between training and scoring, or predictions become masks."""
        return confirm(self, "Images", question, "Yes")

    def _set_role(self, names: list[str], role: Role) -> None:
        project = self._session.project
        if project is None:
            return
        try:
            question = role_question([project.image(name) for name in names], role, self._seen())
            if not question or self.confirm(question):
                project.set_role(names, role)
        except FinetuneError as error:
            self._session.fail(error)
        self._session.images_changed.emit()

    def _on_accept_all(self) -> None:
        project = self._session.project
        if project is not None:
            self._accept(list(project.names))

    def _accept(self, names: list[str]) -> None:
        project = self._session.project
        if project is None or not self._annotation.save():
            return
        question = accept_question([project.image(name) for name in names])
        if not question:
            self._session.tell("No mask is a prediction that waits to be accepted.")
        elif self.confirm(question):
            self._annotation.accept_all(names)

    def _seen(self) -> Known:
        """Return what the base has seen; nothing if it is gone, of which others tell."""
        with suppress(FinetuneError):
            return self._session.history.known_to(self._session.model)
        return NOTHING

    def _on_opening(self) -> None:
        is_busy = self._opener.is_busy
        self.folder_button.setEnabled(not is_busy)
        self.more_button.setEnabled(not is_busy)
        self.sample.setVisible(not is_busy)
        self.empty.setText(self._opener.doing or _NO_DATASET)

    def _on_filter(self) -> None:
        self.view.filter.show_only(self.words.text(), annotated_only=self.annotated_only.isChecked())

    def _on_open_folder(self) -> None:
        if chosen := QFileDialog.getExistingDirectory(self, "Folder of images"):
            self.open(Path(chosen))

    def _on_open_file(self) -> None:
        if chosen := QFileDialog.getOpenFileName(self, "Image stack", "", _FILES)[0]:
            self.open(Path(chosen))

    def _on_import_folder(self) -> None:
        project = self._session.project
        beside = masks_beside(project) if project else None
        if beside is not None:
            self.import_masks(beside)
        else:
            self._on_import_other_folder()

    def _on_import_other_folder(self) -> None:
        if chosen := QFileDialog.getExistingDirectory(self, "Folder of masks"):
            self.import_masks(Path(chosen))

    def _on_import_file(self) -> None:
        if chosen := QFileDialog.getOpenFileName(self, "Stack of masks", "", _FILES)[0]:
            self.import_masks(Path(chosen))

    def _on_keep_elsewhere(self) -> None:
        project = self._session.project
        if project and (chosen := QFileDialog.getExistingDirectory(self, "Folder for masks")):
            self.open(project.source, Path(chosen))

    def _on_reload(self) -> None:
        if project := self._session.project:
            self.open(project.source, project.folder)

    def _on_use_layers(self) -> None:
        choices = self._opener.choices()
        if not choices:
            self._session.tell("This viewer has no image layers other than those shown for annotating.")
            return
        texts = {choice: choice.text for choice in choices}
        dialog = TickDialog("Use open layers", texts, choices, self, hint=_WHICH_LAYERS)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.accepted.connect(lambda: self._opener.open_layers(dialog.value()))
        dialog.open()
