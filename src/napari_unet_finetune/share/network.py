"""A network as ONNX or TorchScript, which run without this program and without Python."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from zipfile import ZipFile

import torch
from torch import Tensor, nn
from torch.jit._trace import TracerWarning

from ..data.appearance import Curves
from ..errors import ModelError
from ..models.attention_unet import fold_standardization
from ..models.curves import OnCurves
from ..models.extra import needed_for
from ..models.header import KEY
from ..models.model import Model

INPUT, OPSET = "image", 17
_MOST_BYTES = 2**31 - 2**20  # of an ONNX file
_BATCH = 2  # a trace of one tile would take the batch for a constant


class Outside(nn.Module):
    """A network with what follows it: nothing where `logits` are wanted, else probabilities, or 1 above a threshold.

    Before it stand the curves over the intensities of a dataset, if it has any: no format can say them otherwise.
    """

    def __init__(
        self,
        model: Model,
        *,
        curves: Curves = (),
        logits: bool = False,
        threshold: float | None = None,
    ) -> None:
        super().__init__()
        self.network = fold_standardization(model.build_network())
        self.curves = OnCurves(curves) if curves else nn.Identity()
        self.logits, self.threshold = logits, threshold

    def forward(self, tiles: Tensor) -> Tensor:
        """Map normalized tiles (B, C, tile, tile) to the result (B, 1, tile, tile), float32."""
        found: Tensor = self.network(self.curves(tiles))
        if self.logits:
            return found
        probabilities = torch.sigmoid(found)
        return probabilities if self.threshold is None else (probabilities > self.threshold).float()


def to_onnx(network: nn.Module, model: Model, output: str, facts: Mapping[str, Any] | None = None) -> bytes:
    """Return `network`, that of `model`, as an ONNX file for any number of tiles.

    Parameters
    ----------
    output
        Name of the result; the input is called `INPUT`.
    facts
        JSON values that travel in the metadata, under the key of model files.

    Raises
    ------
    ModelError
        If the package onnx is missing, or the network is too large for such a file.
    """
    with needed_for("ONNX"):
        import onnx
    if (size := sum(4 * tensor.numel() for tensor in model.weights.values())) > _MOST_BYTES:
        raise ModelError(f"The network takes {size / 1e9:.1f} GB, but an ONNX file at most 2. Choose TorchScript.")
    file, tiles = io.BytesIO(), _tiles(model)
    any_number = {name: {0: "batch"} for name in (INPUT, output)}
    with _quiet(), torch.no_grad():
        torch.onnx.export(
            network,
            (tiles,),
            file,  # type: ignore[arg-type]  # this exporter writes into memory too
            dynamo=False,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[output],
            dynamic_axes=any_number,
        )
    graph = onnx.load_from_string(file.getvalue())
    if facts is not None:
        graph.metadata_props.add(key=KEY, value=json.dumps(facts))
    onnx.checker.check_model(graph, full_check=True)
    return bytes(graph.SerializeToString())


def to_torchscript(network: nn.Module, model: Model, facts: Mapping[str, Any] | None = None) -> bytes:
    """Return `network`, that of `model`, as a TorchScript file for any number of tiles; see `to_onnx`.

    `facts` are the file ``napari_unet_finetune.json`` in it.
    """
    file, texts = io.BytesIO(), {} if facts is None else {f"{KEY}.json": json.dumps(facts)}
    with _quiet(), torch.no_grad():
        traced = torch.jit.freeze(torch.jit.trace(network.eval(), _tiles(model)))  # type: ignore[no-untyped-call]
        torch.jit.save(traced, file, _extra_files=texts)
    return _without_paths(file)


def _tiles(model: Model) -> Tensor:
    side = model.card.patch_size
    return torch.zeros(_BATCH, model.card.shape.in_channels, side, side)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep to oneself that TorchScript is deprecated, and that a check of sizes is no part of a trace."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", TracerWarning)
        yield


def _without_paths(file: io.BytesIO) -> bytes:
    """Return a TorchScript file without what is for debugging: it names the folders of whoever wrote it."""
    stripped = io.BytesIO()
    with ZipFile(file) as source, ZipFile(stripped, "w") as target:
        for entry in source.infolist():
            if not entry.filename.endswith(".debug_pkl"):
                target.writestr(entry.filename, source.read(entry))
    return stripped.getvalue()
