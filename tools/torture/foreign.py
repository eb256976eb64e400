"""Files as other programs leave them, varied at random: what is read of each is right, told or wrong."""

from __future__ import annotations

import io
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps

from napari_unet_finetune.checks.checkup import check
from napari_unet_finetune.data.masks import read_labels
from napari_unet_finetune.data.pairing import pair_images
from napari_unet_finetune.errors import DataError
from napari_unet_finetune.io.images import ImageRef, list_images, read_image
from torture.outcomes import Table

RIGHT, TOLD, WRONG = "right", "told", "wrong"
Case = Callable[[Path, Random, np.random.Generator], str]
_SAME_AREA = 0.08
_PACKAGES = ("skimage", "imageio", "PIL", "tifffile", "scipy", "napari", "matplotlib")


def tables(folder: Path, *, count: int) -> Iterator[Table]:
    """Yield how `count` variations of each kind are read, and the sample files of installed packages."""
    for name, case in _KINDS.items():
        table = Table(f"Files: {name}")
        for seed in range(count):
            work = folder / name.replace(" ", "-") / str(seed)
            work.mkdir(parents=True)
            _count(table, f"{name} {seed}", lambda work=work, seed=seed, case=case: case(work, *_chance(seed)))
        yield table
    yield samples(count)


def _chance(seed: int) -> tuple[Random, np.random.Generator]:
    return Random(seed), np.random.default_rng(seed)


def _count(table: Table, name: str, case: Callable[[], str]) -> None:
    def told() -> str:
        try:
            return case()
        except DataError as error:
            return TOLD if str(error).strip() else WRONG

    before = table.counts[WRONG]
    table.run(name, told)
    if table.counts[WRONG] > before:
        table.wrong.append(f"{name}: read wrong")


def _drawn(rng: np.random.Generator, *, numbered: bool) -> NDArray[Any]:
    image = Image.new("I", (200, 160))
    pen = ImageDraw.Draw(image)
    for number in range(1, int(rng.integers(6, 40))):
        x, y = rng.uniform(0, 190, 2)
        if number % 2:
            a, b = rng.uniform(2, 14, 2)
            pen.ellipse((x - a, y - b, x + a, y + b), fill=number)
        else:
            angle, length = rng.uniform(0, np.pi), rng.uniform(10, 90)
            pen.line((x, y, x + length * np.cos(angle), y + length * np.sin(angle)), fill=number, width=3)
    labels = np.asarray(image)
    return labels if numbered else labels > 0


def _soft(_work: Path, chance: Random, rng: np.random.Generator) -> str:
    mask, scale, angle = _drawn(rng, numbered=False), chance.uniform(0.5, 2), chance.uniform(0, 360)
    size, deep = (round(200 * scale), round(160 * scale)), chance.random() < 0.4

    def moved(image: Image.Image) -> Image.Image:
        return image.resize(size, Image.Resampling.BILINEAR).rotate(angle, Image.Resampling.BILINEAR)

    covered = float(np.asarray(moved(Image.fromarray(mask.astype(np.float32)))).sum())
    if deep:
        array = np.rint(np.asarray(moved(Image.fromarray(mask * np.float32(65535))))).astype(np.uint16)
    else:
        buffer = io.BytesIO()
        moved(Image.fromarray((mask * 255).astype(np.uint8))).save(buffer, "JPEG", quality=chance.randint(50, 98))
        array = np.asarray(Image.open(buffer))
    labels = read_labels(array, name="mask").labels
    is_right = len(np.unique(labels)) <= 2 and abs((labels > 0).sum() - covered) <= _SAME_AREA * covered
    return RIGHT if is_right else WRONG


def _numbered(_work: Path, chance: Random, rng: np.random.Generator) -> str:
    if chance.random() < 0.5:
        side = chance.randint(2, 70)
        labels = np.kron(np.arange(side**2).reshape(side, side), np.ones((4, 4), int))
    else:
        labels = _drawn(rng, numbered=True)
    numbers = np.arange(labels.max() + 1)
    if chance.random() < 0.5:
        top = 255 if len(numbers) < 200 else 59_000
        numbers[1:] = rng.choice(np.arange(1, top + 1), len(numbers) - 1, replace=False)
    array = numbers[labels].astype(np.uint8 if numbers.max() < 256 else np.uint16)
    return RIGHT if np.array_equal(read_labels(array, name="mask").labels, array) else WRONG


def _meant(work: Path, chance: Random, rng: np.random.Generator) -> str:
    """Write a mask of round objects in one of many ways, all of which say where they are."""
    objects = np.asarray(_drawn(rng, numbered=False))
    y, x = np.mgrid[:160, :200]
    objects = np.hypot((y % 40) - 20, (x % 40) - 20) < chance.uniform(6, 14)
    path, way = work / "mask.png", chance.randrange(6)
    if way == 0:
        image = Image.fromarray((objects * chance.choice([1, 255])).astype(np.uint8))
        image.putpalette(np.repeat(np.arange(255, -1, -1, dtype=np.uint8), 3).tobytes())
        path = path.with_suffix(chance.choice([".png", ".bmp", ".tif"]))
        image.save(path)
    elif way == 1:
        rgba = np.zeros((*objects.shape, 4), np.uint8)
        rgba[..., :3] = chance.choice([0, 255])
        rgba[objects] = (*chance.choice([(0, 0, 0), (255, 255, 255), (200, 0, 0)]), 255)
        Image.fromarray(rgba).save(path)
    elif way == 2:
        low, high = chance.choice([(1, 2), (2, 1), (255, 254), (254, 255), (3, 9)])
        Image.fromarray(np.where(objects, low, high).astype(np.uint8)).save(path)
    elif way == 3:
        Image.fromarray(np.where(objects, 0, 255).astype(np.uint8)).save(path)
        return TOLD if read_labels(read_image(ImageRef(path), as_labels=True).array, name="mask").doubt else WRONG
    elif way == 4:
        colors = chance.choice([((0, 0, 0), (255, 0, 0)), ((255, 255, 255), (0, 90, 0))])
        Image.fromarray(np.where(objects[..., None], colors[1], colors[0]).astype(np.uint8)).save(path)
    else:
        path = path.with_suffix(".tif")
        tifffile.imwrite(path, objects if chance.random() < 0.5 else objects.astype(chance.choice("BHIf")))
    labels = read_labels(read_image(ImageRef(path), as_labels=True).array, name="mask").labels
    return RIGHT if np.array_equal(np.asarray(labels) > 0, objects) else WRONG


def _image(work: Path, chance: Random, rng: np.random.Generator) -> str:
    """Write an image of any kind and compare it with what tifffile or Pillow read of it."""
    channels, suffix = chance.choice([1, 3, 4, 5]), chance.choice([".tif", ".png", ".npy", ".jpg", ".bmp"])
    dtype = chance.choice("BH") if suffix in (".tif", ".npy") else "B"
    array = rng.integers(0, 255, (50, 70, channels)).astype(dtype)
    array = array[..., 0] if channels == 1 else array
    path, orientation = work / f"image{suffix}", chance.choice([1, 1, 3, 6, 8])
    if suffix == ".npy":
        np.save(path, array)
        expected = array
    elif suffix == ".tif":
        options: dict[str, Any] = {"extrasamples": ["unspecified"] * (channels - 3)}
        options |= {"photometric": "minisblack" if channels == 1 else "rgb"}
        options |= {"extratags": [(274, 3, 1, orientation, True)], "compression": chance.choice([None, "zlib"])}
        tifffile.imwrite(path, array, metadata=None, **{name: value for name, value in options.items() if value})
        turns = {1: 0, 3: 2, 6: -1, 8: 1}
        expected = np.rot90(tifffile.imread(path), turns[orientation])
    else:
        array = array[..., :3] if array.ndim == 3 else array
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(array).save(path, **({} if suffix == ".bmp" else {"exif": exif}))
        with Image.open(path) as opened:
            expected = np.asarray(ImageOps.exif_transpose(opened))
    if chance.random() < 0.2:
        path = path.rename(path.with_suffix(chance.choice([".png", ".tif"])))
    found = read_image(ImageRef(path)).array
    return RIGHT if np.array_equal(found, _channels_first(expected)) else WRONG


def _channels_first(array: NDArray[Any]) -> NDArray[Any]:
    return np.moveaxis(array, -1, 0) if array.ndim == 3 else array


def _set_of_files(work: Path, chance: Random, rng: np.random.Generator) -> str:
    """Write an OME set of which each file holds the channels of one time, perhaps without some of its files."""
    times, channels = chance.randint(2, 5), chance.randint(1, 4)
    data = rng.integers(0, 4000, (times, channels, 40, 50), dtype=np.uint16)
    place = (
        '<TiffData FirstZ="0" FirstC="{c}" FirstT="{t}" IFD="{c}" PlaneCount="1">'
        '<UUID FileName="t{t}.ome.tif">urn:uuid:{t}</UUID></TiffData>'
    )
    planes = "".join(place.format(c=c, t=t) for t in range(times) for c in range(channels))
    kept = sorted(chance.sample(range(times), chance.randint(1, times)))
    for t in kept:
        xml = (
            f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:{t}"><Image><Pixels '
            f'DimensionOrder="XYCZT" Type="uint16" SizeX="50" SizeY="40" SizeZ="1" SizeC="{channels}" SizeT="{times}" '
            f'PhysicalSizeX="0.3" PhysicalSizeY="0.3">{planes}</Pixels></Image></OME>'
        )
        with tifffile.TiffWriter(work / f"t{t}.ome.tif") as file:
            for c in range(channels):
                file.write(data[t, c], contiguous=False, metadata=None, description=xml if c == 0 else None)
    listing = list_images(work)
    if len(listing) != len(kept):
        return WRONG
    for t, ref in zip(kept, listing, strict=True):
        pixels = read_image(ref)
        if pixels.scale != (0.3, 0.3) or not np.array_equal(pixels.array.reshape(channels, 40, 50), data[t]):
            return WRONG
    return RIGHT if len(kept) == times else TOLD if listing.notes else WRONG


_UNITS = {
    **dict.fromkeys(("um", "micron", "µm", "micrometers"), 1),
    "nm": 1e-3,
    "nanometers": 1e-3,
    "mm": 1e3,
    "cm": 1e4,
    "inch": 25400,
}


def _pixel_size(work: Path, chance: Random, rng: np.random.Generator) -> str:
    array, path = rng.integers(0, 255, (20, 30), dtype=np.uint8), work / "image.tif"
    dpi = chance.choice([72, 96, 150, 300, 600])
    if chance.random() < 0.4:
        unit, per_unit, size = *chance.choice([("inch", dpi), ("cm", round(dpi / 2.54, 2))]), None
    else:
        size, unit = round(chance.uniform(0.05, 5), 3), chance.choice(list(_UNITS))
        per_unit = _UNITS[unit] / size
    description = f"ImageJ=1.54f\nunit={unit}\n".encode()
    tifffile.imwrite(path, array, description=description, metadata=None, resolution=(per_unit, per_unit))
    pixels = read_image(ImageRef(path))
    if size is None:
        return RIGHT if pixels.unit == "px" else WRONG
    return RIGHT if pixels.unit == "um" and np.allclose(pixels.scale, size, rtol=1e-3) else WRONG


_NAMES = (
    *("{}", "{}_mask", "{}_Simple Segmentation", "segmentation of {}", "mask of {}", "{}_cp_masks", "{}-labels"),
    *("{}_LblImg", "{}_anno", "{}_GT", "{}_Nuclei", "{}_Object Predictions", "lbl_{}"),
)


def _pairs(work: Path, chance: Random, _rng: np.random.Generator) -> str:
    """Pair names of image and mask as programs give them, of which some are missing; a wrong pair is the worst."""
    stems = [f"{chance.choice(['ctrl', 'drug', 'exp'])}{chance.choice('ABC')}_{n}" for n in range(chance.randint(2, 8))]
    how = chance.choice(_NAMES)
    images = chance.sample(stems, chance.randint(1, len(stems)))
    masks = chance.sample(stems, chance.randint(1, len(stems)))
    pairing = pair_images(
        [ImageRef(work / "images" / f"{one}.tif") for one in sorted(images)],
        [ImageRef(work / "masks" / f"{how.format(one)}.tif") for one in sorted(masks)],
    )
    found = {pair.image.stem: pair.mask.stem for pair in pairing.pairs}
    return RIGHT if found == {one: how.format(one) for one in images if one in masks} else WRONG


def _layout(work: Path, chance: Random, rng: np.random.Generator) -> str:
    """Let `check` look through a folder as a program makes it; all pairs are found and the objects are those drawn."""
    program = chance.choice(["ilastik", "Labkit", "QuPath", "Cellpose", "nnU-Net", "WBC"])
    one_folder = program in ("Cellpose", "WBC")
    images, masks = (work, work) if one_folder else (work / "images", work / "masks")
    for folder in (images, masks):
        folder.mkdir(exist_ok=True)
    y, x = np.mgrid[:130, :140]
    count = 0.0
    for number in range(3):
        objects = np.hypot((y % 45) - 22, (x % 45) - 22) < 8 + number
        count += objects.mean() / 3
        picture = np.clip(40 + 150 * objects + rng.normal(0, 12, objects.shape), 0, 255).astype(np.uint8)
        image, mask, value = _written(program, number, objects)
        Image.fromarray(picture).save(images / image)
        Image.fromarray(value.astype(np.uint16 if value.max() > 255 else np.uint8)).save(masks / mask)
    run = check(images, masks)
    for _ in run:
        pass
    found = run.result
    is_right = len(found.images) == 3 and abs((found.mean_foreground or 0) - count) < 0.01
    return RIGHT if is_right and not found.problems and not found.doubts else WRONG


def _written(program: str, number: int, objects: NDArray[Any]) -> tuple[str, str, NDArray[Any]]:
    """Return the names of image and mask, and the values of the mask, as a program writes them."""
    numbered = np.where(objects, 1 + (np.mgrid[:130, :140][0] // 45) * 4 + np.mgrid[:130, :140][1] // 45, 0)
    return {
        "ilastik": (f"img_{number}.tif", f"img_{number}_Simple Segmentation.png", np.where(objects, 1, 2)),
        "Labkit": (f"img_{number}.tif", f"segmentation of img_{number}.tif", objects * 1),
        "QuPath": (f"img_{number}.png", f"img_{number}-labels.png", numbered),
        "Cellpose": (f"img_{number}.png", f"img_{number}_cp_masks.png", numbered),
        "nnU-Net": (f"case_{number:03d}_0000.png", f"case_{number:03d}.png", objects * 1),
        "WBC": (f"{number:03d}.bmp", f"{number:03d}.png", objects * 255),
    }[program]


_KINDS: dict[str, Case] = {
    "soft masks": _soft,
    "numbered objects": _numbered,
    "ways to write a mask": _meant,
    "images": _image,
    "sets of files": _set_of_files,
    "sizes of pixels": _pixel_size,
    "names": _pairs,
    "layouts of programs": _layout,
}


def samples(most: int) -> Table:
    """Compare images that installed packages ship with what tifffile and Pillow read of them."""
    table = Table("Files: samples of installed packages")
    for path in _shipped(most):
        _count(table, str(path), lambda path=path: _compared(path))
    return table


def _shipped(most: int) -> Iterator[Path]:
    root = Path(sysconfig.get_paths()["purelib"])
    files = (
        path for path in sorted(root.rglob("*")) if path.suffix.lower() in (".png", ".jpg", ".tif", ".tiff", ".bmp")
    )
    yield from (path for path, _ in zip(files, range(most), strict=False))


def _compared(path: Path) -> str:
    listing = list_images(path)
    found = [read_image(ref).array for ref in listing]
    if path.suffix.lower().startswith(".tif"):
        return RIGHT if sum(one.size for one in found) == tifffile.imread(path).size or listing.notes else WRONG
    with Image.open(path) as opened:
        image = ImageOps.exif_transpose(opened)
        has_color = image.mode not in ("1", "L", "LA", "I", "I;16")
        expected = np.asarray(image.convert("RGB" if has_color else "L") if image.mode[0] != "I" else image)
    expected = _channels_first(expected)
    if expected.ndim == 3 and (expected[1:] == expected[0]).all():
        expected = expected[0]
    return (
        RIGHT if np.array_equal(np.asarray(found[0], int), np.asarray(expected, int)) else "palette that only displays"
    )
