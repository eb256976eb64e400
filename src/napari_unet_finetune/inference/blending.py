"""Run a network over overlapping tiles of an image and blend the probabilities."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Generator

import torch
from torch import Tensor

from ..device import free_memory, is_out_of_memory
from ..errors import DeviceError
from ..events import TileEnd
from .tiling import TilePlan, plan_tiles

_log = logging.getLogger(__name__)


def blend_tiles(
    network: Callable[[Tensor], Tensor], image: Tensor, *, tile: int, overlap: float, batch_size: int
) -> Generator[TileEnd, None, Tensor]:
    """Yield progress after every batch of tiles and return the probabilities (Y, X), float32, of `image` (C, Y, X).

    `network` maps (B, C, tile, tile) to logits (B, 1, tile, tile) on the device of `image`; it is called without
    gradients and must be in evaluation mode. Overlapping tiles are averaged as probabilities, each weighted by a
    Hann window. A device that runs out of memory is given half as many tiles at a time.

    Raises
    ------
    DeviceError
        If a single tile does not fit into the device's memory.
    """
    plan = plan_tiles((image.shape[-2], image.shape[-1]), tile, overlap)
    canvas = _Canvas(plan, image)
    done, total = 0, len(plan.tiles)
    size = math.ceil(total / math.ceil(total / batch_size))  # batches of one shape, or nearly so
    while done < total:
        batch = plan.tiles[done : done + size]
        probabilities = _probabilities(network, canvas.read(batch))
        if probabilities is None:
            size = _smaller(len(batch), image.device, tile)
            continue
        canvas.add(batch, probabilities)
        done += len(batch)
        yield TileEnd(done, total)
    return canvas.blended[plan.image_slices].contiguous()


class _Canvas:
    """A padded image and the blend of its tiles, both on the device."""

    def __init__(self, plan: TilePlan, image: Tensor) -> None:
        self._plan = plan
        rows, columns = plan.rows, plan.columns
        self._image = image
        if plan.needs_padding:
            sources = (torch.from_numpy(axis.sources).to(image.device) for axis in (rows, columns))
            self._image = image[:, next(sources)][:, :, next(sources)]
        self.blended = torch.zeros(self._image.shape[-2:], device=image.device)
        self._row_weights = torch.from_numpy(rows.weights).to(image.device)
        self._column_weights = torch.from_numpy(columns.weights).to(image.device)

    def read(self, batch: tuple[tuple[int, int], ...]) -> Tensor:
        """Return the tiles (B, C, tile, tile) of `batch`."""
        return torch.stack([self._image[:, y, x] for y, x in map(self._plan.tile_slices, batch)])

    def add(self, batch: tuple[tuple[int, int], ...], probabilities: Tensor) -> None:
        """Add `probabilities` (B, tile, tile) by their weight; the tensor is used up."""
        rows, columns = (list(index) for index in zip(*batch, strict=True))
        probabilities *= self._row_weights[rows][:, :, None]
        probabilities *= self._column_weights[columns][:, None, :]
        for tile, weighted in zip(batch, probabilities, strict=True):
            self.blended[self._plan.tile_slices(tile)] += weighted


def _probabilities(network: Callable[[Tensor], Tensor], tiles: Tensor) -> Tensor | None:
    """Return float32 probabilities (B, tile, tile), or None if the memory does not suffice."""
    try:
        with torch.no_grad():
            return torch.sigmoid(network(tiles).float())[:, 0]
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
    return None  # outside the handler, where the traceback no longer holds on to the tensors


def _smaller(batch_size: int, device: torch.device, tile: int) -> int:
    free_memory(device)
    if batch_size == 1:
        raise DeviceError(
            f"Device '{device.type}' has no memory left for one tile of {tile} pixels. "
            "Close other programs that use it, or choose the device 'cpu'."
        )
    _log.warning("Device '%s' is out of memory: going on with %d tiles at a time.", device.type, batch_size // 2)
    return batch_size // 2
