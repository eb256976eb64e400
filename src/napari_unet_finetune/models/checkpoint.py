"""Save and load models: one safetensors file each, whole or not at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Literal

import safetensors.torch
import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from torch import Tensor

from ..config import ChannelRule, ModelConfig, Normalization
from ..errors import CheckpointError
from ..io.disk import atomic_write
from .card import find_named_model, name_of_file
from .checkpoint_data import Checkpoint, check_weights, weights_hash
from .header import (
    FORMAT_VERSION,
    KEY,
    MAX_HEADER_BYTES,
    MAX_TENSORS,
    check_version,
    damaged,
    model_file_kind,
    parse_description,
    read_head,
    unreadable,
)
from .importers import import_paulow
from .provenance import Provenance, installed_version
from .rehearsal_patches import RehearsalPatches

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


__all__ = ["Checkpoint", "load_checkpoint", "save_checkpoint", "weights_hash"]

_ARCHITECTURE = "attention-unet"
_REHEARSAL = "rehearsal/"


class _Description(BaseModel):
    """What the file says of its tensors."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    payload_sha256: str = ""
    format_version: Literal[1] = FORMAT_VERSION
    written_by: str
    architecture: str = _ARCHITECTURE
    layer_naming: Literal["paulow-1"] = "paulow-1"
    model: ModelConfig
    normalization: Normalization
    channels: ChannelRule
    patch_size: int
    threshold: float
    rescale: float = 1.0
    provenance: Provenance


def save_checkpoint(checkpoint: Checkpoint, path: str | PathLike[str], *, half: bool = False) -> str:
    """Write `checkpoint` to the file `path`, whole or not at all, and return the sha256 of its payload.

    With `half` the weights are stored as float16, in half the space and rounded to about three digits.

    Raises
    ------
    CheckpointError
        If the file cannot be written, or weights are too large for float16.
    """
    data, digest = encode(_tensors(checkpoint, half), _describe(checkpoint))
    try:
        atomic_write(Path(path), lambda file: file.write(data))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CheckpointError(
            f"{fspath(path)} cannot be written ({reason}). Free some space or choose another folder."
        ) from error
    return digest


def load_checkpoint(path_or_name: str | PathLike[str]) -> Checkpoint:
    """Return the model in a file, one of ours or a PAULow ``.pth``, or the model of a name that ships.

    Raises
    ------
    CheckpointError
        If there is no such file or name, or the file is damaged, foreign or of a newer version.
    """
    path = find_named_model(fspath(path_or_name))
    return _load_own(path) if model_file_kind(path) == "safetensors" else import_paulow(path)


def _load_own(path: Path) -> Checkpoint:
    tensors, fields = decode(path)
    description = _parse(path, fields)
    weights = {name: tensor for name, tensor in tensors.items() if not name.startswith(_REHEARSAL)}
    check_weights(str(path), weights, description.model)
    provenance = description.provenance
    return Checkpoint(
        weights=weights,
        model=description.model,
        normalization=description.normalization,
        channels=description.channels,
        patch_size=description.patch_size,
        threshold=description.threshold,
        rescale=description.rescale,
        provenance=provenance.model_copy(update={"name": provenance.name or name_of_file(path)}),
        rehearsal=_rehearsal(path, tensors),
    )


def _parse(path: Path, fields: Mapping[str, Any]) -> _Description:
    architecture = fields.get("architecture")
    if architecture != _ARCHITECTURE:
        raise CheckpointError(
            f"{path} holds a network of kind '{architecture}', not '{_ARCHITECTURE}'. Choose another model."
        )
    try:
        return _Description.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise CheckpointError(
            f"{path}: its description is not valid ({where}: {first['msg']}). Choose another model."
        ) from error


def _describe(checkpoint: Checkpoint) -> dict[str, Any]:
    description = _Description(
        written_by=installed_version(),
        model=checkpoint.model,
        normalization=checkpoint.normalization,
        channels=checkpoint.channels,
        patch_size=checkpoint.patch_size,
        threshold=checkpoint.threshold,
        rescale=checkpoint.rescale,
        provenance=checkpoint.provenance,
    )
    return description.model_dump(mode="json", exclude={"payload_sha256"})


def _tensors(checkpoint: Checkpoint, half: bool) -> dict[str, Tensor]:
    weights = dict(checkpoint.weights)
    if half:
        weights = {name: tensor.to(torch.float16) for name, tensor in weights.items()}
        if not all(tensor.isfinite().all() for tensor in weights.values()):
            raise CheckpointError("The model has weights too large for half precision. Save it in full precision.")
    if checkpoint.rehearsal is None:
        return weights
    packed = checkpoint.rehearsal.packed
    return weights | {_REHEARSAL + name: torch.tensor(array) for name, array in packed.items()}


def _rehearsal(path: Path, tensors: Mapping[str, Tensor]) -> RehearsalPatches | None:
    arrays = {
        name.removeprefix(_REHEARSAL): tensor.numpy() for name, tensor in tensors.items() if name.startswith(_REHEARSAL)
    }
    if not arrays:
        return None
    try:
        return RehearsalPatches.unpack(arrays)
    except (ValueError, TypeError) as error:
        raise CheckpointError(
            f"{path}: its rehearsal patches are not valid ({error}). Choose another model."
        ) from error
