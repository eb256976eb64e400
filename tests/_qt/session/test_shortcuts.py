"""Keys on the canvas do what docks ask for, and afterwards what they did before."""

import pytest

pytest.importorskip("qtpy")

from napari_unet_finetune._qt.session.shortcuts import CanvasKeys


def press(viewer, key):
    {str(one): action for one, action in viewer.keymap.items()}[key](viewer)


def test_keys_of_others_come_back_when_ours_are_released(viewer):
    done = []
    viewer.bind_key("N", lambda _viewer: done.append("theirs"))
    keys = CanvasKeys(viewer, {"N": lambda: done.append("next"), "Shift-N": lambda: done.append("previous")})
    press(viewer, "N")
    press(viewer, "Shift+N")
    keys.release()
    press(viewer, "N")
    assert done == ["next", "previous", "theirs"]
    assert "Shift+N" not in {str(key) for key in viewer.keymap}
