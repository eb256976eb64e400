"""A model for other programs: what to say of it, where to save it, and the job that does it."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError
from qtpy.QtWidgets import QDialog, QDialogButtonBox, QVBoxLayout, QWidget

from ...checked_json import parse_json
from ...config import ExportConfig, explain
from ...errors import RunError
from ...models.card import FileCard
from ...runs.request import ExportRequest
from ...share.exported import Exported
from ..session.jobs import Job
from ..session.session import Session
from ..widgets.config_form import ConfigForm
from ..widgets.file_dialogs import ask_for_file
from ..widgets.message_line import MessageLine

KINDS = "Package for Fiji, QuPath, ilastik (*.zip);;ONNX (*.onnx);;TorchScript (*.pt *.torchscript)"
_WIDTH_PX = 460
_FIELDS = ("name", "authors", "license", "mask", "torchscript", "patches")


class ExportDialog(QDialog):
    """Asks what to say of a model; of one that knows several datasets also for images of which one it is meant."""

    def __init__(self, card: FileCard, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(f"Export {card.name}")
        self.form = ConfigForm(ExportConfig, [*_FIELDS, *(["dataset"] if len(card.knows) > 1 else [])])
        self.form.set_value(ExportConfig(name=card.name))
        self.form.setMinimumWidth(_WIDTH_PX)
        self.message = MessageLine()
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Save | QDialogButtonBox.StandardButton.Cancel)
        layout = QVBoxLayout(self)
        for widget in (self.form, self.message, buttons):
            layout.addWidget(widget)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)

    def accept(self) -> None:
        """Close if all of it can be; else say what cannot."""
        try:
            self.form.value()
        except ValidationError as error:
            titles = {name: field.title or name for name, field in ExportConfig.model_fields.items()}
            self.message.say(explain(error, titles), "error")
            return
        super().accept()


def ask_and_export(session: Session, card: FileCard, parent: QWidget) -> None:
    """Ask what to say of the model of `card` and where to save it, and have a job export it."""
    dialog = ExportDialog(card, parent)
    if dialog.exec() != QDialog.DialogCode.Accepted:
        return
    path = ask_for_file(parent, "Export the model", f"{card.path.stem}.zip", KINDS)
    if path is not None:
        export(session, str(card.path), path, dialog.form.value())


def export(session: Session, model: str, out: Path, config: ExportConfig) -> None:
    """Have a job export `model` to the new file `out`, and tell what came of it."""
    job = Job(session.scratch(), f"Exporting {out.name}", ExportRequest(checkpoint=model, out=out, config=config))
    job.ended.connect(lambda file: _tell(session, file))
    try:
        session.jobs.start(job)
    except RunError as error:
        session.fail(error)


def _tell(session: Session, file: Path | None) -> None:
    if file is not None:
        exported: Exported = parse_json(file.read_bytes(), Exported)
        session.tell(f"{exported.headline} {exported.summary}")
