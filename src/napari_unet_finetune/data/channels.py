"""The channels of images: what they are called, and which of them a model sees that takes fewer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..config import ChannelRule
from ..errors import DataError
from ..io.axes import COLORS
from ..io.images import channel_names
from ..text import first_of

ALL = ChannelRule(method="all")
Choice = tuple[str, ChannelRule | None]


def titles(names: Sequence[str]) -> tuple[str, ...]:
    """Return what to call channels of these names, of which some may be empty."""
    return tuple(name or f"channel {number}" for number, name in enumerate(names))


def usual_channels(names: Sequence[str]) -> ChannelRule | None:
    """Return what a model sees of such channels while nobody has chosen: colors as it takes them, else the first."""
    return None if len(names) < 2 or tuple(names) == COLORS else one_channel(names, 0)


def channel_choices(names: Sequence[str]) -> tuple[Choice, ...]:
    """Return what can be chosen where images have such channels, in words; nothing where they have but one."""
    if len(names) < 2:
        return ()
    single = tuple((title, one_channel(names, number)) for number, title in enumerate(titles(names)))
    return (("all colors", None), *single) if tuple(names) == COLORS else (*single, ("all channels", ALL))


def one_channel(names: Sequence[str], number: int) -> ChannelRule:
    """Return the rule that takes the channel of this number."""
    return ChannelRule(method="channel", channel=number, name=names[number] or None)


def find_channel(images: Path, wanted: str) -> ChannelRule:
    """Return the rule that takes the channel of this name, or of this number counted from 0, of a folder's images.

    Raises
    ------
    DataError
        If its images have no such channel.
    """
    names = channel_names(images)
    for number, name in enumerate(names):
        if wanted.strip().casefold() in (name.casefold() or None, str(number)):
            return one_channel(names, number)
    raise DataError(f"{images}: its images have no channel '{wanted}'. {_there_are(names)}")


def place_of(rule: ChannelRule, count: int, names: Sequence[str], *, image: str) -> int:
    """Return which of the `count` channels of an image, of which the names may be known, is taken by `rule`.

    Raises
    ------
    DataError
        If there is no such channel.
    """
    if rule.name and any(names) and len(names) == count:
        if rule.name in names:
            return list(names).index(rule.name)
    elif rule.channel < count:
        return rule.channel
    known = names if len(names) == count else ("",) * count
    raise DataError(f"{image}: there is no {rule.title} in this image. {_there_are(known)}")


def _there_are(names: Sequence[str]) -> str:
    if len(names) < 2:
        return "They are gray: leave the channel out."
    numbers = f"by number, from 0 to {len(names) - 1}"
    return f"Choose one by name ({first_of(names)}) or {numbers}." if all(names) else f"Choose one {numbers}."
