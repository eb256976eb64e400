"""A form made from a pydantic model: titles become labels, descriptions and ranges tooltips, bounds limits."""

from __future__ import annotations

import html
import math
import types
from collections.abc import Iterable, Mapping
from typing import Any, Generic, Literal, TypeVar, Union, get_args, get_origin

from magicgui.type_map import TypeMap
from magicgui.widgets import CheckBox
from magicgui.widgets.bases import BaseValueWidget, ValuedContainerWidget
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from qtpy.QtCore import QSignalBlocker, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QCheckBox, QComboBox, QFormLayout, QLabel, QWidget

from ...colors import FAULT
from .editors import NumberEdit, TextEdit, shrink
from .fold import Fold

Model = TypeVar("Model", bound=BaseModel)
Words = Mapping[str, Mapping[Any, str]]
"""For a field, how its choices are called."""

_LARGEST = {True: 2**31 - 1, False: 1e9}
_LEAST = {True: 1, False: 1e-8}  # how far a number stays from a limit outside its range
_WRONG = f"border: 1px solid {FAULT};"


class ConfigForm(QWidget, Generic[Model]):
    """A form for some fields of a pydantic model; those that are not shown keep the values that were set.

    Parameters
    ----------
    model
        The class of the values.
    fields
        Names of the fields to show, in this order; all by default.
    words
        How choices are called, where the value itself is not plain enough.
    """

    changed = Signal()

    def __init__(self, model: type[Model], fields: Iterable[str] | None = None, words: Words | None = None) -> None:
        super().__init__()
        self.model = model
        self._rest: dict[str, Any] = {}
        self.boxes: dict[str, BaseValueWidget[Any]] = {}
        layout = QFormLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setVerticalSpacing(4)
        layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for name in model.model_fields if fields is None else fields:
            box = make_box(name, model.model_fields[name], words or {})
            self._add(layout, box)
            box.changed.connect(self._on_changed)
            self.boxes[name] = box
        self.set_value(model())

    def values(self) -> dict[str, Any]:
        """Return what is in the form, be it valid or not, without the fields that are not shown."""
        return {name: box.value for name, box in self.boxes.items()}

    def value(self) -> Model:
        """Return the values; raises pydantic's ValidationError if they do not go together."""
        return self.model.model_validate({**self._rest, **self.values()})

    def set_value(self, value: Model) -> None:
        """Show `value`; `changed` is emitted once."""
        values = {name: getattr(value, name) for name in self.model.model_fields}
        with QSignalBlocker(self):
            for name, box in self.boxes.items():
                box.value = values[name]
        self._rest = {name: held for name, held in values.items() if name not in self.boxes}
        self.changed.emit()

    def mark(self, name: str | None) -> None:
        """Frame the field called `name`, and no other."""
        for known, box in self.boxes.items():
            style = _WRONG if known == name and not isinstance(box, GroupEdit) else ""
            if box.native.styleSheet() != style:
                box.native.setStyleSheet(style)

    def _add(self, layout: QFormLayout, box: BaseValueWidget[Any]) -> None:
        if isinstance(box, (GroupEdit, CheckBox)):  # they show their names themselves
            layout.addRow(box.native)
            return
        label = QLabel(box.label)
        label.setToolTip(box.tooltip)
        label.setBuddy(box.native)
        layout.addRow(label, box.native)

    def _on_changed(self) -> None:
        self.changed.emit()


class GroupEdit(ValuedContainerWidget[Any]):
    """The form of a group of settings, folded away; if the group may be None, a tick says whether it is set."""

    def __init__(self, *, words: Words, **options: Any) -> None:
        self._flag = QCheckBox(options["label"]) if options.get("nullable") else None
        self.form: ConfigForm[Any] = ConfigForm(_kind(options["annotation"]), words=words)
        super().__init__(labels=False, **options)
        self.margins = (0, 0, 0, 0)
        layout = self.native.layout()
        if self._flag:
            self.form.setContentsMargins(16, 0, 0, 0)
            self.form.setVisible(False)
            self._flag.toggled.connect(self.form.setVisible)
            self._flag.toggled.connect(self._on_changed)
            layout.addWidget(self._flag)
            layout.addWidget(self.form)
        else:
            layout.addWidget(Fold(options["label"], self.form))
        self.form.changed.connect(self._on_changed)

    def get_value(self) -> dict[str, Any] | None:
        """Return the values of the group; None if it may be and is not ticked."""
        return None if self._flag and not self._flag.isChecked() else self.form.values()

    def set_value(self, value: BaseModel | None) -> None:
        """Show the values of the group."""
        if self._flag:
            self._flag.setChecked(value is not None)
        self.form.set_value(self.form.model() if value is None else value)

    def _on_changed(self) -> None:
        self.changed.emit(self.value)


# A map of our own: magicgui's is shared with all other plugins.
_TYPES = TypeMap()
_TYPES.register_type(bool, widget_type=CheckBox)  # which is an int to Python
_TYPES.register_type(int, widget_type=NumberEdit)
_TYPES.register_type(float, widget_type=NumberEdit)
_TYPES.register_type(str, widget_type=TextEdit)
_TYPES.register_type(BaseModel, widget_type=GroupEdit)


def make_box(name: str, field: FieldInfo, words: Words) -> BaseValueWidget[Any]:
    """Return the box for one field of a model."""
    kind = _kind(field.annotation)
    options: dict[str, Any] = {"tooltip": f"<qt>{html.escape(tooltip(field))}</qt>"}
    if get_origin(kind) is Literal:
        options["choices"] = [(words.get(name, {}).get(choice, str(choice)), choice) for choice in get_args(kind)]
    elif kind in (int, float):
        options |= _range(field, whole=kind is int)
    elif isinstance(kind, type) and issubclass(kind, BaseModel):
        options["words"] = words
    box = _TYPES.create_widget(annotation=field.annotation, name=name, label=field.title, options=options)
    assert isinstance(box, BaseValueWidget)
    if isinstance(box.native, QComboBox):
        shrink(box.native)
    return box


def tooltip(field: FieldInfo) -> str:
    """Return the description of a field, and its range in words."""
    return " ".join(filter(None, (field.description, _range_words(_bounds(field)))))


def _range(field: FieldInfo, *, whole: bool) -> dict[str, float]:
    """Return the smallest and the largest number that a box offers, and how far its arrows go."""
    bounds = _bounds(field)
    low = bounds.get("ge", bounds["gt"] + _LEAST[whole] if "gt" in bounds else -_LARGEST[whole])
    high = bounds.get("le", bounds["lt"] - _LEAST[whole] if "lt" in bounds else _LARGEST[whole])
    default = field.get_default(call_default_factory=True)
    return {"min": low, "max": high, "step": bounds.get("multiple_of") or _step(default, high, whole=whole)}


def _step(default: float | None, high: float, *, whole: bool) -> float:
    """Return how far an arrow should move a number that is `default` at first."""
    size = 10.0 ** math.floor(math.log10(abs(default))) if default else 1.0
    if whole:
        return max(1.0, size / 10)
    if high <= 1 and (default is None or default == 0 or 0.01 <= default <= 0.9):
        return 0.05
    return size / 10 if default else 0.01


def _bounds(field: FieldInfo) -> dict[str, float]:
    """Return the limits of a number as pydantic calls them."""
    names = ("ge", "gt", "le", "lt", "multiple_of")
    return {name: getattr(mark, name) for mark in field.metadata for name in names if hasattr(mark, name)}


def _range_words(bounds: Mapping[str, float]) -> str:
    """Return the range as a sentence; empty if there is none."""
    least = "from {:,.10g}" if bounds.keys() & {"le", "lt"} else "{:,.10g} or more"
    words = {"ge": least, "gt": "above {:,.10g}", "le": " to {:,.10g}", "lt": ", below {:,.10g}"}
    words["multiple_of"] = ", a multiple of {:,.10g}"
    text = "".join(part.format(bounds[name]) for name, part in words.items() if name in bounds).removeprefix(", ")
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _kind(annotation: Any) -> Any:
    """Return a type without None."""
    is_union = get_origin(annotation) in (Union, types.UnionType)
    return next(kind for kind in get_args(annotation) if kind is not type(None)) if is_union else annotation
