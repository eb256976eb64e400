"""Networks of other programs in packages of BioImage.IO: they predict, through ONNX Runtime and on the CPU."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ...config import ChannelRule
from ...text import shortened
from ..card import ModelCard
from ..packages import read_member
from .description import Step, read_foreign, refused

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True, eq=False)
class ForeignModel:
    """The network of another program, which predicts as a model of this one does.

    Parameters
    ----------
    card
        How it looks at an image, and its threshold.
    onnx
        The network: (1, C, tile, tile) to (1, 1, tile, tile), float32.
    steps
        What is done to the values of a normalized tile before.
    gives_logits
        Whether its results are logits; otherwise they are probabilities.
    """

    card: ModelCard
    onnx: bytes
    steps: tuple[Step, ...]
    gives_logits: bool

    @property
    def identity(self) -> str:
        """Sha256 of the network."""
        return hashlib.sha256(self.onnx).hexdigest()

    def seeing(self, channels: ChannelRule | None) -> ForeignModel:
        """Return this model with the card that `ModelCard.seeing` returns."""
        return replace(self, card=self.card.seeing(channels))

    def network_to_predict(self, _device: torch.device) -> nn.Module:
        """Return, for the CPU only, what maps tiles (B, C, tile, tile) to logits (B, 1, tile, tile).

        Raises
        ------
        ModelError
            If ONNX Runtime is missing, or does not take the network.
        """
        from .network import ForeignNetwork

        return ForeignNetwork(self)


def load_foreign(path: Path) -> ForeignModel:
    """Return the network in a package of another program.

    Raises
    ------
    ModelError
        If it cannot predict here; the reason is named.
    """
    found = read_foreign(path)
    onnx = read_member(path, found.weights)
    if onnx is None:
        raise refused(path, f"its network, {shortened(found.weights, 60)}, is missing in it")
    if found.sha256 is not None and hashlib.sha256(onnx).hexdigest() != found.sha256:
        raise refused(path, f"{shortened(found.weights, 60)} is not the file that its description means (SHA-256)")
    return ForeignModel(found.card.plain, onnx, found.steps, found.gives_logits)
