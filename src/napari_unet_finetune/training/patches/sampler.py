"""Seeded patches from whole images that stay on the device: random and foreground-aware, or on a grid."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ...config import AugmentConfig, FinetuneConfig
from ...data.windows import reflected_indices, window_starts
from .augment import change_intensities, change_objects
from .store import PatchStore, PreparedImage

# Objects in layers may be tilted by as much as a specimen is.
LAYERED_ROTATION_DEG = 15.0


@dataclass(frozen=True)
class Batch:
    """Patches ready for the network: float32 (B, C, P, P), and target and annotated as float32 (B, 1, P, P)."""

    images: Tensor
    target: Tensor
    annotated: Tensor

    def split(self, size: int) -> Iterator[Batch]:
        """Yield the batch in parts of at most `size` patches."""
        for start in range(0, len(self.images), size):
            part = slice(start, start + size)
            yield Batch(self.images[part], self.target[part], self.annotated[part])

    def join(self, other: Batch) -> Batch:
        """Return the patches of both batches as one."""
        return Batch(
            torch.cat([self.images, other.images]),
            torch.cat([self.target, other.target]),
            torch.cat([self.annotated, other.annotated]),
        )


@dataclass(frozen=True)
class PatchView:
    """Where a patch is cut: its center in the image and the matrix from patch to image offsets, rows first."""

    image: PreparedImage
    center: tuple[float, float]
    matrix: NDArray[np.float64]


class PatchSampler:
    """Draws batches from a store; what it draws follows from seed, step and settings alone.

    Images take turns in a shuffled order. A share of the patches is centered near an object, the others lie
    anywhere inside their image, or near annotated pixels if only some are.
    """

    def __init__(self, store: PatchStore, config: FinetuneConfig, *, stream: int = 0) -> None:
        self.store = store
        self.config = config
        self.stream = stream

    def batch(self, step: int, first: int, count: int) -> Batch:
        """Return patches `first` to `first + count` of the endless sequence, drawn at `step`."""
        rng = np.random.default_rng((self.config.seed, self.stream, step))
        batch = cut_batch(self.draw_views(first, count, rng), self.config.patch_px, self.store.device)
        apart = change_objects(batch.images, batch.target, batch.annotated, self.config.augment, rng)
        return Batch(change_intensities(apart, self.config.augment, rng), batch.target, batch.annotated)

    def views(self, count: int) -> list[PatchView]:
        """Return where the first `count` patches of the first step are cut."""
        return self.draw_views(0, count, np.random.default_rng((self.config.seed, self.stream, 0)))

    def draw_views(self, first: int, count: int, rng: np.random.Generator) -> list[PatchView]:
        """Return where patches `first` to `first + count` of the endless sequence are cut."""
        return [self._draw_view(self._image_of(first + index), rng) for index in range(count)]

    def _image_of(self, index: int) -> PreparedImage:
        turn, place = divmod(index, len(self.store))
        order = np.random.default_rng((self.config.seed, self.stream, turn, 1)).permutation(len(self.store))
        return self.store.images[int(order[place])]

    def _draw_view(self, image: PreparedImage, rng: np.random.Generator) -> PatchView:
        center = self._draw_center(image, rng)
        return PatchView(image, center, draw_matrix(self.config.augment, rng))

    def _draw_center(self, image: PreparedImage, rng: np.random.Generator) -> tuple[float, float]:
        patch = self.config.patch_px
        near_object = rng.random() < self.config.foreground_share and len(image.foreground) > 0
        candidates = image.foreground if near_object else image.anywhere
        if candidates is None or len(candidates) == 0:
            return _inside(rng.uniform(0, image.shape[0]), rng.uniform(0, image.shape[1]), image.shape, patch)
        row, column = candidates[rng.integers(len(candidates))] + rng.uniform(-patch / 4, patch / 4, 2)
        return _inside(float(row), float(column), image.shape, patch)


def _inside(row: float, column: float, shape: tuple[int, int], patch: int) -> tuple[float, float]:
    """Return the center nearest to (row, column), on whole pixels, whose patch stays inside an image of `shape`."""

    def along(value: float, size: int) -> float:
        if size <= patch:
            return (size - patch) // 2 + (patch - 1) / 2
        start = min(max(round(value - patch / 2), 0), size - patch)
        return start + (patch - 1) / 2

    return along(row, shape[0]), along(column, shape[1])


def draw_matrix(config: AugmentConfig, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return a random 2x2 matrix from patch to image offsets: flips, quarter turns, rotation and scale."""
    free = config.orientation in ("any", "auto")
    matrix = np.eye(2)
    if config.flips:
        down, right = rng.choice([-1.0, 1.0], 2)
        turned = rng.random() < 0.5
        if free:
            matrix = np.diag((down, right)) @ (matrix[::-1] if turned else matrix)
        else:
            matrix = np.diag((1.0, right) if config.orientation == "upright" else (down, 1.0))
    if rng.random() < config.p_affine:
        widest = config.rotation_deg if free else min(config.rotation_deg, LAYERED_ROTATION_DEG)
        angle = np.deg2rad(rng.uniform(-widest, widest))
        scale = np.exp(rng.uniform(np.log(config.scale_low), np.log(config.scale_high)))
        rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        matrix = rotation @ matrix / scale
    return matrix


def cut_batch(views: list[PatchView], patch: int, device: torch.device) -> Batch:
    """Cut one patch per view; image, target and annotated region go through the same geometry."""
    patches = [_cut(view, patch) for view in views]
    return Batch(*(torch.stack([parts[index].to(device) for parts in patches]) for index in range(3)))


def _cut(view: PatchView, patch: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return image (C, P, P), target and annotated (1, P, P) of one view, as float32."""
    aligned = bool(np.all(np.isin(view.matrix, (-1.0, 0.0, 1.0))))
    # The corners of a turned patch reach further than its side.
    reach = patch if aligned else int(np.ceil(patch * np.abs(view.matrix).sum(axis=1).max())) + 2
    origin = tuple(round(center - (reach - 1) / 2) for center in view.center)
    rows, columns = (
        torch.from_numpy(reflected_indices(start, reach, size))
        for start, size in zip(origin, view.image.shape, strict=True)
    )
    planes = [view.image.pixels, view.image.target[None], view.image.annotated[None]]
    crops = [plane[:, rows.to(plane.device)[:, None], columns.to(plane.device)].float() for plane in planes]
    if aligned:
        pixels, target, annotated = (_turn(crop, view.matrix) for crop in crops)
    else:
        offset = tuple(center - start for center, start in zip(view.center, origin, strict=True))
        pixels, target, annotated = _resample(crops, view.matrix, offset, patch)
    return pixels, target, annotated


def _turn(crop: Tensor, matrix: NDArray[np.float64]) -> Tensor:
    """Apply flips and a transposition exactly, without interpolation."""
    if matrix[0, 0] == 0:
        crop = crop.transpose(-1, -2)
        flips = [axis for axis, sign in ((-1, matrix[0, 1]), (-2, matrix[1, 0])) if sign < 0]
    else:
        flips = [axis for axis, sign in ((-2, matrix[0, 0]), (-1, matrix[1, 1])) if sign < 0]
    return crop.flip(flips) if flips else crop


def _resample(crops: list[Tensor], matrix: NDArray[np.float64], center: tuple[float, ...], patch: int) -> list[Tensor]:
    """Sample the crops at matrix * offset + center: pixels bilinearly, target and annotated at the nearest pixel."""
    device, reach = crops[0].device, crops[0].shape[-1]
    offsets = torch.arange(patch, device=device, dtype=torch.float32) - (patch - 1) / 2
    down, right = torch.meshgrid(offsets, offsets, indexing="ij")
    rows = matrix[0, 0] * down + matrix[0, 1] * right + center[0]
    columns = matrix[1, 0] * down + matrix[1, 1] * right + center[1]
    # grid_sample counts in units of half the crop, x before y
    grid = torch.stack([columns, rows], dim=-1) * (2 / (reach - 1)) - 1
    return [
        F.grid_sample(crop[None], grid[None].to(crop.device), mode=mode, padding_mode="reflection", align_corners=True)[
            0
        ]
        for crop, mode in zip(crops, ("bilinear", "nearest", "nearest"), strict=True)
    ]


def grid_views(images: Iterable[PreparedImage], patch: int, stride: int) -> list[PatchView]:
    """Return the views of a regular grid over all images; the last window of a row is flush with the edge."""
    return [
        PatchView(image, (row + (patch - 1) / 2, column + (patch - 1) / 2), np.eye(2))
        for image in images
        for row in window_starts(image.shape[0], patch, stride)
        for column in window_starts(image.shape[1], patch, stride)
    ]
