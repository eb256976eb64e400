"""What a model file says of itself, read from its header alone: neither tensors nor torch are needed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

from ..errors import ModelError
from ..text import shortened
from .packages import is_package, open_model

_SNIFFED_BYTES = 512
_TORCH = (b"PK\x03\x04", b"\x80\x02", b"\x80\x04", b"\x80\x05")
_IMAGES = (b"II*\0", b"MM\0*", b"II+\0", b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM")


def is_safetensors(path: Path) -> bool:
    """Tell whether the model file `path` is one of safetensors, or a package with one, else of PyTorch.

    Raises
    ------
    ModelError
        If it is missing, a folder, empty, unreadable or something else.
    """
    start = _first_bytes(path)
    if start[8:9] == b"{" and start[4:8] == b"\0\0\0\0":
        return True
    if start.startswith(_TORCH):
        return is_package(path)
    raise ModelError(
        f"{path} {_what_else(start)}. Choose a .safetensors model or a .zip package of this program, "
        "or a PAULow .pth file."
    )


def _what_else(start: bytes) -> str:
    if start.startswith(_IMAGES):
        return "is an image, not a model"
    if start.startswith(b"\x93NUMPY"):
        return "is a NumPy array, not a model"
    text = start.decode(errors="replace")
    if "\0" not in text and text.count("\ufffd") <= 1:  # the last character may be cut
        return "is a text file, not a model"
    return "is not a model, or it is damaged"


def _first_bytes(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise ModelError(f"{path} is a folder, not a model. Choose the .safetensors file in it.")
        with path.open("rb") as file:
            start = file.read(_SNIFFED_BYTES)
    except FileNotFoundError:
        raise ModelError(f"{path} does not exist. Check the spelling or choose another model.") from None
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    if not start:
        raise ModelError(f"{path} is empty. Copy or download the model again.")
    return start


def unreadable(path: Path, error: Exception) -> ModelError:
    """Return the error that says why the system would not read `path`."""
    reason = getattr(error, "strerror", None) or error
    return ModelError(f"{path} cannot be read ({reason}). Check its name and permissions or choose another model.")


# Files say the lowest one that reads them: the second is that of models whose older datasets keep weights of their own.
FORMAT_VERSION: Final = 2
FIRST_FORMAT_VERSION: Final = 1
# Room for the records of some 30,000 training images; the tensors do not count.
MAX_HEADER_BYTES = 4 * 2**20
MAX_TENSORS = 5000
KEY = "napari_unet_finetune"
DIGEST_BEFORE = rb"\"payload_sha256\":\""
NO_DIGEST = "0" * 64
REHEARSAL = "rehearsal/"  # begins the names of tensors that are training patches
OLDER = "older/"  # begins the names of those of the model that older datasets keep
AGAIN = "Copy or download it again, or choose another model."


def is_own_weight(name: str) -> bool:
    """Tell whether a tensor of this name belongs to the network itself, which the newest images are shown to."""
    return not name.startswith((REHEARSAL, OLDER))


def read_description(path: Path) -> dict[str, Any]:
    """Return the description of the model file `path` without reading its tensors or checking its sha256.

    Raises
    ------
    ModelError
        If the header is damaged, foreign or of a newer version.
    """
    try:
        with open_model(path) as file:
            description = parse_description(path, read_head(path, file))
    except OSError as error:
        raise unreadable(path, error) from error
    check_version(path, description)
    return description


def read_head(path: Path, file: BinaryIO) -> bytes:
    """Return the first eight bytes, which hold the length of the header, and the header."""
    length = file.read(8)
    header_bytes = int.from_bytes(length, "little")
    if header_bytes > MAX_HEADER_BYTES:
        raise ModelError(
            f"{path} declares a header of {header_bytes} bytes, more than any model of this program: "
            f"it is damaged or foreign. {AGAIN}"
        )
    header = file.read(header_bytes)
    if len(header) < header_bytes:
        raise ModelError(f"{path} is only the beginning of a model file. {AGAIN}")
    return length + header


def parse_description(path: Path, head: bytes) -> dict[str, Any]:
    """Return the description in the header `head` of the model file `path`."""
    header = _json_object(path, head[8:])
    metadata = header.get("__metadata__")
    if not isinstance(metadata, dict) or not isinstance(metadata.get(KEY), str):
        raise ModelError(
            f"{path} is a safetensors file of another program, or it is damaged. Choose a model of this program."
        )
    if len(header) - 1 > MAX_TENSORS:
        raise damaged(path)
    return _json_object(path, metadata[KEY])


def _json_object(path: Path, text: str | bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise damaged(path) from error
    if not isinstance(value, dict):
        raise damaged(path)
    return value


def check_version(path: Path, description: Mapping[str, Any]) -> None:
    """Refuse the file of a newer version."""
    version = description.get("format_version")
    if not isinstance(version, int):
        raise damaged(path)
    if version > FORMAT_VERSION:
        raise ModelError(
            f"{path} was written by version {shortened(str(description.get('written_by')), 20)} in a newer format; "
            f"this version reads up to {FORMAT_VERSION}. Update napari-unet-finetune."
        )


def damaged(path: Path) -> ModelError:
    """Return the error that says that `path` is damaged."""
    return ModelError(f"{path} is damaged: its content does not match its checksum. {AGAIN}")
