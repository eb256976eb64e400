"""A form gives back what it was given, for every field of every setting, and says what is wrong in plain words."""

import types
from typing import Literal, Union, get_args, get_origin

import pytest

pytest.importorskip("qtpy")

from pydantic import BaseModel, ValidationError
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent

from napari_unet_finetune._qt.widgets.config_form import ConfigForm, explain, tooltip
from napari_unet_finetune._qt.widgets.editors import EMPTY, ChoiceBox, NumberBox
from napari_unet_finetune.config import PRESETS, AugmentConfig, FinetuneConfig, ModelConfig, PredictConfig

# What a field is changed to, where halving, doubling or the next choice would not do.
OTHER = {
    "held_out": ("img[01,02]", "b, c"),
    "version": 0,
    "preset": "fast",
    "patch_size": 256,
    "width": 32,
    "validation": "none",
}


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
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        first = next(iter(kind.model_fields))
        return kind(**{first: _other(first, kind.model_fields[first])})
    bounds = {
        key: getattr(mark, key) for mark in field.metadata for key in ("ge", "gt", "le", "lt") if hasattr(mark, key)
    }
    if kind is int:
        return (default or bounds.get("ge", 0)) + 1
    return (bounds.get("le", bounds.get("lt", 1)) + bounds.get("ge", bounds.get("gt", 0))) / 3


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (model, name)
        for model in (FinetuneConfig, PredictConfig, ModelConfig, AugmentConfig)
        for name in model.model_fields
    ],
)
def test_every_field_gives_back_what_it_was_given_and_tells_of_a_change(qtbot, model, name):
    form = ConfigForm(model)
    qtbot.addWidget(form)
    assert form.value() == model()
    other = _other(name, model.model_fields[name])
    with qtbot.waitSignal(form.changed):
        form.editors[name].set_value(other)
    given = form.value() if name != "epochs" else None
    values = form.values()
    found = values[name]
    assert (type(other)(**found) if isinstance(found, dict) else found) == other
    if given is not None:
        assert getattr(given, name) == other
        assert model.model_validate({**values, name: model().model_dump()[name]}) == model()


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_goes_through_the_form_unchanged(qtbot, preset):
    form = ConfigForm(FinetuneConfig)
    qtbot.addWidget(form)
    with qtbot.waitSignals([form.changed], raising=True):
        form.set_value(FinetuneConfig.from_preset(preset))
    assert form.value() == FinetuneConfig.from_preset(preset)
    form.set_value(FinetuneConfig())
    assert form.value() == FinetuneConfig()


def test_fields_that_are_not_shown_keep_their_values(qtbot):
    form = ConfigForm(FinetuneConfig, ["steps", "seed"])
    qtbot.addWidget(form)
    form.set_value(FinetuneConfig(learning_rate=1e-5, steps=7))
    form.editors["seed"].set_value(3)
    assert form.value() == FinetuneConfig(learning_rate=1e-5, steps=7, seed=3)


def test_small_numbers_are_shown_and_typed_as_they_are(qtbot):
    form = ConfigForm(FinetuneConfig)
    qtbot.addWidget(form)
    rate = form.editors["learning_rate"]
    assert rate.text() == "0.001"
    rate.stepUp()
    assert rate.text() == "0.0011"
    rate.lineEdit().selectAll()
    qtbot.keyClicks(rate.lineEdit(), "2e-5")
    qtbot.keyClick(rate.lineEdit(), Qt.Key.Key_Return)
    assert form.value().learning_rate == 2e-5
    rate.lineEdit().selectAll()
    qtbot.keyClicks(rate.lineEdit(), "0,02")
    qtbot.keyClick(rate.lineEdit(), Qt.Key.Key_Return)
    assert form.value().learning_rate == 0.02


def test_an_optional_number_can_be_emptied_by_typing_and_by_arrows(qtbot):
    box = NumberBox(32, 1024, 8, whole=True, optional=True)
    qtbot.addWidget(box)
    box.set_value(None)
    assert (box.value(), box.text()) == (None, EMPTY)
    box.stepUp()
    assert box.value() == 32
    box.stepDown()
    assert box.value() is None
    box.set_value(64)
    box.lineEdit().clear()
    qtbot.keyClick(box.lineEdit(), Qt.Key.Key_Return)
    assert box.value() is None


def test_bounds_limit_the_boxes_and_are_told(qtbot):
    form = ConfigForm(FinetuneConfig)
    qtbot.addWidget(form)
    form.editors["steps"].set_value(10**9)
    assert form.value().steps == 1_000_000
    fields = FinetuneConfig.model_fields
    assert tooltip(fields["steps"]).endswith("From 1 to 1,000,000.")
    assert tooltip(fields["learning_rate"]).endswith("Above 0, below 1.")
    assert tooltip(fields["warmup_steps"]).endswith("0 or more.")
    assert tooltip(fields["patch_size"]).endswith("From 32 to 1,024, a multiple of 8.")
    assert "Training steps, whatever" in form.editors["steps"].toolTip()


def test_what_does_not_go_together_is_said_with_the_titles_that_users_see(qtbot):
    form = ConfigForm(FinetuneConfig)
    qtbot.addWidget(form)
    form.editors["epochs"].set_value(3)
    with pytest.raises(ValidationError) as caught:
        form.value()
    assert explain(caught.value, FinetuneConfig) == (
        None,
        "Epochs train the study's plain grid; switch 'Replay' and augmentation off, or give steps instead.",
    )
    form.set_value(FinetuneConfig())
    form.editors["patch_size"].set_value(33)
    with pytest.raises(ValidationError) as caught:
        form.value()
    name, sentence = explain(caught.value, FinetuneConfig)
    assert name == "patch_size"
    assert sentence == "Patch size (px) should be a multiple of 8, but it is 33."
    form.mark(name)
    assert "border" in form.editors["patch_size"].styleSheet()
    form.mark(None)
    assert form.editors["patch_size"].styleSheet() == ""


def test_choices_can_have_plainer_names(qtbot):
    form = ConfigForm(FinetuneConfig, ["layers"], {"layers": {"all": "All layers"}})
    qtbot.addWidget(form)
    assert form.editors["layers"].currentText() == "All layers"
    assert form.value().layers == "all"


@pytest.mark.parametrize("make_box", [lambda: ChoiceBox([("a", 1), ("b", 2)]), lambda: NumberBox(0, 10, 1)])
def test_the_wheel_scrolls_the_dock_and_not_the_value(qtbot, make_box):
    box = make_box()
    qtbot.addWidget(box)
    before = box.value()
    event = QWheelEvent(
        QPointF(5, 5), QPointF(5, 5), QPoint(), QPoint(0, -120), Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    box.wheelEvent(event)
    assert box.value() == before
    assert not event.isAccepted()
