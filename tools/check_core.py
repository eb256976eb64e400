"""Check the environment of the core tests: no napari, no Qt, what the extras need, and a wheel that holds all of it."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from zipfile import ZipFile

FORBIDDEN = ("napari", "npe2", "magicgui", "qtpy", "superqt", "PyQt6", "PySide6")
NEEDED = ("bioimageio.spec", "distributed", "onnx", "onnxruntime")  # else their tests would be passed over
PACKAGED = ("napari.yaml", "py.typed", "_qt/sample_data.py")


def main(wheel: Path) -> int:
    """Return 0 if all is as it should be; print what is not."""
    present = [name for name in FORBIDDEN if find_spec(name) is not None]
    if present:
        print(f"{', '.join(present)} can be imported here, but the core must be tested without.")
    absent = [name for name in NEEDED if not _is_there(name)]
    if absent:
        print(f"{', '.join(absent)} cannot be imported, so that what needs them would not be tested.")
    with ZipFile(wheel) as archive:
        names = set(archive.namelist())
    missing = [name for name in PACKAGED if f"napari_unet_finetune/{name}" not in names]
    if missing:
        print(f"{wheel.name} does not contain {', '.join(missing)}.")
    return 1 if present or absent or missing else 0


def _is_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # of the package around it
        return False


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
