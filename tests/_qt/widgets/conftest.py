"""A widget belongs to a window, or ends with its test."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def no_window_is_left(qapp: Any) -> Iterator[None]:
    """Fail a test that leaves a widget without a parent."""
    from qtpy.QtCore import QEvent

    def left() -> list[Any]:
        qapp.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        return [widget for widget in qapp.topLevelWidgets() if widget not in before]

    before = set(qapp.topLevelWidgets())
    yield
    if left():
        gc.collect()  # of those that refer to themselves
    assert not left(), f"without a parent: {left()}"
