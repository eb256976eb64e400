"""The bytes of a model file: safetensors with one JSON description and a sha256 over everything.

The sha256 covers the whole file with its own 64 digits written as zeros. It stands inside the description, which
stands under one key of the safetensors header: such a file opens in any safetensors reader. A change of the
description or of the layers' names raises `FORMAT_VERSION`; the place and meaning of the sha256 never change.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from ..errors import CheckpointError
from .file_kinds import unreadable

FORMAT_VERSION: Final = 1
# Room for the records of some 30,000 training images; the tensors do not count.
MAX_HEADER_BYTES = 4 * 2**20
MAX_TENSORS = 5000

_KEY = "napari_unet_finetune"
_DIGEST_BEFORE = rb"\"payload_sha256\":\""
_NO_DIGEST = "0" * 64
_AGAIN = "Copy or download it again, or choose another model."


def encode(tensors: Mapping[str, Tensor], description: Mapping[str, Any]) -> tuple[bytes, str]:
    """Return the bytes of a model file and its sha256.

    Raises
    ------
    CheckpointError
        If there is more to describe than a file may hold.
    """
    described = json.dumps({"payload_sha256": _NO_DIGEST, **description}, separators=(",", ":"))
    data = bytearray(safetensors.torch.save(dict(tensors), metadata={_KEY: described}))
    header_bytes = int.from_bytes(data[:8], "little")
    if header_bytes > MAX_HEADER_BYTES or len(tensors) > MAX_TENSORS:
        raise CheckpointError(
            f"The description of this model takes {header_bytes} bytes for {len(tensors)} tensors; "
            f"at most {MAX_HEADER_BYTES} and {MAX_TENSORS} fit. Train on fewer images or shorten their names."
        )
    digest = hashlib.sha256(data).hexdigest()
    place = data.index(_DIGEST_BEFORE) + len(_DIGEST_BEFORE)
    data[place : place + 64] = digest.encode()
    return bytes(data), digest


def decode(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return tensors and description of the model file `path`, after checking its sha256.

    Raises
    ------
    CheckpointError
        If the file is damaged, incomplete, foreign or of a newer version.
    """
    try:
        with path.open("rb") as file:
            head = _read_head(path, file)
            description = _description(path, head)
            data = head + file.read()
    except OSError as error:
        raise unreadable(path, error) from error
    _check_digest(path, data)
    _check_version(path, description)
    try:
        return safetensors.torch.load(data), description
    except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise _damaged(path) from error


def read_description(path: Path) -> dict[str, Any]:
    """Return the description of the model file `path` without reading its tensors or checking its sha256.

    Raises
    ------
    CheckpointError
        If the header is damaged, foreign or of a newer version.
    """
    try:
        with path.open("rb") as file:
            description = _description(path, _read_head(path, file))
    except OSError as error:
        raise unreadable(path, error) from error
    _check_version(path, description)
    return description


def _read_head(path: Path, file: BinaryIO) -> bytes:
    """Return the first eight bytes, which hold the length of the header, and the header."""
    length = file.read(8)
    header_bytes = int.from_bytes(length, "little")
    if header_bytes > MAX_HEADER_BYTES:
        raise CheckpointError(
            f"{path} declares a header of {header_bytes} bytes, more than any model of this program: "
            f"it is damaged or foreign. {_AGAIN}"
        )
    header = file.read(header_bytes)
    if len(header) < header_bytes:
        raise CheckpointError(f"{path} is only the beginning of a model file. {_AGAIN}")
    return length + header


def _description(path: Path, head: bytes) -> dict[str, Any]:
    header = _json_object(path, head[8:])
    metadata = header.get("__metadata__")
    if not isinstance(metadata, dict) or not isinstance(metadata.get(_KEY), str):
        raise CheckpointError(
            f"{path} is a safetensors file of another program, or it is damaged. Choose a model of this program."
        )
    if len(header) - 1 > MAX_TENSORS:
        raise _damaged(path)
    return _json_object(path, metadata[_KEY])


def _json_object(path: Path, text: str | bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _damaged(path) from error
    if not isinstance(value, dict):
        raise _damaged(path)
    return value


def _check_digest(path: Path, data: bytes) -> None:
    place = data.find(_DIGEST_BEFORE) + len(_DIGEST_BEFORE)
    sha256 = hashlib.sha256(data[:place])
    sha256.update(_NO_DIGEST.encode())
    sha256.update(memoryview(data)[place + 64 :])
    if sha256.hexdigest().encode() != data[place : place + 64]:
        raise _damaged(path)


def _check_version(path: Path, description: Mapping[str, Any]) -> None:
    version = description.get("format_version")
    if not isinstance(version, int):
        raise _damaged(path)
    if version > FORMAT_VERSION:
        raise CheckpointError(
            f"{path} was written by version {description.get('written_by')} in file format {version}; "
            f"this version reads up to {FORMAT_VERSION}. Update napari-unet-finetune."
        )


def _damaged(path: Path) -> CheckpointError:
    return CheckpointError(f"{path} is damaged: its content does not match its checksum. {_AGAIN}")
