"""What must open at once imports nothing that is slow to import; `make lint` checks who may import whom."""

from __future__ import annotations

from collections.abc import Callable

import pytest

SLOW_TO_IMPORT = {"torch", "matplotlib", "napari", "qtpy", "skimage"}
QUICK_MODULES = ("napari_unet_finetune", "napari_unet_finetune.cli", "napari_unet_finetune._qt.sample_data")


@pytest.mark.parametrize("module", QUICK_MODULES)
def test_opens_without_waiting_for_heavy_libraries(module: str, loaded_by: Callable[[str], set[str]]) -> None:
    assert not SLOW_TO_IMPORT & loaded_by(f"import {module}")
