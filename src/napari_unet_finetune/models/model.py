"""A trained model as a value, and its file: weights and all that is needed to use them, whole or not at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from pydantic import ValidationError
from torch import Tensor

from ..checked_json import first_fault
from ..config import ChannelRule, ModelConfig
from ..data.appearance import Appearance
from ..errors import ModelError
from ..io.disk import atomic_write
from ..text import shortened
from .attention_unet import AttentionUNet, made_for_prediction
from .card import ModelCard
from .header import DIGEST_BEFORE, KEY, MAX_HEADER_BYTES, MAX_TENSORS, NO_DIGEST, OLDER, REHEARSAL
from .layer_groups import adapt_in_channels
from .parents import hash_of_weights
from .provenance import Provenance
from .rehearsal_patches import RehearsalPatches

_KEPT_OF_HISTORY = ("name", "created", "package_version", "licence", "citation", "base_license", "base_citation")


@dataclass(frozen=True, eq=False)
class Model:
    """A trained network with its card.

    The weights are copied on creation (float32, CPU), so the model of a network in training is a snapshot.

    Parameters
    ----------
    weights
        The network's state dict, in PAULow's names.
    card
        What the model says of itself.
    rehearsal
        Training patches kept for later replay.
    older
        The model that predicts images of older datasets, which are shown to the network otherwise than the newest ones:
        so they are predicted as before, whatever was learned since. None where all datasets share the weights.

    Raises
    ------
    ModelError
        If the weights are not those of such a network, or a setting is out of range.
    """

    weights: Mapping[str, Tensor] = field(repr=False)
    card: ModelCard
    rehearsal: RehearsalPatches | None = field(default=None, repr=False)
    older: Model | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Check that everything fits together, and copy the weights."""
        subject = self.card.name or "model"
        weights = checked_weights(subject, self.weights, self.card.shape)
        older = None if self.older is None else self.older.card
        object.__setattr__(self, "card", self.card.model_copy(update={"older": older}))
        self.card.check()
        if self.rehearsal is not None and self.rehearsal.in_channels != self.card.shape.in_channels:
            raise ModelError(
                f"{subject}: the rehearsal patches have {self.rehearsal.in_channels} channels but the network sees "
                f"{self.card.shape.in_channels}. Leave the patches out or adapt them."
            )
        object.__setattr__(self, "weights", weights)

    def build_network(self) -> AttentionUNet:
        """Return the network with a copy of these weights, on the CPU, in evaluation mode.

        No random number is drawn, so that a resumed training goes on as if it had never stopped.
        """
        network = _empty_network(self.card.shape)
        network.load_state_dict({name: tensor.clone() for name, tensor in self.weights.items()}, assign=True)
        return network.eval()

    @property
    def identity(self) -> str:
        """Sha256 of the weights, and of those that older datasets keep; see `weights_hash`."""
        own = weights_hash(self.weights)
        return own if self.older is None else hashlib.sha256(f"{own} {self.older.identity}".encode()).hexdigest()

    def network_to_predict(self, device: torch.device) -> AttentionUNet:
        """Return a network on `device` that only predicts; see `made_for_prediction`."""
        return made_for_prediction(self.build_network(), device)

    def with_card(self, **changes: Any) -> Model:
        """Return this model with fields of its card changed."""
        return replace(self, card=self.card.model_copy(update=changes))

    def seeing(self, channels: ChannelRule | None) -> Model:
        """Return this model with the card that `ModelCard.seeing` returns."""
        if channels is None:
            return self
        return replace(self.with_card(channels=channels), older=self.older and self.older.seeing(channels))

    def serving(self, appearance: Appearance) -> Model:
        """Return the model that predicts images which are shown so: this one, or the one that older datasets keep."""
        return self if self.older is None or self.card.is_for(appearance) else self.older

    def as_older(self) -> Model:
        """Return what older datasets keep of this model: all that decides over a prediction, and whose it is.

        Patches and the records of images are left to the newer model.
        """
        history = self.card.provenance
        settings = {name: value for name, value in history.config.items() if name == "augment"}
        kept = Provenance(config=settings, **{name: getattr(history, name) for name in _KEPT_OF_HISTORY})
        return Model(self.weights, self.card.model_copy(update={"provenance": kept}))

    def with_in_channels(self, in_channels: int) -> Model:
        """Return this model made to see `in_channels` channels; rehearsal patches are adapted as well.

        Raises
        ------
        ModelError
            If `adapt_in_channels` cannot do it, or no network takes so many.
        """
        if in_channels == self.card.shape.in_channels:
            return self
        try:
            shape = ModelConfig(**{**self.card.shape.model_dump(), "in_channels": in_channels})
        except ValidationError as error:
            raise ModelError(
                f"A model cannot be given {in_channels} channels ({first_fault(error)[1]}). Choose one of them "
                "(in the terminal, --channel)."
            ) from error
        knows = tuple(one.for_channels(self.card.shape.in_channels, in_channels) for one in self.card.knows)
        return Model(
            adapt_in_channels(self.weights, in_channels),
            self.card.model_copy(update={"shape": shape, "knows": knows}),
            self.rehearsal and self.rehearsal.with_channels(in_channels),
            self.older and self.older.with_in_channels(in_channels),
        )

    def save(self, path: str | PathLike[str], *, half: bool = False) -> str:
        """Write the model to the file `path`, whole or not at all, and return the sha256 of its payload.

        With `half` the weights are stored as float16, in half the space and rounded to about three digits.

        Raises
        ------
        ModelError
            If the file cannot be written, or weights are too large for float16.
        """
        data, digest = encode(self._tensors(half), self.card.describe())
        try:
            atomic_write(Path(path), lambda file: file.write(data))
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ModelError(
                f"{fspath(path)} cannot be written ({reason}). Free some space or choose another folder."
            ) from error
        return digest

    def _tensors(self, half: bool) -> dict[str, Tensor]:
        weights = dict(self.weights)
        if half:
            weights = {name: tensor.to(torch.float16) for name, tensor in weights.items()}
            if not all(tensor.isfinite().all() for tensor in weights.values()):
                raise ModelError("The model has weights too large for half precision. Save it in full precision.")
        packed = self.rehearsal.packed if self.rehearsal is not None else {}
        older = self.older._tensors(half) if self.older is not None else {}
        return (
            weights
            | {REHEARSAL + name: torch.tensor(array) for name, array in packed.items()}
            | {OLDER + name: tensor for name, tensor in older.items()}
        )


def encode(tensors: Mapping[str, Tensor], description: Mapping[str, Any]) -> tuple[bytes, str]:
    """Return the bytes of a model file and its sha256.

    Raises
    ------
    ModelError
        If there is more to describe than a file may hold.
    """
    described = json.dumps({"payload_sha256": NO_DIGEST, **description}, separators=(",", ":"))
    data = bytearray(safetensors.torch.save(dict(tensors), metadata={KEY: described}))
    header_bytes = int.from_bytes(data[:8], "little")
    if header_bytes > MAX_HEADER_BYTES or len(tensors) > MAX_TENSORS:
        raise ModelError(
            f"The description of this model takes {header_bytes} bytes for {len(tensors)} tensors; "
            f"at most {MAX_HEADER_BYTES} and {MAX_TENSORS} fit. Train on fewer images or shorten their names."
        )
    digest = hashlib.sha256(data).hexdigest()
    place = data.index(DIGEST_BEFORE) + len(DIGEST_BEFORE)
    data[place : place + 64] = digest.encode()
    return bytes(data), digest


def weights_hash(weights: Mapping[str, Tensor]) -> str:
    """Return the sha256 of names, shapes and float32 values of `weights`, whatever their order."""
    return hash_of_weights({name: _float32_copy(tensor).numpy() for name, tensor in weights.items()})


def checked_weights(subject: str, weights: Mapping[str, Tensor], config: ModelConfig) -> dict[str, Tensor]:
    """Return float32 copies of `weights`, which are finite and fit the network of `config`, layer by layer.

    Raises
    ------
    ModelError
        If they do not, naming `subject` and the first layer that is wrong.
    """
    expected = _shapes(config)
    advice = "Choose a model of this program or a PAULow state dict."
    if missing := [name for name in expected if name not in weights]:
        raise ModelError(f"{subject}: layer '{missing[0]}' is missing ({len(missing)} in all). {advice}")
    if unexpected := [name for name in weights if name not in expected]:
        raise ModelError(
            f"{subject}: layer '{shortened(unexpected[0], 60)}' does not belong to the network ({len(unexpected)} in "
            f"all). {advice}"
        )
    for name, shape in expected.items():
        if weights[name].shape != shape:
            raise ModelError(
                f"{subject}: layer '{name}' is {tuple(weights[name].shape)} "
                f"but the network needs {tuple(shape)}. {advice}"
            )
        if not _is_plain(weights[name]):
            raise ModelError(f"{subject}: layer '{name}' holds {weights[name].dtype}, but not as weights do. {advice}")
        if not _float32_copy(weights[name]).isfinite().all():
            raise ModelError(
                f"{subject}: layer '{name}' holds NaN or infinity, so the training had failed. Choose another model."
            )
    return {name: _float32_copy(tensor) for name, tensor in weights.items()}


@cache
def _shapes(config: ModelConfig) -> Mapping[str, torch.Size]:
    """Return the shape of each layer of the network, which takes longer to make than many a small model to copy."""
    return {name: tensor.shape for name, tensor in _empty_network(config).state_dict().items()}


def _empty_network(config: ModelConfig) -> AttentionUNet:
    """Return the network without memory and without drawing random numbers for it."""
    with torch.device("meta"):
        return AttentionUNet(config)


def _is_plain(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and tensor.layout == torch.strided and not tensor.is_meta


def _float32_copy(tensor: Tensor) -> Tensor:
    copy = tensor.detach().to(device="cpu", dtype=torch.float32, copy=True)
    return copy.contiguous()
