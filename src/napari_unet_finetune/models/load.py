"""Load models: our safetensors files, alone or in a package, PAULow's state dicts, and those that ship."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from ..errors import ModelError
from .card import ModelCard, find_named_model, parse_card
from .foreign.model import ForeignModel, load_foreign
from .header import (
    DIGEST_BEFORE,
    NO_DIGEST,
    OLDER,
    REHEARSAL,
    check_version,
    damaged,
    is_own_weight,
    is_safetensors,
    parse_description,
    read_head,
    unreadable,
)
from .importers import import_paulow
from .model import Model, checked_weights
from .packages import is_foreign, open_model
from .rehearsal_patches import RehearsalPatches


def load_model(path_or_name: str | PathLike[str]) -> Model:
    """Return the model in a file (one of ours, a package with one, a PAULow ``.pth``), or the one of a name that ships.

    Raises
    ------
    ModelError
        If there is no such file or name, or the file is damaged, foreign or of a newer version.
    """
    path = find_named_model(fspath(path_or_name))
    return _load_own(path) if is_safetensors(path) else import_paulow(path)


def load_to_predict(path_or_name: str | PathLike[str]) -> Model | ForeignModel:
    """Return what `load_model` returns, or the network in a package of another program, which cannot be trained.

    Raises
    ------
    ModelError
        As `load_model`, or if such a network cannot predict here.
    """
    path = find_named_model(fspath(path_or_name))
    return load_foreign(path) if is_foreign(path) else load_model(path)


def _load_own(path: Path) -> Model:
    tensors, description = decode(path)
    return _model_of(path, tensors, parse_card(path, description).plain)


def _model_of(path: Path, tensors: Mapping[str, Tensor], card: ModelCard) -> Model:
    weights = {name: tensor for name, tensor in tensors.items() if is_own_weight(name)}
    own = checked_weights(str(path), weights, card.shape)
    older = None if card.older is None else _model_of(path, _behind(OLDER, tensors), card.older)
    return Model(own, card, _rehearsal(path, tensors, card.shape.in_channels), older)


def _behind(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def decode(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return tensors and description of the model file `path`, after checking its sha256.

    Raises
    ------
    ModelError
        If the file is damaged, incomplete, foreign or of a newer version.
    """
    try:
        with open_model(path) as file:
            head = read_head(path, file)
            description = parse_description(path, head)
            data = head + file.read()
    except OSError as error:
        raise unreadable(path, error) from error
    _check_digest(path, data)
    check_version(path, description)
    try:
        return safetensors.torch.load(data), description
    except (SafetensorError, AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise damaged(path) from error


def _check_digest(path: Path, data: bytes) -> None:
    place = data.find(DIGEST_BEFORE) + len(DIGEST_BEFORE)
    sha256 = hashlib.sha256(data[:place])
    sha256.update(NO_DIGEST.encode())
    sha256.update(memoryview(data)[place + 64 :])
    if sha256.hexdigest().encode() != data[place : place + 64]:
        raise damaged(path)


def _rehearsal(path: Path, tensors: Mapping[str, Tensor], channels: int) -> RehearsalPatches | None:
    packed = _behind(REHEARSAL, tensors)
    if not packed:
        return None
    try:
        return RehearsalPatches.unpack({name: one.numpy() for name, one in packed.items()}, channels)
    except (OverflowError, TypeError, ValueError) as error:
        raise ModelError(f"{path}: its rehearsal patches are not valid ({error}). Choose another model.") from error
