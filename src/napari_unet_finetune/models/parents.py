"""Which model another one was finetuned from: told by the hash of its weights, without torch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError
from ..io.disk import Stamp, file_stamp
from .card import FileCard, ModelCard, find_model_file
from .header import is_own_weight, is_safetensors
from .names import name_of_file
from .packages import is_package, open_model

_MOST_HASHES = 1024


def hash_of_weights(weights: Mapping[str, NDArray[Any]]) -> str:
    """Return the sha256 of names, shapes and float32 values of `weights`, whatever their order."""
    sha256 = hashlib.sha256()
    for name in sorted(weights):
        sha256.update(f"{name} {weights[name].shape}\n".encode())
        sha256.update(np.ascontiguousarray(weights[name], "<f4").data)
    return sha256.hexdigest()


def find_parent(card: ModelCard, candidates: Iterable[str | Path]) -> Path | None:
    """Return that of `candidates` which the model of `card` was finetuned from; None if it is not among them.

    The likely ones, which have the name of the parent, are looked at first. The weights of a PyTorch file cannot be
    read here, so one of the right name counts if it is older than the model.
    """
    if card.provenance.parent_sha256 is None:
        return None
    files = dict.fromkeys(find_model_file(candidate).absolute() for candidate in candidates)
    own = card.path.absolute() if isinstance(card, FileCard) else None
    likely_first = sorted(files, key=lambda file: name_of_file(file) != card.provenance.parent)
    return next((file for file in likely_first if file != own and _is_parent(file, card)), None)


def _is_parent(file: Path, card: ModelCard) -> bool:
    try:
        if is_safetensors(file):
            return _hash_of_file(file, file_stamp(file)) == card.provenance.parent_sha256
        changed = datetime.fromtimestamp(file.stat().st_mtime, UTC)
        return name_of_file(file) == card.provenance.parent and changed.isoformat() <= card.provenance.created
    except (ModelError, OSError):
        return False


@lru_cache(maxsize=_MOST_HASHES)
def _hash_of_file(file: Path, _stamp: Stamp) -> str | None:
    from safetensors import SafetensorError

    try:
        weights = _packed_weights(file) if is_package(file) else _weights(file)
    except (ModelError, SafetensorError, OSError, ValueError, TypeError):
        return None
    return hash_of_weights(weights)


def _weights(file: Path) -> dict[str, NDArray[Any]]:
    from safetensors import safe_open

    with safe_open(file, framework="numpy") as tensors:
        names = [name for name in tensors.keys() if is_own_weight(name)]  # noqa: SIM118 - no mapping
        return {name: tensors.get_tensor(name) for name in names}


def _packed_weights(file: Path) -> dict[str, NDArray[Any]]:
    from safetensors.numpy import load

    with open_model(file) as model:
        tensors = load(model.read())
    return {name: tensor for name, tensor in tensors.items() if is_own_weight(name)}
