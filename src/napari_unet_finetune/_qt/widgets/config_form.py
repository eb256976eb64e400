"""A form made from a pydantic model: titles become labels, descriptions and ranges tooltips, bounds limits."""

from __future__ import annotations

import html
import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from qtpy.QtCore import QSignalBlocker, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QCheckBox, QFormLayout, QLabel, QVBoxLayout, QWidget

from ...colors import FAULT
from .editors import ChoiceBox, FlagBox, NamesBox, NumberBox, step_for
from .fold import Fold

Model = TypeVar("Model", bound=BaseModel)
Words = Mapping[str, Mapping[Any, str]]
"""For a field, how its choices are called."""

_LARGEST = {True: 2**31 - 1, False: 1e9}
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
        self.editors: dict[str, Any] = {}
        layout = QFormLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setVerticalSpacing(4)
        layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for name in model.model_fields if fields is None else fields:
            field = model.model_fields[name]
            editor = make_editor(field, (words or {}).get(name, {}), words or {})
            self._add(layout, field, editor)
            editor.changed.connect(self.changed)
            self.editors[name] = editor
        self.set_value(model())

    def values(self) -> dict[str, Any]:
        """Return what is in the form, be it valid or not, without the fields that are not shown."""
        return {name: editor.value() for name, editor in self.editors.items()}

    def value(self) -> Model:
        """Return the values; raises pydantic's ValidationError if they do not go together."""
        return self.model.model_validate({**self._rest, **self.values()})

    def set_value(self, value: Model) -> None:
        """Show `value`; `changed` is emitted once."""
        values = {name: getattr(value, name) for name in self.model.model_fields}
        with QSignalBlocker(self):
            for name, editor in self.editors.items():
                editor.set_value(values[name])
        self._rest = {name: held for name, held in values.items() if name not in self.editors}
        self.changed.emit()

    def mark(self, name: str | None) -> None:
        """Frame the field called `name`, and no other."""
        for known, editor in self.editors.items():
            style = _WRONG if known == name and not isinstance(editor, GroupBox) else ""
            if editor.styleSheet() != style:
                editor.setStyleSheet(style)

    def _add(self, layout: QFormLayout, field: FieldInfo, editor: Any) -> None:
        tip = f"<qt>{html.escape(tooltip(field))}</qt>"
        editor.setToolTip(tip)
        if isinstance(editor, GroupBox):
            layout.addRow(editor)
            return
        label = QLabel(field.title or "")
        label.setToolTip(tip)
        label.setBuddy(editor)
        layout.addRow(label, editor)


class GroupBox(QWidget):
    """The form of a group of settings, folded away; if the group is optional, a tick says whether it is set."""

    changed = Signal()

    def __init__(self, model: type[BaseModel], title: str, *, optional: bool, words: Words) -> None:
        super().__init__()
        self.form: ConfigForm[Any] = ConfigForm(model, words=words)
        self._flag = QCheckBox(title) if optional else None
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        if self._flag:
            self.form.setContentsMargins(16, 0, 0, 0)
            self.form.setVisible(False)
            self._flag.toggled.connect(self._on_toggled)
            layout.addWidget(self._flag)
            layout.addWidget(self.form)
        else:
            layout.addWidget(Fold(title, self.form))
        self.form.changed.connect(self.changed)

    def value(self) -> dict[str, Any] | None:
        """Return the values of the group; None if it is optional and not ticked."""
        return None if self._flag and not self._flag.isChecked() else self.form.values()

    def set_value(self, value: BaseModel | None) -> None:
        """Show the values of the group."""
        if self._flag:
            self._flag.setChecked(value is not None)
        self.form.set_value(self.form.model() if value is None else value)

    def _on_toggled(self, checked: bool) -> None:
        self.form.setVisible(checked)
        self.changed.emit()


def make_editor(field: FieldInfo, words: Mapping[Any, str], all_words: Words) -> Any:
    """Return the box for one field of a model."""
    kind, optional = _kind(field)
    if get_origin(kind) is Literal:
        choices = [(words.get(choice, str(choice)), choice) for choice in get_args(kind)]
        return ChoiceBox(choices, optional=optional)
    if kind is bool:
        return FlagBox()
    if kind in (int, float):
        bounds, default = Bounds.of(field), field.get_default(call_default_factory=True)
        whole = kind is int
        low, high = bounds.limits(whole=whole)
        step = bounds.multiple or step_for(default, high, whole=whole)
        return NumberBox(low, high, step, whole=whole, optional=optional)
    if get_origin(kind) is tuple:
        return NamesBox()
    return GroupBox(kind, field.title or "", optional=optional, words=all_words)


def tooltip(field: FieldInfo) -> str:
    """Return the description of a field, and its range in words."""
    return " ".join(filter(None, (field.description, Bounds.of(field).words)))


@dataclass(frozen=True)
class Bounds:
    """The range of a number: limits that belong to it, or not, and what it must be a multiple of."""

    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None
    multiple: float | None = None

    @classmethod
    def of(cls, field: FieldInfo) -> Bounds:
        """Return the bounds in the declaration of a field."""
        found = {name: getattr(mark, name) for mark in field.metadata for name in _BOUNDS if hasattr(mark, name)}
        return cls(**{"multiple" if name == "multiple_of" else name: value for name, value in found.items()})

    def limits(self, *, whole: bool) -> tuple[float, float]:
        """Return the smallest and the largest number that a box offers."""
        low, high = self.ge, self.le
        if self.gt is not None:
            low = self.gt + (1 if whole else 1e-8 if self.gt == 0 else 1e-6)
        if self.lt is not None:
            high = self.lt - (1 if whole else 1e-6)
        return -_LARGEST[whole] if low is None else low, _LARGEST[whole] if high is None else high

    @property
    def words(self) -> str:
        """The range as a sentence; empty if there is none."""
        low = f"from {self.ge:g}" if self.ge is not None else f"above {self.gt:g}" if self.gt is not None else ""
        high = f"to {_number(self.le)}" if self.le is not None else ""
        high = f"below {_number(self.lt)}" if self.lt is not None else high
        joined = f"{low}, {high}" if low and high.startswith("below") else f"{low} {high}".strip()
        if low and not high and self.ge is not None:
            joined = f"{self.ge:g} or more"
        multiple = f"a multiple of {self.multiple:g}" if self.multiple else ""
        text = ", ".join(filter(None, (joined, multiple)))
        return f"{text[:1].upper()}{text[1:]}." if text else ""


_BOUNDS = ("ge", "gt", "le", "lt", "multiple_of")


def explain(error: ValidationError, model: type[BaseModel]) -> tuple[str | None, str]:
    """Return which field is wrong, if it is one, and what is wrong in a sentence with the titles that users see."""
    first = error.errors()[0]
    reason = first["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    titles, name = _titles(model), ".".join(str(part) for part in first["loc"])
    if first["msg"].startswith("Input should be "):
        return name.partition(".")[0], f"{titles.get(name, name)} should be {reason}, but it is {first['input']}."
    for known, title in titles.items():
        if "_" in known:
            reason = reason.replace(known, f"'{title}'")
    where = f"{titles.get(name, name)}: " if name else ""
    text = f"{where}{reason}"
    return name.partition(".")[0] or None, f"{text[:1].upper()}{text[1:]}."


def _titles(model: type[BaseModel], prefix: str = "") -> dict[str, str]:
    """Return the titles of all fields by their dotted names."""
    titles: dict[str, str] = {}
    for name, field in model.model_fields.items():
        titles[prefix + name] = field.title or name
        kind, _ = _kind(field)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            titles |= _titles(kind, f"{prefix}{name}.")
    return titles


def _kind(field: FieldInfo) -> tuple[Any, bool]:
    """Return the type of a field without None, and whether it may be None."""
    annotation = field.annotation
    if get_origin(annotation) in (Union, types.UnionType):
        kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
        return kinds[0], len(kinds) < len(get_args(annotation))
    return annotation, False


def _number(value: float | None) -> str:
    return f"{value:,.0f}" if value is not None and float(value).is_integer() else f"{value:g}"
