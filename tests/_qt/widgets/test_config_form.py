"""A form gives back what it was given, for every field of every setting, and says what is wrong in plain words."""

import types
from typing import Literal, Union, get_args, get_origin

import pytest

pytest.importorskip("qtpy")

from pydantic import BaseModel, ValidationError
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QApplication

from napari_unet_finetune._qt.finetune.settings_form import SETTLED
from napari_unet_finetune._qt.widgets.config_form import ConfigForm, tooltip
from napari_unet_finetune._qt.widgets.editors import EMPTY, ChoiceBox, NumberEdit
from napari_unet_finetune.config import (
    PRESETS,
    AugmentConfig,
    ChannelRule,
    FinetuneConfig,
    ModelConfig,
    Normalization,
    PredictConfig,
)

# What a field is changed to, where halving, doubling or the next choice would not do.
OTHER = {
    "patch_size": 256,
    "width": 32,
    "validation": "none",
}
GROUPS = (PredictConfig, ModelConfig, AugmentConfig, Normalization, ChannelRule)
SHOWN = {FinetuneConfig: [name for name in FinetuneConfig.model_fields if name not in SETTLED]}
SHOWN |= {model: list(model.model_fields) for model in GROUPS}


def _other(name, field):
    """Return a value that is allowed and is not the default."""
    if name in OTHER:
        return OTHER[name]
    kind, default = field.annotation, field.get_default(call_default_factory=True)
    if get_origin(kind) in (Union, types.UnionType):
        kind = next(one for one in get_args(kind) if one is not type(None))
    if get_origin(kind) is Literal:
        return next(choice for choice in get_args(kind) if choice != default)
    if kind is bool:
        return not default
    if kind is str:
        return "DAPI"
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        first = next(iter(kind.model_fields))
        return kind(**{first: _other(first, kind.model_fields[first])})
    bounds = {
        key: getattr(mark, key) for mark in field.metadata for key in ("ge", "gt", "le", "lt") if hasattr(mark, key)
    }
    if kind is int:
        return (default or bounds.get("ge", 0)) + 1
    return round((bounds.get("le", bounds.get("lt", 1)) + bounds.get("ge", bounds.get("gt", 0))) / 3, 3)


@pytest.mark.parametrize(
    ("model", "name"),
    [(model, name) for model, names in SHOWN.items() for name in names],
)
def test_every_field_gives_back_what_it_was_given_and_tells_of_a_change(qtbot, model, name):
    form = ConfigForm(model, [name])
    qtbot.addWidget(form)
    assert form.value() == model()
    other = _other(name, model.model_fields[name])
    with qtbot.waitSignal(form.changed):
        form.boxes[name].value = other
    given = form.value() if name != "epochs" else None
    values = form.values()
    found = values[name]
    assert (type(other)(**found) if isinstance(found, dict) else found) == other
    if given is not None:
        assert getattr(given, name) == other
        assert model.model_validate({**values, name: model().model_dump()[name]}) == model()


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_goes_through_the_form_unchanged(qtbot, preset):
    form = ConfigForm(FinetuneConfig, SHOWN[FinetuneConfig])
    qtbot.addWidget(form)
    with qtbot.waitSignals([form.changed], raising=True):
        form.set_value(FinetuneConfig(preset=preset))
    assert form.value() == FinetuneConfig(preset=preset)
    form.set_value(FinetuneConfig())
    assert form.value() == FinetuneConfig()


def test_fields_that_are_not_shown_keep_their_values(qtbot):
    form = ConfigForm(FinetuneConfig, ["steps", "seed"])
    qtbot.addWidget(form)
    form.set_value(FinetuneConfig(learning_rate=1e-5, steps=7))
    form.boxes["seed"].value = 3
    assert form.value() == FinetuneConfig(learning_rate=1e-5, steps=7, seed=3)


def test_small_numbers_are_shown_and_typed_as_they_are(qtbot):
    form = ConfigForm(FinetuneConfig, SHOWN[FinetuneConfig])
    qtbot.addWidget(form)
    rate = form.boxes["learning_rate"].box
    assert rate.text() == "0.001"
    rate.stepUp()
    assert rate.text() == "0.0011"
    type_in(qtbot, rate, "2e-5")
    assert form.value().learning_rate == 2e-5
    type_in(qtbot, rate, "0,02")
    assert form.value().learning_rate == 0.02


def type_in(qtbot, box, text):
    box.lineEdit().selectAll()
    qtbot.keyClicks(box.lineEdit(), text) if text else qtbot.keyClick(box.lineEdit(), Qt.Key.Key_Delete)
    qtbot.keyClick(box.lineEdit(), Qt.Key.Key_Return)


def test_an_optional_number_can_be_emptied_by_typing_and_by_arrows(qtbot):
    edit = NumberEdit(min=32, max=1024, step=8, annotation=int | None, nullable=True)
    qtbot.addWidget(edit.native)
    edit.value = None
    assert (edit.value, edit.box.text(), edit.box.lineEdit().placeholderText()) == (None, "", EMPTY)
    edit.box.stepUp()
    assert edit.value == 32
    edit.box.stepDown()
    assert edit.value is None
    edit.value = 33
    edit.box.stepDown()  # not to 25
    assert edit.value is None
    edit.value = 64
    type_in(qtbot, edit.box, "")
    assert edit.value is None
    type_in(qtbot, edit.box, "96")
    assert edit.value == 96


@pytest.mark.parametrize("typed", ["1e", "-3", "", "nan", "2,5", "99999"])
def test_what_is_no_number_of_the_range_is_not_taken(qtbot, typed):
    edit = NumberEdit(min=0, max=1024, step=1, annotation=int, value=7)
    qtbot.addWidget(edit.native)
    type_in(qtbot, edit.box, typed)
    assert edit.box.text() == str(edit.value)
    assert 0 <= edit.value <= 1024
    assert isinstance(edit.value, int)


def test_bounds_limit_the_boxes_and_are_told(qtbot):
    form = ConfigForm(FinetuneConfig, SHOWN[FinetuneConfig])
    qtbot.addWidget(form)
    form.boxes["steps"].value = 10**9
    assert form.value().steps == 1_000_000
    type_in(qtbot, form.boxes["steps"].box, "0")
    assert form.value().steps == 1_000_000
    fields = FinetuneConfig.model_fields
    assert tooltip(fields["steps"]).endswith("From 1 to 1,000,000.")
    assert tooltip(fields["learning_rate"]).endswith("Above 0, below 1.")
    assert tooltip(fields["warmup_steps"]).endswith("0 or more.")
    assert tooltip(fields["patch_size"]).endswith("From 32 to 1,024, a multiple of 8.")
    assert "Training steps, whatever" in form.boxes["steps"].tooltip


def test_what_does_not_go_together_is_refused_and_a_field_can_be_framed(qtbot):
    form = ConfigForm(FinetuneConfig, SHOWN[FinetuneConfig])
    qtbot.addWidget(form)
    form.boxes["patch_size"].value = 33
    with pytest.raises(ValidationError):
        form.value()
    form.mark("patch_size")
    assert "border" in form.boxes["patch_size"].native.styleSheet()
    form.mark(None)
    assert form.boxes["patch_size"].native.styleSheet() == ""


def test_choices_can_have_plainer_names(qtbot):
    form = ConfigForm(FinetuneConfig, ["layers"], {"layers": {"all": "All layers"}})
    qtbot.addWidget(form)
    assert form.boxes["layers"].native.currentText() == "All layers"
    assert form.value().layers == "all"


@pytest.mark.parametrize("kind", ["number", "choice", "box"])
def test_the_wheel_scrolls_the_dock_and_not_the_value_unless_somebody_works_in_the_box(qtbot, kind):
    form, own = ConfigForm(FinetuneConfig, ["steps", "loss"]), ChoiceBox([("a", 1), ("b", 2)])
    form.layout().addRow(own)
    qtbot.addWidget(form)
    form.show()
    box = {"number": form.boxes["steps"].box, "choice": form.boxes["loss"].native, "box": own}[kind]
    before = form.values(), own.value()
    assert not turn_wheel(box)
    assert (form.values(), own.value()) == before
    form.activateWindow()
    box.setFocus()
    qtbot.waitUntil(box.hasFocus)
    assert turn_wheel(box)
    assert (form.values(), own.value()) != before


def turn_wheel(box):
    """Turn the wheel over `box` and return whether it was for it."""
    event = QWheelEvent(
        QPointF(5, 5), QPointF(5, 5), QPoint(), QPoint(0, -120), Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    QApplication.sendEvent(box, event)
    return event.isAccepted()
