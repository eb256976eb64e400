"""Models of other programs: PAULow's state dicts."""

from __future__ import annotations

import pickle
import re
import warnings
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from ..config import ModelConfig
from ..errors import ModelError
from ..io.disk import check_crc
from .card import paulow_card
from .model import Model, checked_weights

_WRAPPERS = ("state_dict", "model_state_dict")
_PREFIXES = ("module.", "_orig_mod.")
_FIRST_WEIGHT = "conv1.conv1.weight"
_CURE = "Save a plain state dict: torch.save(model.state_dict(), path)."


def import_paulow(path: Path) -> Model:
    """Return the model in a ``.pth`` state dict with PAULow's layer names, of any width and depth.

    PAULow divides intensities by the largest value of the data type, trains on patches of 128 pixels and takes a
    logit above 0.5 for an object; the card says so too. A dict that holds the state dict under
    ``state_dict`` or ``model_state_dict``, and names that begin with ``module.``, are understood.

    Raises
    ------
    ModelError
        If the file holds something else or a layer is missing, unknown or of another shape.
    """
    weights = _plain_state_dict(path, _load_tensors(path))
    config = _infer_config(path, weights)
    return Model(
        checked_weights(str(path), weights, config), paulow_card(path).plain.model_copy(update={"shape": config})
    )


def _load_tensors(path: Path) -> Any:
    """Unpickle nothing but tensors and containers; torch raises many kinds of errors for damaged files."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            check_crc(path)
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{path} is damaged or holds more than tensors, which could run foreign code, and was not opened. {_CURE}"
        ) from error
    except Exception as error:
        raise ModelError(f"{path} is a damaged model file or no PyTorch file. Copy or download it again.") from error


def _plain_state_dict(path: Path, loaded: Any) -> dict[str, Tensor]:
    for wrapper in _WRAPPERS:
        if isinstance(loaded, dict) and isinstance(loaded.get(wrapper), dict):
            loaded = loaded[wrapper]
    if not isinstance(loaded, dict) or not loaded:
        raise ModelError(f"{path} holds a {type(loaded).__name__}, not the weights of a model by name. {_CURE}")
    for name, tensor in loaded.items():
        if not isinstance(name, str) or not _is_weight(tensor):
            raise ModelError(f"{path}: entry '{name}' is not a tensor of weights. {_CURE}")
    return {_without_prefix(name): tensor for name, tensor in loaded.items()}


def _is_weight(value: object) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point() and value.layout == torch.strided


def _without_prefix(name: str) -> str:
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    return name


def _infer_config(path: Path, weights: dict[str, Tensor]) -> ModelConfig:
    first = weights.get(_FIRST_WEIGHT)
    if first is None or first.ndim != 4:
        raise ModelError(
            f"{path}: layer '{_FIRST_WEIGHT}' is missing, so this is not PAULow's Attention U-Net. "
            "Choose a model of this program or a PAULow .pth file."
        )
    levels = max(int(found[1]) for name in weights if (found := re.match(r"conv(\d+)\.conv1\.weight", name)))
    try:
        return ModelConfig(width=first.shape[0], in_channels=first.shape[1], levels=levels)
    except ValidationError as error:
        raise ModelError(
            f"{path}: a network of width {first.shape[0]}, {levels} levels and {first.shape[1]} channels is not "
            "supported. Choose a width that is a multiple of 16 and 2 to 6 levels."
        ) from error
