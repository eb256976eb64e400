"""The rules of ARCHITECTURE.md about who may import whom."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PYPROJECT = Path(__file__).parent.parent / "pyproject.toml"
SLOW_TO_IMPORT = ("torch", "matplotlib", "napari", "qtpy", "skimage")
QUICK_MODULES = ("napari_unet_finetune", "napari_unet_finetune.cli", "napari_unet_finetune._qt.sample_data")


def test_import_contracts_hold() -> None:
    pytest.importorskip("importlinter")
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as lint; lint()"]
    outcome = subprocess.run(
        [*command, "--config", str(PYPROJECT), "--no-cache"], capture_output=True, text=True, check=False
    )
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


@pytest.mark.parametrize("module", QUICK_MODULES)
def test_opens_without_waiting_for_heavy_libraries(module: str) -> None:
    script = f"import sys, {module}; print(*(name for name in {SLOW_TO_IMPORT} if name in sys.modules))"
    outcome = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert outcome.stdout.split() == []
