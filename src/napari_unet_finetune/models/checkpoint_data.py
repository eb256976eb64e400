"""A trained model as a value: weights and all that is needed to use them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from pydantic import ValidationError
from torch import Tensor

from ..config import ChannelRule, ModelConfig, Normalization
from ..data.normalize import ModelView
from ..errors import CheckpointError
from .attention_unet import AttentionUNet
from .layer_groups import adapt_in_channels
from .provenance import Provenance
from .rehearsal_patches import RehearsalPatches

MAX_RESCALE = 8.0


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A trained model and all that is needed to use it.

    The weights are copied on creation (float32, CPU), so a checkpoint of a model in training is a snapshot.

    Parameters
    ----------
    weights
        The network's state dict, in PAULow's names.
    model
        Shape of the network.
    normalization, channels
        How an image becomes the network's input.
    patch_size
        Side of the training patches in pixels; prediction uses tiles of this size.
    threshold
        Probability above which a pixel is an object.
    rescale
        Factor by which images are resampled before the network sees them.
    provenance
        Where the model comes from.
    rehearsal
        Training patches kept for later replay.

    Raises
    ------
    CheckpointError
        If the weights are not those of such a network, or a setting is out of range.
    """

    weights: Mapping[str, Tensor] = field(repr=False)
    model: ModelConfig
    normalization: Normalization = field(default_factory=Normalization)
    channels: ChannelRule = field(default_factory=ChannelRule)
    patch_size: int = 128
    threshold: float = 0.5
    provenance: Provenance = field(default_factory=Provenance)
    rehearsal: RehearsalPatches | None = field(default=None, repr=False)
    rescale: float = 1.0

    def __post_init__(self) -> None:
        """Check that everything fits together, and copy the weights."""
        subject = self.provenance.name or "model"
        check_weights(subject, self.weights, self.model)
        _check_settings(subject, self)
        object.__setattr__(self, "weights", {name: _float32_copy(tensor) for name, tensor in self.weights.items()})

    @property
    def view(self) -> ModelView:
        """How the model looks at an image."""
        return ModelView(
            in_channels=self.model.in_channels,
            channels=self.channels,
            normalization=self.normalization,
            rescale=self.rescale,
        )

    def build_model(self) -> AttentionUNet:
        """Return the network with a copy of these weights, on the CPU, in evaluation mode.

        No random number is drawn, so that a resumed training goes on as if it had never stopped.
        """
        model = _empty_model(self.model)
        model.load_state_dict({name: tensor.clone() for name, tensor in self.weights.items()}, assign=True)
        return model.eval()

    def with_in_channels(self, in_channels: int) -> Checkpoint:
        """Return this model made to see `in_channels` channels; rehearsal patches are adapted as well.

        Raises
        ------
        CheckpointError
            If `adapt_in_channels` cannot do it, or no network takes so many.
        """
        if in_channels == self.model.in_channels:
            return self
        try:
            model = ModelConfig(**{**self.model.model_dump(), "in_channels": in_channels})
        except ValidationError as error:
            raise CheckpointError(
                f"A model cannot be given {in_channels} channels ({error.errors()[0]['msg']}). Choose a channel rule, "
                "or set in_channels."
            ) from error
        return replace(
            self,
            weights=adapt_in_channels(self.weights, in_channels),
            model=model,
            rehearsal=self.rehearsal and self.rehearsal.with_channels(in_channels),
        )


def weights_hash(weights: Mapping[str, Tensor]) -> str:
    """Return the sha256 of names, shapes and float32 values of `weights`, whatever their order."""
    sha256 = hashlib.sha256()
    for name in sorted(weights):
        sha256.update(f"{name} {tuple(weights[name].shape)}\n".encode())
        sha256.update(_float32_copy(weights[name]).numpy().astype("<f4", copy=False).data)
    return sha256.hexdigest()


def check_weights(subject: str, weights: Mapping[str, Tensor], config: ModelConfig) -> None:
    """Check that `weights` are finite and fit the network of `config`, layer by layer.

    Raises
    ------
    CheckpointError
        If they do not, naming `subject` and the first layer that is wrong.
    """
    expected = {name: tensor.shape for name, tensor in _empty_model(config).state_dict().items()}
    advice = "Choose a model of this program or a PAULow state dict."
    if missing := [name for name in expected if name not in weights]:
        raise CheckpointError(f"{subject}: layer '{missing[0]}' is missing ({len(missing)} in all). {advice}")
    if unexpected := [name for name in weights if name not in expected]:
        raise CheckpointError(
            f"{subject}: layer '{unexpected[0]}' does not belong to the network ({len(unexpected)} in all). {advice}"
        )
    for name, shape in expected.items():
        if weights[name].shape != shape:
            raise CheckpointError(
                f"{subject}: layer '{name}' is {tuple(weights[name].shape)} "
                f"but the network needs {tuple(shape)}. {advice}"
            )
        if not torch.isfinite(weights[name]).all():
            raise CheckpointError(
                f"{subject}: layer '{name}' holds NaN or infinity, so the training had failed. Choose another model."
            )


def _check_settings(subject: str, checkpoint: Checkpoint) -> None:
    if not 0 < checkpoint.threshold < 1:
        raise CheckpointError(
            f"{subject}: the threshold is {checkpoint.threshold}. Give a probability between 0 and 1."
        )
    if not 0 < checkpoint.rescale <= MAX_RESCALE:
        raise CheckpointError(
            f"{subject}: the rescale factor is {checkpoint.rescale}. Give a factor above 0 and up to {MAX_RESCALE:g}."
        )
    multiple = checkpoint.model.side_multiple
    if checkpoint.patch_size < multiple or checkpoint.patch_size % multiple:
        raise CheckpointError(
            f"{subject}: the patch size is {checkpoint.patch_size} px. "
            f"A network of {checkpoint.model.levels} levels needs a multiple of {multiple}."
        )
    if checkpoint.rehearsal is not None and checkpoint.rehearsal.in_channels != checkpoint.model.in_channels:
        raise CheckpointError(
            f"{subject}: the rehearsal patches have {checkpoint.rehearsal.in_channels} channels but the network sees "
            f"{checkpoint.model.in_channels}. Leave the patches out or adapt them."
        )


def _empty_model(config: ModelConfig) -> AttentionUNet:
    """Return the network without memory and without drawing random numbers for it."""
    with torch.device("meta"):
        return AttentionUNet(config)


def _float32_copy(tensor: Tensor) -> Tensor:
    copy = tensor.detach().to(device="cpu", dtype=torch.float32, copy=True)
    return copy.contiguous()
