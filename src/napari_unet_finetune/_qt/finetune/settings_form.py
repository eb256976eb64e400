"""All settings of a training in two forms: those one should see, and those for experts, kept in step with a preset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from qtpy.QtCore import QSignalBlocker, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QFormLayout, QLabel, QWidget

from ...config import CONFIG_VERSION, PRESETS, AugmentConfig, FinetuneConfig, PresetName, explain, fields_of
from ...text import about
from ..session.settings import default_device
from ..widgets.config_form import ConfigForm
from ..widgets.editors import ChoiceBox
from ..widgets.fold import Fold
from ..widgets.layout import in_form, tipped

ESSENTIAL = ("layers", "loss", "false_positive_weight", "steps", "replay_share", "unannotated_share", "seed", "device")
_IN_SIGHT = ("steps",)
# Settled by the preset box, by the roles of the images, by their channel, or not a choice at all.
SETTLED = ("version", "preset", "held_out", "channels")
WORDS: Mapping[str, Mapping[Any, str]] = {
    "layers": {
        "all": "all layers",
        "first": "first layers only",
        "spot": "layers near the image",
        "encoder": "encoder (looks)",
        "decoder": "decoder (decides)",
        "last": "last layers only",
        "norm": "norms and biases",
    },
    "loss": {
        "bce_dice": "BCE + Dice",
        "dynamic": "dynamic (study)",
        "dynamic_safe": "dynamic, safe",
        "tversky": "Tversky",
        "focal_tversky": "focal Tversky",
    },
    "device": {"cpu": "CPU", "cuda": "GPU (CUDA)", "mps": "GPU (Apple)"},
    "first_phase_layers": {},
}
_PRESETS: Mapping[PresetName, str] = {
    "default": "Default",
    "plateau": "As long as it gains",
    "fast": "Fast",
    "seed recipe": "Seed recipe, as in the study",
    "from scratch": "From scratch, without a base",
}


_STRENGTHS: Mapping[str, AugmentConfig] = {
    "off": AugmentConfig.none(),
    "light": AugmentConfig().halved,
    "standard": AugmentConfig(),
    "strong": PRESETS["from scratch"]["augment"],
}
_OWN = "as set below"
_TITLES = {name: field.title or name for name, field in fields_of(FinetuneConfig).items()}


class SettingsForm(QWidget):
    """Makes a `FinetuneConfig`; `changed` is emitted on every change, `problem` says what does not go together.

    Preset and length are in sight, all else is in `fold`, which whoever uses this form puts where there is room.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.preset = ChoiceBox([(text, name) for name, text in _PRESETS.items()])
        self.strength = ChoiceBox([(name, name) for name in (*_STRENGTHS, _OWN)])
        self.essential = ConfigForm(FinetuneConfig, ESSENTIAL, WORDS)
        others = [name for name in FinetuneConfig.model_fields if name not in ESSENTIAL + SETTLED]
        self.expert = ConfigForm(FinetuneConfig, others, WORDS)
        self.fold, self._experts = Fold("More settings", self.essential), Fold("Settings for experts", self.expert)
        self.problem = ""
        self.wrong: str | None = None
        self._config: FinetuneConfig | None = None
        self._pace: float | None = None
        self._lay_out()
        self.set_preset("default")
        self.preset.changed.connect(lambda: self.set_preset(self.preset.value()))
        self.strength.changed.connect(self._on_strength)
        self.essential.changed.connect(self._on_changed)
        self.expert.changed.connect(self._on_changed)

    @property
    def config(self) -> FinetuneConfig | None:
        """The settings; None if they do not go together."""
        return self._config

    def set_preset(self, name: PresetName) -> None:
        """Fill everything from a preset."""
        self.set_value(FinetuneConfig(preset=name, device=default_device()))

    def set_value(self, config: FinetuneConfig) -> None:
        """Show `config`."""
        with QSignalBlocker(self.preset), QSignalBlocker(self.essential), QSignalBlocker(self.expert):
            self.preset.set_value(config.preset)
            self.essential.set_value(config)
            self.expert.set_value(config)
        self._on_changed()

    def offer(self, preset: PresetName, offered: bool) -> None:
        """Offer a preset, or do not; the one that is chosen stays."""
        place = self.preset.findData(preset)
        if offered and place < 0:
            self.preset.addItem(_PRESETS[preset], preset)
        elif not offered and place >= 0 and self.preset.value() != preset:
            self.preset.removeItem(place)

    def set_pace(self, pace: float | None) -> None:
        """Have the names of the presets tell how long they take, once the seconds per patch pixel are known."""
        self._pace = pace
        self._name_presets()

    def add_folded(self, form: QWidget) -> None:
        """Add a form to the settings that are folded away, above those for experts."""
        self.fold.addWidget(form)
        self.fold.addWidget(self._experts)

    def show_setting(self, name: str) -> None:
        """Unfold what hides a setting."""
        if name not in _IN_SIGHT:
            self.fold.expand(animate=False)
        if name not in ESSENTIAL:
            self._experts.expand(animate=False)

    def _lay_out(self) -> None:
        tipped(self.preset, "Where the settings start from; choosing a preset fills in everything below.")
        tipped(self.strength, "How much the training patches are changed at random: turned, scaled, brightened.")
        rows = self.essential.layout()
        assert isinstance(rows, QFormLayout)
        rows.insertRow(ESSENTIAL.index("steps"), QLabel("Augmentation"), self.strength)
        self.fold.addWidget(self._experts)
        in_sight = in_form(("Preset", self.preset))
        for name in _IN_SIGHT:
            taken = rows.takeRow(self.essential.boxes[name].native)
            in_sight.addRow(taken.labelItem.widget(), taken.fieldItem.widget())
        self.setLayout(in_sight)

    def _name_presets(self) -> None:
        """Write into the names of the presets how long they train: the one that is chosen, as it is set now."""
        for place in range(self.preset.count()):
            name: PresetName = self.preset.itemData(place)
            config, chosen = FinetuneConfig(preset=name), self._config
            if chosen is not None and chosen.preset == name:
                config = chosen
            most = "at most " if config.may_end_early else ""
            details = f"{config.epochs} epochs" if config.epochs else f"{most}{config.steps} steps"
            if self._pace is not None and not config.epochs:
                details += f", {about(self._pace * config.trained_px)}"
            self.preset.setItemText(place, f"{_PRESETS[name]} ({details})")

    def _on_strength(self) -> None:
        if self.strength.value() != _OWN:
            self.expert.boxes["augment"].value = _STRENGTHS[self.strength.value()]

    def _on_changed(self) -> None:
        """Check whether everything goes together, and show what follows from it."""
        values = {**self.essential.values(), **self.expert.values()}
        try:
            self._config = FinetuneConfig.model_validate(
                {**values, "version": CONFIG_VERSION, "preset": self.preset.value()}
            )
            self.problem, self.wrong = "", None
        except ValidationError as error:
            self._config = None
            where = error.errors()[0]["loc"]
            self.wrong, self.problem = str(where[0]) if where else None, explain(error, _TITLES)
        for form in (self.essential, self.expert):
            form.mark(self.wrong)
        self.essential.boxes["steps"].enabled = values["epochs"] is None
        with QSignalBlocker(self.strength):
            same = (name for name, augment in _STRENGTHS.items() if augment.model_dump() == values["augment"])
            self.strength.set_value(next(same, _OWN))
        self._name_presets()
        self.changed.emit()
