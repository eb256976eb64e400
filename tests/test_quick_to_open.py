"""What must open at once imports nothing that is slow to import; `make lint` checks who may import whom."""

from __future__ import annotations

import subprocess
import sys

import pytest

SLOW_TO_IMPORT = ("torch", "matplotlib", "napari", "qtpy", "skimage")
QUICK_MODULES = ("napari_unet_finetune", "napari_unet_finetune.cli", "napari_unet_finetune._qt.sample_data")


@pytest.mark.parametrize("module", QUICK_MODULES)
def test_opens_without_waiting_for_heavy_libraries(module: str) -> None:
    script = f"import sys, {module}; print(*(name for name in {SLOW_TO_IMPORT} if name in sys.modules))"
    outcome = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert outcome.stdout.split() == []
