"""Check the environment of the core tests: no napari, no Qt, and a wheel that brings what it must."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from zipfile import ZipFile

FORBIDDEN = ("napari", "npe2", "magicgui", "qtpy", "superqt", "PyQt6", "PySide6")
PACKAGED = ("napari.yaml", "py.typed", "_qt/sample_data.py")


def main(wheel: Path) -> int:
    """Return 0 if all is as it should be; print what is not."""
    present = [name for name in FORBIDDEN if find_spec(name) is not None]
    if present:
        print(f"{', '.join(present)} can be imported here, but the core must be tested without.")
    with ZipFile(wheel) as archive:
        names = set(archive.namelist())
    missing = [name for name in PACKAGED if f"napari_unet_finetune/{name}" not in names]
    if missing:
        print(f"{wheel.name} does not contain {', '.join(missing)}.")
    return 1 if present or missing else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
