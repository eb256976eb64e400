"""What hears a signal of psygnal, Qt or napari lets go of it on release, once and with all its parts."""

from __future__ import annotations

from typing import Any

import pytest
from psygnal import Signal

pytest.importorskip("qtpy")

from qtpy.QtCore import QTimer

from napari_unet_finetune._qt.session.dock import Panel
from napari_unet_finetune._qt.session.listener import Listener


class Source:
    changed = Signal(str)


class Ear(Listener):
    def __init__(self) -> None:
        self.heard: list[Any] = []


def test_signals_of_all_three_are_heard_until_release(viewer: Any, qtbot: Any) -> None:
    ear, source, timer = Ear(), Source(), QTimer()
    ear.listen(source.changed, ear.heard.append)
    ear.listen(timer.timeout, lambda: ear.heard.append("tick"))
    ear.listen(viewer.layers.events.inserted, lambda: ear.heard.append("layer"))

    def tell() -> None:
        source.changed.emit("word")
        with qtbot.waitSignal(timer.timeout):
            timer.start(0)
        timer.stop()
        viewer.add_points([[0, 0]])

    tell()
    assert set(ear.heard) == {"word", "tick", "layer"}
    ear.release()
    ear.heard.clear()
    tell()
    assert ear.heard == [] and len(source.changed) == 0


def test_parts_and_actions_are_released_with_it_the_last_first_and_only_once(qtbot: Any) -> None:
    panel, part, done = Panel(), Ear(), []
    qtbot.addWidget(panel)
    panel.at_release(lambda: done.append("first asked"))
    part.at_release(lambda: done.append("part"))
    panel.keep(part)
    panel.release()
    panel.release()
    assert done == ["part", "first asked"]


def test_the_others_are_released_even_if_one_fails(qtbot: Any) -> None:  # noqa: ARG001 - a panel needs an application
    ear, done = Ear(), []
    ear.at_release(lambda: done.append("released"))
    ear.at_release(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        ear.release()
    assert done == ["released"]
