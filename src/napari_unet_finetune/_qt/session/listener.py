"""Connections that are remembered when they are made, and released all at once."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import cached_property
from typing import Any, Protocol


class Part(Protocol):
    """What lets go of the session and the viewer when it is told to."""

    def release(self) -> None:
        """Let go of everything that would outlive it."""


class Listener:
    """Hears signals of what outlives it (the session, a controller, the viewer) until it is released.

    Panels and what they are made of inherit from it; it needs no `__init__`.
    """

    def listen(self, signal: Any, slot: Callable[..., object]) -> None:
        """Have `slot` called by a signal, be it one of psygnal, Qt or napari, until `release`."""
        signal.connect(slot)
        self.at_release(lambda: signal.disconnect(slot))

    def keep(self, *parts: Part) -> None:
        """Release `parts` together with this."""
        for part in parts:
            self.at_release(part.release)

    def at_release(self, action: Callable[[], object]) -> None:
        """Do something on `release`; what was asked for last is done first."""
        self._held.callback(action)

    def release(self) -> None:
        """Let go of everything that would outlive this; after that nothing is left to be released."""
        self._held.close()

    @cached_property
    def _held(self) -> ExitStack:
        return ExitStack()
