"""Training images as they are kept while patches are cut from them: normalized, on the device or in a file."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import psutil
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...data.annotated_image import AnnotatedImage
from ...data.normalize import ModelView, network_input
from ...data.windows import window_starts
from ...errors import RunError
from ...inference.predict import ALL_EDGES, Edges
from ...io.disk import take_room

# Centers kept per image; more would only cost memory.
MAX_CENTERS = 20_000
# Share of the free memory that the images may fill before they move to a file.
RESIDENT_SHARE = 0.4


@dataclass(frozen=True)
class PreparedImage:
    """A normalized image with its target, and the pixels around which patches are centered."""

    name: str
    pixels: Tensor  # (C, Y, X), float32, or float16 when it lies in a file
    target: Tensor  # (Y, X), uint8
    annotated: Tensor  # (Y, X), uint8
    foreground: NDArray[np.int32]  # (n, 2) rows and columns
    anywhere: NDArray[np.int32] | None  # (n, 2) annotated pixels; None: all are
    quantiles: tuple[float, ...] = ()  # of the whole image as it is, normalized (`data.appearance.LEVELS`); or unknown
    edges: Edges = ALL_EDGES  # which of its sides stand for the border of the whole image

    @property
    def shape(self) -> tuple[int, int]:
        """Size (Y, X) in pixels."""
        return self.target.shape[0], self.target.shape[1]

    @property
    def foreground_share(self) -> float:
        """Share of object pixels among the annotated ones."""
        return float((self.target & self.annotated).sum()) / max(1, int(self.annotated.sum()))

    def cropped(self, size: int) -> PreparedImage:
        """Return the window of at most `size` pixels a side whose share of objects is most like the whole image's.

        It holds annotated objects and annotated background, if any window does.
        """
        rows, columns = _typical_window(self.target.cpu().numpy(), self.annotated.cpu().numpy(), size)
        return replace(
            self,
            pixels=self.pixels[:, rows, columns],
            target=self.target[rows, columns],
            annotated=self.annotated[rows, columns],
        )


def _typical_window(target: NDArray[np.uint8], annotated: NDArray[np.uint8], size: int) -> tuple[slice, slice]:
    height, width = min(size, target.shape[0]), min(size, target.shape[1])
    rows = np.array(window_starts(target.shape[0], height, max(1, height // 2)))[:, None]
    columns = np.array(window_starts(target.shape[1], width, max(1, width // 2)))[None, :]
    known = _window_sums(annotated, rows, columns, (height, width))
    objects = _window_sums(target & annotated, rows, columns, (height, width))
    share = int((target & annotated).sum()) / max(1, int(annotated.sum()))
    unlike = np.abs(objects / np.maximum(known, 1) - share)
    one_sided = (objects == 0).astype(float) + (objects == known)
    row, column = np.unravel_index(np.argmin(one_sided * 2 + unlike), unlike.shape)
    top, left = int(rows[row, 0]), int(columns[0, column])
    return slice(top, top + height), slice(left, left + width)


def _window_sums(
    plane: NDArray[np.uint8], rows: NDArray[np.int64], columns: NDArray[np.int64], shape: tuple[int, int]
) -> NDArray[np.int64]:
    """Return the sum of `plane` in every window, from one summed-area table."""
    table = np.pad(plane.cumsum(axis=0, dtype=np.int64).cumsum(axis=1), ((1, 0), (1, 0)))
    below, right = rows + shape[0], columns + shape[1]
    sums: NDArray[np.int64] = table[below, right] - table[rows, right] - table[below, columns] + table[rows, columns]
    return sums


class PatchStore:
    """Holds the training images where patches can be cut fast: on the device, or in a file if they do not fit."""

    def __init__(self, device: torch.device, *, budget_bytes: int | None = None) -> None:
        self.device = device
        self.images: list[PreparedImage] = []
        self._budget = free_bytes(device) * RESIDENT_SHARE if budget_bytes is None else budget_bytes

    def __len__(self) -> int:
        return len(self.images)

    def part(self, indices: Iterable[int]) -> PatchStore:
        """Return a store of some of the images."""
        part = PatchStore(self.device, budget_bytes=0)
        part.images = [self.images[index] for index in indices]
        return part

    def joined(self, other: PatchStore) -> PatchStore:
        """Return a store of the images of both."""
        both = PatchStore(self.device, budget_bytes=0)
        both.images = [*self.images, *other.images]
        return both

    def add(
        self,
        name: str,
        pixels: NDArray[np.float32],
        target: NDArray[np.bool_],
        annotated: NDArray[np.bool_] | None = None,
        quantiles: tuple[float, ...] = (),
        edges: Edges = ALL_EDGES,
    ) -> None:
        """Take in one normalized image (C, Y, X) with its target and annotated region (Y, X)."""
        masks = [mask.astype(np.uint8) for mask in (target, annotated) if mask is not None]
        placed, objects, *known = self._place([pixels, *masks])
        if annotated is None:  # one number for all pixels takes no memory
            known = [torch.ones((), dtype=torch.uint8, device=objects.device).expand(target.shape)]
        self.images.append(
            PreparedImage(
                name,
                placed,
                objects,
                known[0],
                _some_centers(target if annotated is None else target & annotated),
                None if annotated is None else _some_centers(annotated),
                quantiles,
                edges,
            )
        )

    def add_as_seen(self, image: AnnotatedImage, view: ModelView) -> None:
        """Take in one image with its masks as a model with `view` sees it; raises `DataError` if it cannot."""
        seen = network_input(image, view)
        self.add(image.name, seen.pixels, image.target if seen.target is None else seen.target, seen.annotated)

    def _place(self, planes: Sequence[NDArray[Any]]) -> list[Tensor]:
        self._budget -= sum(plane.nbytes for plane in planes)
        if self._budget >= 0:
            return [torch.from_numpy(np.ascontiguousarray(plane)).to(self.device) for plane in planes]
        return [torch.from_numpy(plane) for plane in _in_a_file([planes[0].astype(np.float16), *planes[1:]])]


def _in_a_file(planes: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    """Return `planes`, the widest type first, in a file that is gone with its last use, even after a kill.

    Raises
    ------
    RunError
        If there is no room for it.
    """
    size, parts, start = sum(plane.nbytes for plane in planes), [], 0
    try:
        with tempfile.TemporaryFile(prefix="unet-finetune-") as file:
            take_room(file, size)
            mapped = np.memmap(file, np.uint8, "w+", shape=(size,))
    except OSError as error:
        raise RunError(
            f"The images do not fit into memory, and {tempfile.gettempdir()} takes no file for them "
            f"({error.strerror}). Free some space there, or set TMPDIR to a folder with more."
        ) from error
    for plane in planes:
        parts.append(mapped[start : start + plane.nbytes].view(plane.dtype).reshape(plane.shape))
        parts[-1][...] = plane
        start += plane.nbytes
    return parts


def free_bytes(device: torch.device) -> int:
    """Return the free memory of `device`."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


def _some_centers(where: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Return up to `MAX_CENTERS` pixels of `where`, evenly taken, as rows and columns."""
    flat = np.flatnonzero(where)
    if len(flat) > MAX_CENTERS:
        flat = flat[np.linspace(0, len(flat) - 1, MAX_CENTERS).astype(np.int64)]
    return np.stack(np.unravel_index(flat, where.shape), axis=1).astype(np.int32)
