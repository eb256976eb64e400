"""What docs/masks.md says that other programs write is read as it says there."""

from __future__ import annotations

import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from napari_unet_finetune.data.folders import open_folder, read_mask
from napari_unet_finetune.data.samples import make_microtube

PAGE = (Path(__file__).parents[2] / "docs" / "masks.md").read_text(encoding="utf-8")
NAME = "cells_01"
IMAGEJ = "ImageJ=1.53t\nmin=0.0\nmax=5.0\n"  # as it describes a file of one image
COLORS = np.random.default_rng(1).integers(0, 256, (256, 3), dtype=np.uint8)
HEIGHT, WIDTH = 96, 128

Labels = NDArray[np.int32]


def cells() -> Labels:
    labels = np.zeros((HEIGHT, WIDTH), np.int32)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    for number, (row, column, radius) in enumerate([(20, 20, 9), (50, 60, 12), (75, 100, 10), (25, 95, 8)], 1):
        labels[np.hypot(y - row, x - column) < radius] = number
    return labels


def gray(dtype: type, **options: str) -> Callable[[Path, Labels], None]:
    return lambda path, labels: tifffile.imwrite(path, labels.astype(dtype), **options)


def png(path: Path, labels: Labels) -> None:
    Image.fromarray(labels.astype(np.uint16)).save(path)


def binary(photometric: str) -> Callable[[Path, Labels], None]:
    def write(path: Path, labels: Labels) -> None:
        pixels = np.where(labels > 0, 255, 0).astype(np.uint8)
        tifffile.imwrite(path, pixels, photometric=photometric, description=IMAGEJ, metadata=None)

    return write


def colored(path: Path, labels: Labels) -> None:
    """Write numbers with a color for each, white for the background."""
    colors = COLORS.copy()
    colors[0] = 255
    if path.suffix == ".png":
        image = Image.fromarray(labels.astype(np.uint8), "P")
        image.putpalette(colors.ravel().tolist())
        image.save(path)
    else:
        table = colors.T.astype(np.uint16) * 257
        tifffile.imwrite(path, labels.astype(np.uint8), photometric="palette", colormap=table, description=IMAGEJ)


def classes(path: Path, labels: Labels) -> None:
    tifffile.imwrite(path, np.where(labels > 0, 1, 2).astype(np.uint8)[..., None])


def objects(path: Path, labels: Labels) -> None:
    tifffile.imwrite(path, labels.astype(np.uint32)[..., None])


def strokes(path: Path, labels: Labels) -> None:
    painted = np.zeros(labels.shape, np.float32)  # as ImageJ shows whole numbers of 32 bits
    painted[2:6], painted[labels == 2] = 1, 2
    tifffile.imwrite(path, painted, imagej=True)


OBJECTS, ONE_KIND, STROKES = "objects", "background and object", "strokes, with `--sparse`"
SURROUNDED = "the one that surrounds the other is background"
WRITERS: dict[tuple[str, str, str], list[Callable[[Path, Labels], None]]] = {
    ("Cellpose", f"{NAME}_cp_masks.png", OBJECTS): [png],
    ("Cellpose", f"{NAME}_cp_masks.tif", OBJECTS): [gray(np.uint16)],
    ("micro-sam", f"{NAME}.tif", OBJECTS): [gray(np.uint32, compression="zlib")],
    ("QuPath", f"{NAME}-labels.png", OBJECTS): [colored],
    ("QuPath", f"{NAME}-labels.tif", OBJECTS): [colored, gray(np.uint16)],
    ("ilastik", f"{NAME}_Simple Segmentation.tif", SURROUNDED): [classes],
    ("ilastik", f"{NAME}_Object Identities.tif", OBJECTS): [objects],
    ("Labkit", f"{NAME}.tif", ONE_KIND): [lambda path, labels: gray(np.uint8)(path, (labels > 0).astype(np.int32))],
    ("Labkit", f"{NAME}.tif", STROKES): [strokes],
    ("Fiji", f"{NAME}.tif", ONE_KIND): [binary("minisblack"), binary("miniswhite")],
    ("Fiji", f"{NAME}.tif", OBJECTS): [gray(np.uint16, imagej=True), colored],
}  # fmt: skip
CASES = [(*key, writer) for key, writers in WRITERS.items() for writer in writers]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    pixels = np.random.default_rng(0).integers(0, 4000, (HEIGHT, WIDTH), dtype=np.uint16)
    for name in (NAME, "cells_02"):
        tifffile.imwrite(tmp_path / "images" / f"{name}.tif", pixels)
    return tmp_path / "images"


def test_the_page_promises_what_is_tested_here() -> None:
    rows = re.findall(r"^\| \[([\w-]+)\]\([^|]*\| ([^|]*) \| [^|]* \| ([^|]*) \|$", PAGE, re.MULTILINE)
    promised = {(name, file, meaning) for name, files, meaning in rows for file in re.findall(r"`([^`]+)`", files)}
    assert promised == set(WRITERS)


@pytest.mark.parametrize(("program", "file", "meaning", "write"), CASES)
def test_masks_of_other_programs_are_read_as_the_page_says(
    images: Path, program: str, file: str, meaning: str, write: Callable[[Path, Labels], None]
) -> None:
    masks = images if program == "Cellpose" else images.with_name("masks")
    masks.mkdir(exist_ok=True)
    labels = cells()
    write(masks / file, labels)
    write(masks / file.replace("_01", "_02"), labels[::-1])
    folder = open_folder(images, masks, sparse=meaning == STROKES)
    assert folder.names == (NAME, "cells_02")
    assert folder.notes == ()
    reading = read_mask(folder.pairing.pairs[0])
    if meaning == STROKES:
        assert reading.annotated is not None and not reading.annotated[0].any() and reading.annotated[2:6].all()
        np.testing.assert_array_equal(reading.labels > 0, labels == 2)
    else:
        expected = labels if meaning == OBJECTS else labels > 0
        np.testing.assert_array_equal(reading.labels if meaning == OBJECTS else reading.labels > 0, expected)


def test_what_cellpose_keeps_for_itself_is_named_and_left_out(images: Path) -> None:
    for name in (NAME, "cells_02"):
        png(images / f"{name}_cp_masks.png", cells())
        np.save(images / f"{name}_seg.npy", {"masks": cells()}, allow_pickle=True)  # type: ignore[arg-type]
        (images / f"{name}_cp_outlines.txt").write_text("1,2,3,4\n")
    folder = open_folder(images, images)
    assert folder.names == (NAME, "cells_02")
    assert any("cells_01_seg.npy" in note and "Save masks as PNG/tif" in note for note in folder.notes)


def macros() -> tuple[str, str]:
    made, asked = re.findall(r"```ijm\n(.*?)```", PAGE, re.DOTALL)
    return made, asked


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("imagej") is None or shutil.which("xvfb-run") is None, reason="no ImageJ or Xvfb")
def test_the_macros_do_in_imagej_what_the_page_says(images: Path, tmp_path: Path) -> None:
    made, asked = macros()
    image = make_microtube(1, 1, shape=(HEIGHT, WIDTH))[0].image
    tifffile.imwrite(images / f"{NAME}.tif", image, imagej=True)
    command = tmp_path / "unet-finetune"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m napari_unet_finetune "$@"\n')
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    asked = asked.replace('"unet-finetune"', f'"{command}"').replace("/path/to/model.safetensors", "microtube")
    rois = 'makeOval(10, 10, 20, 20); roiManager("add"); makeOval(60, 50, 24, 24); roiManager("add");\n'
    opened = f'open("{images / NAME}.tif");\n'
    saved = f'saveAs("Tiff", "{tmp_path / "found.tif"}");\nrun("Quit");\n'
    program = tmp_path / "all.ijm"
    program.write_text(opened + rois + made + 'run("Close All");\n' + opened + asked + saved)
    jar = next(Path("/usr/share/java").glob("ij.jar"))
    subprocess.run(["xvfb-run", "-a", "java", "-jar", jar, "-batch", program], check=True, timeout=300)
    labels = tifffile.imread(tmp_path / "masks" / f"{NAME}.tif")
    assert labels.shape == image.shape and np.unique(labels).tolist() == [0, 1, 2]
    found = tifffile.imread(tmp_path / "found.tif")
    assert found.shape == image.shape and found.max() > 0
