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
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from ..errors import CheckpointError
from .description import KEY, MAX_HEADER_BYTES, MAX_TENSORS, check_version, damaged, parse_description, read_head
from .file_kinds import unreadable

_DIGEST_BEFORE = rb"\"payload_sha256\":\""
_NO_DIGEST = "0" * 64


def encode(tensors: Mapping[str, Tensor], description: Mapping[str, Any]) -> tuple[bytes, str]:
    """Return the bytes of a model file and its sha256.

    Raises
    ------
    CheckpointError
        If there is more to describe than a file may hold.
    """
    described = json.dumps({"payload_sha256": _NO_DIGEST, **description}, separators=(",", ":"))
    data = bytearray(safetensors.torch.save(dict(tensors), metadata={KEY: described}))
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
            head = read_head(path, file)
            description = parse_description(path, head)
            data = head + file.read()
    except OSError as error:
        raise unreadable(path, error) from error
    _check_digest(path, data)
    check_version(path, description)
    try:
        return safetensors.torch.load(data), description
    except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise damaged(path) from error


def _check_digest(path: Path, data: bytes) -> None:
    place = data.find(_DIGEST_BEFORE) + len(_DIGEST_BEFORE)
    sha256 = hashlib.sha256(data[:place])
    sha256.update(_NO_DIGEST.encode())
    sha256.update(memoryview(data)[place + 64 :])
    if sha256.hexdigest().encode() != data[place : place + 64]:
        raise damaged(path)
