"""Run the network of another program with ONNX Runtime, as if it were one of torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.special import logit
from torch import Tensor, nn

from ...errors import ModelError
from ..extra import needed_for

if TYPE_CHECKING:
    from .model import ForeignModel

_ALMOST = 1e-6  # of certainty, whose logit is finite


class ForeignNetwork(nn.Module):
    """Maps normalized tiles (B, C, tile, tile) to logits (B, 1, tile, tile), one after the other, on the CPU.

    Raises
    ------
    ModelError
        If ONNX Runtime is missing or does not take the network, or its results are not what they should be.
    """

    def __init__(self, model: ForeignModel) -> None:
        super().__init__()
        with needed_for("A network of another program"):
            import onnxruntime
        self._model = model
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 4  # what goes wrong is raised
        try:
            self._session = onnxruntime.InferenceSession(model.onnx, options, providers=["CPUExecutionProvider"])
            (self._input,), (self._output,) = self._session.get_inputs(), self._session.get_outputs()
        except Exception as error:  # of a class of its own, or several inputs
            raise self._refused("ONNX Runtime does not take it") from error

    def forward(self, tiles: Tensor) -> Tensor:
        """Return the logits."""
        return torch.stack([self._logits(tile) for tile in tiles]).to(tiles.device)

    def _logits(self, tile: Tensor) -> Tensor:
        values = tile.float().numpy(force=True)[np.newaxis]
        for step in self._model.steps:
            values = step(values)
        try:
            (found,) = self._session.run([self._output.name], {self._input.name: np.ascontiguousarray(values)})
        except Exception as error:
            raise self._refused(f"ONNX Runtime cannot carry it out on a tile of {values.shape[-1]} pixels") from error
        if found.shape != (1, 1, *values.shape[-2:]) or found.dtype != np.float32 or not np.isfinite(found).all():
            raise self._refused(f"its result on a tile {values.shape} is {found.dtype} {found.shape}, or not finite")
        if not self._model.gives_logits:
            if found.min() < -_ALMOST or found.max() > 1 + _ALMOST:
                raise self._refused(f"its results run from {found.min():.3g} to {found.max():.3g}, no probabilities")
            found = logit(found.clip(_ALMOST, 1 - _ALMOST)).astype(np.float32)
        return torch.from_numpy(found[0])

    def _refused(self, reason: str) -> ModelError:
        return ModelError(f"The network of {self._model.card.name} cannot be used: {reason}. Choose another model.")
