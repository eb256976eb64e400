"""Tell what a file is from its first bytes, so that a wrong choice is answered with what was chosen."""

from __future__ import annotations

from codecs import getincrementaldecoder
from pathlib import Path
from typing import Literal

from ..errors import CheckpointError

FileKind = Literal["safetensors", "torch", "image", "array", "text", "unknown"]

_SNIFFED_BYTES = 512
_MAGIC: tuple[tuple[bytes, FileKind], ...] = (
    (b"PK\x03\x04", "torch"),
    (b"\x80\x02", "torch"),
    (b"\x80\x04", "torch"),
    (b"\x80\x05", "torch"),
    (b"II*\0", "image"),
    (b"MM\0*", "image"),
    (b"II+\0", "image"),
    (b"\x89PNG", "image"),
    (b"\xff\xd8\xff", "image"),
    (b"GIF8", "image"),
    (b"BM", "image"),
    (b"\x93NUMPY", "array"),
)
_ADVICE = "Choose a .safetensors model of this program or a PAULow .pth file."
_REFUSALS: dict[FileKind, str] = {
    "image": f"is an image, not a model. {_ADVICE}",
    "array": f"is a NumPy array, not a model. {_ADVICE}",
    "text": f"is a text file, not a model. {_ADVICE}",
    "unknown": f"is not a model, or it is damaged. {_ADVICE}",
}


def model_file_kind(path: Path) -> Literal["safetensors", "torch"]:
    """Return which of the two kinds of model file `path` looks like.

    Raises
    ------
    CheckpointError
        If it is missing, a folder, empty, unreadable or of another kind.
    """
    kind = _kind(_first_bytes(path))
    if kind == "safetensors" or kind == "torch":
        return kind
    raise CheckpointError(f"{path} {_REFUSALS[kind]}")


def _first_bytes(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise CheckpointError(f"{path} is a folder, not a model. Choose the .safetensors file in it.")
        with path.open("rb") as file:
            start = file.read(_SNIFFED_BYTES)
    except FileNotFoundError:
        raise CheckpointError(f"{path} does not exist. Check the spelling or choose another model.") from None
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    if not start:
        raise CheckpointError(f"{path} is empty. Copy or download the model again.")
    return start


def unreadable(path: Path, error: Exception) -> CheckpointError:
    """Return the error that says why the system would not read `path`."""
    reason = getattr(error, "strerror", None) or error
    return CheckpointError(f"{path} cannot be read ({reason}). Check its name and permissions or choose another model.")


def _kind(start: bytes) -> FileKind:
    if start[8:9] == b"{" and start[4:8] == b"\0\0\0\0":
        return "safetensors"
    for magic, kind in _MAGIC:
        if start.startswith(magic):
            return kind
    return "text" if _is_text(start) else "unknown"


def _is_text(start: bytes) -> bool:
    try:
        return "\0" not in getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        return False
