"""A box for the channel that a model sees, of those that images have."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QSignalBlocker

from ...config import ChannelRule
from ...data.channels import channel_choices
from .editors import ChoiceBox
from .layout import tipped

_TIP = (
    "The channel that models see and learn from: the one that shows your objects. A model that takes as many "
    "channels as the images have sees all of them."
)


class ChannelBox(ChoiceBox):
    """One of the channels, or all."""

    def __init__(self) -> None:
        super().__init__([])
        tipped(self, _TIP)

    def set_channels(self, names: Sequence[str], chosen: ChannelRule | None) -> None:
        """Offer channels of these names and choose one, without telling anybody."""
        choices = list(channel_choices(names))
        wanted = _key(chosen)
        if choices and wanted not in [_key(rule) for _, rule in choices]:  # that of a model made in the terminal
            choices.append((chosen.in_words if chosen else "as the model takes them", chosen))
        with QSignalBlocker(self):
            self.clear()
            for text, rule in choices:
                self.addItem(text, rule)
            self.setCurrentIndex(next((place for place, (_, rule) in enumerate(choices) if _key(rule) == wanted), -1))


def _key(rule: ChannelRule | None) -> object:
    return rule and (rule.method, rule.channel)
