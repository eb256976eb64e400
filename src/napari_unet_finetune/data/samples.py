"""Generated sample data: cells in a microtube, twice, with other intensities of cell and wall."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy import ndimage

from ..errors import DataError
from ..io.writing import write_labels
from .annotated_image import AnnotatedImage

DatasetNumber = Literal[1, 2]
Field = NDArray[np.float64]

PIXEL_SIZE_UM = 0.65
SMALLEST_SIDE_PX = 64
EDGE_PX = 0.7


@dataclass(frozen=True)
class _Optics:
    """How a microscope renders the scene; all intensities are shares of `white`."""

    lumen: float
    outside: float
    wall: float
    cell: float
    organelles: float
    rim: float
    halo: float
    debris: float
    shading: float
    blur_px: float
    noise: float
    white: int


# fmt: off
_OPTICS: dict[DatasetNumber, _Optics] = {
    1: _Optics(
        lumen=0.34, outside=0.29, wall=0.13, cell=0.60, organelles=0.038, rim=-0.07, halo=0.0,
        debris=0.13, shading=0.10, blur_px=0.8, noise=0.016, white=255,
    ),
    2: _Optics(
        lumen=0.52, outside=0.43, wall=0.74, cell=0.36, organelles=0.04, rim=-0.09, halo=0.10,
        debris=-0.17, shading=0.18, blur_px=1.3, noise=0.034, white=4095,  # a 12-bit camera
    ),
}
# fmt: on


@dataclass(frozen=True)
class _Tube:
    """Where the tube lies: `depth` (Y, X) is the distance in pixels from the wall's inner face, positive inside."""

    depth: Field
    center: Field
    radius: float
    wall_px: float


@dataclass(frozen=True)
class _Cell:
    """A closed contour around (`y`, `x`): an ellipse with bumps given by amplitude and phase of its harmonics."""

    y: float
    x: float
    length: float
    width: float
    angle: float
    bumps: NDArray[np.float64]

    def depth(self, shape: tuple[int, int]) -> Field:
        """Return about the distance (Y, X) in pixels from the contour, positive inside."""
        y, x = np.indices(shape, dtype=float)
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        along = (cos * (x - self.x) + sin * (y - self.y)) / self.length
        across = (cos * (y - self.y) - sin * (x - self.x)) / self.width
        theta = np.arctan2(across, along)
        radius = 1 + sum(a * np.cos(k * theta + phase) for k, (a, phase) in enumerate(self.bumps, start=2))
        depth: Field = (radius - np.hypot(along, across)) * min(self.length, self.width)
        return depth


def make_microtube(
    dataset: DatasetNumber, count: int = 31, *, seed: int = 0, shape: tuple[int, int] = (128, 320)
) -> tuple[AnnotatedImage, ...]:
    """Return `count` images (Y, X) of cells in a microtube, with exact labels.

    The cells of both datasets are drawn from the same shapes and sizes; only the optics differ. In Dataset 1
    (uint8) bright cells lie in a dark tube with a darker wall; in Dataset 2 (uint16, 12 bits used) cells darker
    than the liquid lie between bright walls, with more blur, noise and shading. Image `i` does not depend on
    `count`. Labels (Y, X) are uint16, one number per cell.

    Raises
    ------
    DataError
        If there is no such dataset, no image is asked for, or a side is shorter than 64 pixels.
    """
    if dataset not in _OPTICS:
        raise DataError(f"microtube: there is no dataset {dataset}. Choose 1 or 2.")
    if count < 1 or min(shape) < SMALLEST_SIDE_PX:
        raise DataError(
            f"microtube: {count} images of {shape} pixels cannot be made. "
            f"Ask for one or more, with sides of {SMALLEST_SIDE_PX} pixels or longer."
        )
    return tuple(_make_image(dataset, index, seed, shape) for index in range(count))


def write_microtube(
    folder: Path | str, count: int = 31, *, seed: int = 0, shape: tuple[int, int] = (128, 320)
) -> tuple[Path, Path]:
    """Write both datasets to `folder` and return the folder of each, with `images` and 0/1 `masks` in it.

    Files are called ``001.tif`` and so on; those that are there already are overwritten.

    Raises
    ------
    DataError
        If no such images can be made; see `make_microtube`.
    """
    folder = Path(folder)
    dataset1 = _write(folder / "dataset1", make_microtube(1, count, seed=seed, shape=shape))
    dataset2 = _write(folder / "dataset2", make_microtube(2, count, seed=seed, shape=shape))
    return dataset1, dataset2


def _write(folder: Path, images: tuple[AnnotatedImage, ...]) -> Path:
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for image in images:
        file = f"{image.name}.tif"
        _write_image(folder / "images" / file, image)
        write_labels(folder / "masks" / file, image.target, scale=image.scale, unit=image.unit, overwrite=True)
    return folder


def _write_image(path: Path, image: AnnotatedImage) -> None:
    size_y, size_x = image.scale
    metadata = {"axes": "YX", "unit": image.unit}
    tifffile.imwrite(path, image.image, imagej=True, resolution=(1 / size_x, 1 / size_y), metadata=metadata)


def _make_image(dataset: DatasetNumber, index: int, seed: int, shape: tuple[int, int]) -> AnnotatedImage:
    rng = np.random.default_rng([seed, dataset, index])
    tube = _draw_tube(rng, shape)
    depths = [cell.depth(shape) for cell in _draw_cells(rng, tube)]
    return AnnotatedImage(
        name=f"{index + 1:03d}",
        image=_render(_OPTICS[dataset], tube, depths, rng),
        labels=_labels(depths, shape),
        scale=(PIXEL_SIZE_UM, PIXEL_SIZE_UM),
        unit="um",
    )


def _draw_tube(rng: np.random.Generator, shape: tuple[int, int]) -> _Tube:
    """Lay a tube along X, a little tilted and bent, with a slightly uneven wall."""
    height, width = shape
    x = np.arange(width) / width - 0.5
    bend = rng.normal(0, 0.04) * x + rng.normal(0, 0.02) * np.cos(2 * np.pi * x + rng.uniform(0, 2 * np.pi))
    center = height * (0.5 + rng.normal(0, 0.015) + bend)
    radius = height * rng.uniform(0.27, 0.31)
    uneven = _smooth_noise(rng, (2, width), sigma=(0, width / 20)) * 0.8
    y = np.arange(height)[:, None]
    above, below = y - center + radius + uneven[0], center + radius + uneven[1] - y
    return _Tube(np.minimum(above, below), center, radius, wall_px=height * rng.uniform(0.055, 0.07))


def _draw_cells(rng: np.random.Generator, tube: _Tube) -> list[_Cell]:
    """Line cells up along the tube, some partly outside the image, with gaps from none to wide."""
    cells: list[_Cell] = []
    end = rng.uniform(-0.5, 0.6) * tube.radius
    while True:
        cell = _draw_cell(rng, tube, end)
        if cell.x >= tube.center.size:
            return cells
        cells.append(cell)
        reach = max(cell.length * abs(np.cos(cell.angle)), cell.width) * 1.15
        end = cell.x + reach + rng.gamma(1.2, 0.7) * tube.radius


def _draw_cell(rng: np.random.Generator, tube: _Tube, start: float) -> _Cell:
    """Draw a round, stretched or lobed cell whose left end is near column `start`."""
    width = tube.radius * rng.uniform(0.30, 0.68)
    length = width * (rng.uniform(1.4, 2.2) if rng.random() < 0.45 else rng.uniform(0.9, 1.2))
    amplitude = rng.choice([0.02, 0.05, 0.10], p=[0.4, 0.4, 0.2]) / np.arange(1, 5) ** 0.7
    bumps = np.stack([rng.normal(0, amplitude), rng.uniform(0, 2 * np.pi, 4)], axis=1)
    x = start + length * 1.15
    room = max(tube.radius - 1.2 * width, 0.0)
    column = int(np.clip(x, 0, tube.center.size - 1))
    y = tube.center[column] + rng.uniform(-room, room) * 0.8
    return _Cell(y, x, length, width, rng.normal(0, 0.15), bumps)


def _labels(depths: list[Field], shape: tuple[int, int]) -> NDArray[np.uint16]:
    """Return the cells numbered from left to right; a pixel is a cell's if its center is inside the contour."""
    labels = np.zeros(shape, np.uint16)
    for number, depth in enumerate(depths, start=1):
        labels[(depth > 0) & (labels == 0)] = number
    return labels


def _render(optics: _Optics, tube: _Tube, depths: list[Field], rng: np.random.Generator) -> NDArray[np.generic]:
    image = _render_tube(optics, tube)
    image += _debris(rng, image.shape) * optics.debris
    granules = _smooth_noise(rng, image.shape, sigma=1.6)
    for depth in depths:
        image = _add_cell(image, depth, optics, granules * optics.organelles * rng.uniform(0.7, 1.3))
    image *= _illumination(rng, image.shape, optics.shading)
    return _record(image, optics, rng)


def _render_tube(optics: _Optics, tube: _Tube) -> Field:
    """Liquid brighter along the axis, as in a cylinder lens; a wall with a fringe on each face; medium outside."""
    rounding = 1 - np.clip(1 - tube.depth / tube.radius, 0, 1) ** 2
    liquid = optics.lumen * (0.9 + 0.14 * rounding)
    in_wall = _inside(tube.depth + tube.wall_px) * (1 - _inside(tube.depth))
    image = _mix(np.full_like(liquid, optics.outside), liquid, _inside(tube.depth))
    image = _mix(image, np.full_like(liquid, optics.wall), in_wall)
    contrast = optics.wall - optics.lumen
    image -= 0.35 * contrast * _ridge(tube.depth - 2.5, 1.5)
    image -= 0.45 * contrast * _ridge(tube.depth + tube.wall_px + 2.5, 1.8)
    image += 0.18 * contrast * _ridge(tube.depth + tube.wall_px + 7, 2.2)
    return image


def _add_cell(image: Field, depth: Field, optics: _Optics, granules: Field) -> Field:
    """Blend one cell in: body with organelles and a nucleus, phase rim on its contour, halo around it."""
    plump = np.clip(depth / max(float(depth.max()), 1), 0, 1) ** 0.5
    contrast = optics.cell - optics.lumen
    body = optics.cell + granules + 0.3 * contrast * (plump - 0.6)
    body -= 0.2 * contrast * _inside(depth - 0.55 * depth.max())
    image = _mix(image, body, _inside(depth))
    return image + optics.rim * _ridge(depth - 0.8, 1.2) + optics.halo * _ridge(depth + 3.5, 2.0)


def _debris(rng: np.random.Generator, shape: tuple[int, ...]) -> Field:
    """Return small specks of varied size and strength, inside the tube and out."""
    specks = np.zeros(shape)
    for sigma in (0.7, 1.1, 1.8):
        dots = np.zeros(shape)
        count = rng.poisson(4e-4 * dots.size / sigma)
        dots.flat[rng.integers(dots.size, size=count)] = rng.uniform(0.4, 1.3, count)
        specks += ndimage.gaussian_filter(dots, sigma) * 2 * np.pi * sigma**2
    return specks


def _illumination(rng: np.random.Generator, shape: tuple[int, ...], strength: float) -> Field:
    """Return a slow drift of brightness around 1, as of a lamp that is off center."""
    y, x = (np.linspace(-1, 1, side) for side in shape)
    tilt_y, tilt_x, vignette = rng.normal(0, strength, 3)
    drift: Field = 1 + 0.5 * tilt_y * y[:, None] + tilt_x * x - abs(vignette) * (x**2 + 0.5 * y[:, None] ** 2 - 0.4)
    return drift


def _record(image: Field, optics: _Optics, rng: np.random.Generator) -> NDArray[np.generic]:
    """Blur, add photon and read noise, and count in the camera's integers."""
    blurred = np.clip(ndimage.gaussian_filter(image, optics.blur_px), 0.01, None)
    noisy = blurred + optics.noise * (np.sqrt(blurred) + 0.3) * rng.standard_normal(image.shape)
    counts: Field = np.clip(np.rint(noisy * optics.white), 0, optics.white)
    return counts.astype(np.uint8 if optics.white <= 255 else np.uint16)


def _smooth_noise(rng: np.random.Generator, shape: tuple[int, ...], sigma: float | tuple[float, float]) -> Field:
    """Return blurred white noise with mean 0 and std 1."""
    noise: Field = ndimage.gaussian_filter(rng.standard_normal(shape), sigma, mode="reflect")
    standardized: Field = (noise - noise.mean()) / noise.std()
    return standardized


def _inside(depth: Field) -> Field:
    """Return the share of a pixel that lies inside a contour `depth` pixels away."""
    share: Field = 1 / (1 + np.exp(-np.clip(depth / EDGE_PX * 2, -40, 40)))
    return share


def _ridge(distance: Field, width: float) -> Field:
    ridge: Field = np.exp(-0.5 * (distance / width) ** 2)
    return ridge


def _mix(below: Field, above: Field, share: Field) -> Field:
    return below + share * (above - below)
