"""Files as other programs leave them: what is read is what they show, and what is left out is told."""

import io
import json
import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps
from tifffile import TiffWriter

from napari_unet_finetune.errors import DataError
from napari_unet_finetune.io.images import Listing, list_images, read_image

RNG = np.random.default_rng(3)
GRAY = RNG.integers(0, 255, (60, 80), dtype=np.uint8)
DEEP = RNG.integers(0, 4000, (4, 3, 60, 80), dtype=np.uint16)  # (place, channel, Y, X)
COLOR = np.kron(RNG.integers(0, 256, (6, 8, 3), dtype=np.uint8), np.ones((10, 10, 1), np.uint8))
DISKS = np.hypot(*(np.mgrid[:60, :80] - 30)) < 12


def read(path: Path, *, as_labels: bool = False) -> np.ndarray:
    (ref,) = list_images(path)
    return read_image(ref, as_labels=as_labels).array


def read_all(path: Path) -> tuple[np.ndarray, Listing]:
    listing = list_images(path)
    return np.stack([read_image(ref).array for ref in listing]), listing


def ome(files: list[str], own: int, *, order="XYCZT", channels=1, times=1, uuid=True, planes=1) -> str:
    """Return OME-XML of a set: each file holds `planes` planes, in `order`."""
    data, position = [], 0
    for number, file in enumerate(files):
        for ifd in range(planes):
            first = (
                {"C": position % channels, "T": position // channels}
                if order == "XYCZT"
                else {"T": position % times, "C": position // times}
            )
            data.append(
                f'<TiffData FirstZ="0" FirstC="{first["C"]}" FirstT="{first["T"]}" IFD="{ifd}" PlaneCount="1">'
                f'<UUID FileName="{file}">urn:uuid:{number}</UUID></TiffData>'
            )
            position += 1
    head = f'UUID="urn:uuid:{own}"' if uuid else ""
    return (
        f'<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" {head}><Image>'
        f'<Pixels ID="Pixels:0" DimensionOrder="{order}" Type="uint16" SizeX="80" SizeY="60" SizeZ="1" '
        f'SizeC="{channels}" SizeT="{times}" PhysicalSizeX="0.25" PhysicalSizeY="0.5">{"".join(data)}'
        "</Pixels></Image></OME>"
    )


def write_pages(path: Path, pages: np.ndarray, xml: str | None) -> None:
    with TiffWriter(path) as file:
        for number, page in enumerate(pages):
            file.write(page, contiguous=False, metadata=None, description=xml if number == 0 and xml else None)


@pytest.mark.parametrize("uuid", [True, False], ids=["identified", "named"])
@pytest.mark.parametrize("missing", [False, True])
def test_a_file_of_an_ome_set_holds_its_own_planes_with_their_channels(tmp_path, uuid, missing, caplog):
    names = [f"t{k}.ome.tif" for k in range(4)]
    for own, name in enumerate(names[: 3 if missing else 4]):
        write_pages(tmp_path / name, DEEP[own], ome(names, own, channels=3, times=4, planes=3, uuid=uuid))
    found, listing = read_all(tmp_path)
    np.testing.assert_array_equal(found, DEEP[: len(found)])
    assert len(found) == (3 if missing else 4)
    assert read_image(listing[0]).scale == (0.5, 0.25)
    assert sum("t3.ome.tif" in note for note in listing.notes) == missing
    assert not caplog.records


def test_files_of_a_set_with_a_channel_each_are_images_of_one_channel(tmp_path):
    names = ["c0.ome.tif", "c1.ome.tif"]
    for own, name in enumerate(names):
        xml = ome(names, own, order="XYTZC", channels=2, times=3, planes=3)
        write_pages(tmp_path / name, DEEP[:3, own], xml)
    found, _ = read_all(tmp_path / "c1.ome.tif")
    np.testing.assert_array_equal(found, DEEP[:3, 1])


@pytest.mark.parametrize("is_there", [True, False])
def test_a_set_may_be_described_in_a_companion(tmp_path, is_there):
    only = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:0">'
        '<BinaryOnly MetadataFile="set.companion.ome" UUID="urn:uuid:9"/></OME>'
    )
    write_pages(tmp_path / "a.ome.tif", DEEP[0], only)
    if is_there:
        (tmp_path / "set.companion.ome").write_text(ome(["a.ome.tif"], 9, channels=3, planes=3))
    found, listing = read_all(tmp_path / "a.ome.tif")
    np.testing.assert_array_equal(found, DEEP[:1] if is_there else DEEP[0])
    assert any("set.companion.ome" in note for note in listing.notes) != is_there


def test_an_acquisition_that_ended_early_gives_the_planes_that_are_there(tmp_path):
    write_pages(tmp_path / "a.ome.tif", DEEP[:2, 0], ome(["a.ome.tif"], 0, times=5, planes=5))
    found, listing = read_all(tmp_path)
    np.testing.assert_array_equal(found, DEEP[:2, 0])
    assert "5 planes" in listing.notes[0]


def micromanager(path: Path, pages: np.ndarray, index: list[tuple[int, int, int, int]]) -> None:
    """Write a file as Micro-Manager does, with an index (channel, slice, time, position) of its own planes."""
    summary = {"MicroManagerVersion": "2.0", "Prefix": "run_1", "Channels": 3, "Positions": 4, "Frames": 1, "Slices": 1}
    text, about = json.dumps(summary).encode(), b'{"PixelSizeUm": 0.3}\0'
    height, width = pages[0].shape
    size = 2 + 12 * 10 + 4 + pages[0].nbytes + len(about) + 1
    starts = [40 + len(text) + number * size for number in range(len(pages))]
    out = bytearray(struct.pack("<2sHI", b"II", 42, starts[0]))
    out += struct.pack("<IIIIII", 54773648, starts[-1] + size, 483765892, 0, 99384722, 0)
    out += struct.pack("<II", 2355492, len(text)) + text
    for start, following, page in zip(starts, [*starts[1:], 0], pages, strict=True):
        body = start + 2 + 12 * 10 + 4
        out += struct.pack("<H", 10)
        for code, value in ((256, width), (257, height), (258, 16), (259, 1), (262, 1)):
            out += struct.pack("<HHII", code, 3, 1, value)
        for code, value in ((273, body), (277, 1), (278, height), (279, page.nbytes)):
            out += struct.pack("<HHII", code, 4, 1, value)
        out += struct.pack("<HHII", 51123, 2, len(about), body + page.nbytes)
        out += struct.pack("<I", following) + page.tobytes() + about + b"\0"
    out += struct.pack("<II", 3453623, len(index))
    for place, start in zip(index, starts, strict=True):
        out += struct.pack("<5I", *place, start)
    path.write_bytes(bytes(out))


def test_a_file_of_micromanager_holds_its_own_position(tmp_path, caplog):
    for position in range(3):
        index = [(channel, 0, 0, position) for channel in range(3)]
        micromanager(tmp_path / f"run_1_MMStack_Pos{position}.ome.tif", DEEP[position], index)
    found, _ = read_all(tmp_path)
    np.testing.assert_array_equal(found, DEEP[:3])
    assert not caplog.records


PALETTE = RNG.permutation(256).astype(np.uint8)[:, None] * np.ones((1, 3), np.uint8)
GREEN = np.stack([np.zeros(256), np.arange(256), np.zeros(256)], axis=-1).astype(np.uint8)


def save_indexed(path: Path, numbers: np.ndarray, palette: np.ndarray) -> None:
    image = Image.fromarray(numbers)
    image.putpalette(palette.tobytes())
    image.save(path)


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp"])
def test_a_palette_gives_colors_unless_it_only_displays(tmp_path, suffix):
    colors = RNG.integers(0, 256, (256, 3), dtype=np.uint8)
    save_indexed(tmp_path / f"colors.{suffix}", GRAY, colors)
    save_indexed(tmp_path / f"green.{suffix}", GRAY, GREEN)
    np.testing.assert_array_equal(read(tmp_path / f"colors.{suffix}"), np.moveaxis(colors[GRAY], -1, 0))
    np.testing.assert_array_equal(read(tmp_path / f"green.{suffix}"), GRAY)


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp"])
@pytest.mark.parametrize("object_value", [1, 255])
def test_a_mask_with_the_inverting_table_of_imagej_keeps_its_values(tmp_path, suffix, object_value):
    mask = (DISKS * object_value).astype(np.uint8)
    save_indexed(tmp_path / f"a.{suffix}", mask, np.repeat(np.arange(255, -1, -1, dtype=np.uint8)[:, None], 3, axis=1))
    np.testing.assert_array_equal(read(tmp_path / f"a.{suffix}", as_labels=True), mask)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_a_mask_in_gray_whose_palette_is_sorted_otherwise_is_read_by_its_grays(tmp_path, suffix):
    order = np.array([255, 128, 0], np.uint8)
    numbers = np.where(DISKS, 0, 2).astype(np.uint8)
    numbers[0, 0] = 1
    save_indexed(tmp_path / f"a.{suffix}", numbers, np.repeat(order[:, None], 3, axis=1))
    np.testing.assert_array_equal(read(tmp_path / f"a.{suffix}", as_labels=True), order[numbers])


@pytest.mark.parametrize("color", [(255, 255, 255), (0, 0, 0), (200, 30, 30)])
@pytest.mark.parametrize("below", [None, (255, 255, 255), (0, 0, 0)], ids=["same", "white", "black"])
@pytest.mark.parametrize("suffix", ["png", "tif", "npy"])
def test_a_mask_on_a_transparent_layer_is_where_it_is_opaque(tmp_path, color, below, suffix):
    rgba = np.zeros((60, 80, 4), np.uint8)
    rgba[..., :3] = color if below is None else below
    rgba[DISKS] = (*color, 255)
    path = tmp_path / f"a.{suffix}"
    np.save(path, rgba) if suffix == "npy" else Image.fromarray(rgba).save(path)
    np.testing.assert_array_equal(read(path, as_labels=True) > 0, DISKS)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_cmyk_becomes_the_colors_that_a_jpeg_of_it_has(tmp_path, dtype):
    inks = RNG.integers(0, 256, (60, 80, 4), dtype=np.uint8)
    scaled = inks.astype(dtype) * (257 if dtype is np.uint16 else 1)
    tifffile.imwrite(tmp_path / "a.tif", scaled, photometric="separated", metadata=None)
    expected = np.moveaxis(np.asarray(Image.fromarray(inks, "CMYK").convert("RGB")), -1, 0).astype(int)
    found = read(tmp_path / "a.tif").astype(int) // (257 if dtype is np.uint16 else 1)
    assert np.abs(found - expected).max() <= 1


def test_luminance_and_chroma_become_colors_and_lab_is_refused_by_name(tmp_path):
    Image.fromarray(COLOR).convert("YCbCr").save(tmp_path / "a.tif")
    assert np.abs(read(tmp_path / "a.tif").astype(int) - np.moveaxis(COLOR, -1, 0)).max() <= 3
    tifffile.imwrite(tmp_path / "b.tif", COLOR, photometric="cielab", metadata=None)
    with pytest.raises(DataError, match="CIELAB"):
        read(tmp_path / "b.tif")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_orientation_is_applied_as_viewers_do(tmp_path, orientation, suffix):
    path, exif = tmp_path / f"a.{suffix}", Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(COLOR)
    if suffix == "tif":
        tifffile.imwrite(path, COLOR, metadata=None, extratags=[(274, 3, 1, orientation, True)], photometric="rgb")
    else:
        image.save(path, exif=exif, **({"quality": 100, "subsampling": 0} if suffix == "jpg" else {}))
    with Image.open(path) as opened:
        expected = np.moveaxis(np.asarray(ImageOps.exif_transpose(opened)), -1, 0)
    listing = list_images(path)
    assert listing.headers[listing[0]].size == expected.shape[1:]
    assert np.abs(read_image(listing[0]).array.astype(int) - expected).max() <= 2
    assert read_image(listing[0], as_labels=True).array.shape == expected.shape


@pytest.mark.parametrize("samples", [4, 5, 7])
def test_no_channel_beside_red_green_and_blue_is_dropped(tmp_path, samples):
    data = RNG.integers(0, 4000, (60, 80, samples), dtype=np.uint16)
    extra = ["unspecified"] * (samples - 3)
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="rgb", extrasamples=extra, metadata=None)
    np.save(tmp_path / "b.npy", data)
    for name in ("a.tif", "b.npy"):
        np.testing.assert_array_equal(read(tmp_path / name), np.moveaxis(data, -1, 0))


def test_an_array_with_a_channel_at_its_end_is_one_image(tmp_path):
    for channels in (1, 3, 6, 12):
        data = RNG.integers(0, 4000, (60, 80, channels), dtype=np.uint16)
        np.save(tmp_path / "a.npy", data)
        assert read(tmp_path / "a.npy").shape == ((60, 80) if channels == 1 else (channels, 60, 80))


def test_frames_that_may_be_channels_are_told(tmp_path):
    np.save(tmp_path / "a.npy", DEEP[0])
    tifffile.imwrite(tmp_path / "b.tif", DEEP[0], photometric="minisblack")
    for name in ("a.npy", "b.tif"):
        assert "(3, 60, 80)" in list_images(tmp_path / name).notes[0]
    np.save(tmp_path / "c.npy", np.concatenate(DEEP))
    assert not list_images(tmp_path / "c.npy").notes


@pytest.mark.parametrize("flag", [None, 1], ids=["unflagged", "flagged"])
@pytest.mark.parametrize("place", ["page", "inside"])
def test_a_smaller_copy_of_the_page_is_no_image(tmp_path, flag, place):
    smooth = np.kron(RNG.integers(0, 4000, (6, 8)), np.ones((10, 10))).astype(np.uint16)
    small = (smooth[::4, ::4] // 16).astype(np.uint8)
    with TiffWriter(tmp_path / "a.tif") as file:
        file.write(smooth, metadata=None, subifds=1 if place == "inside" else 0)
        file.write(small, metadata=None, subfiletype=flag or 0)
    np.testing.assert_array_equal(read(tmp_path / "a.tif"), smooth)
    if place == "page":
        assert "1 smaller picture" in list_images(tmp_path / "a.tif").notes[0]


def test_a_smaller_page_of_something_else_is_an_image(tmp_path):
    with TiffWriter(tmp_path / "a.tif") as file:
        file.write(GRAY, metadata=None)
        file.write(GRAY[:30, :40], metadata=None)
    assert len(list_images(tmp_path / "a.tif")) == 2


def scale_of(path: Path) -> tuple[tuple[float, float], str, tuple[str, ...]]:
    (ref,) = listing = list_images(path)
    pixels = read_image(ref)
    assert (pixels.scale, pixels.unit) == (listing.headers[ref].scale, listing.headers[ref].unit)
    return pixels.scale, pixels.unit, listing.notes


@pytest.mark.parametrize("dpi", [72, 96, 150, 300, 600, 1200])
@pytest.mark.parametrize("how", ["inch", "cm", "ome", "tags"])
def test_resolutions_of_printers_are_no_size_of_a_pixel(tmp_path, dpi, how):
    path, per_cm = tmp_path / "a.tif", round(dpi / 2.54, 2)
    if how == "ome":
        tifffile.imwrite(path, GRAY, ome=True, metadata={"PhysicalSizeX": 25400 / dpi, "PhysicalSizeY": 25400 / dpi})
    elif how == "tags":
        tifffile.imwrite(path, GRAY, resolution=(per_cm, per_cm), resolutionunit="CENTIMETER", metadata=None)
    else:
        value = dpi if how == "inch" else per_cm
        tifffile.imwrite(path, GRAY, imagej=True, resolution=(value, value), metadata={"unit": how})
    assert scale_of(path) == ((1, 1), "px", ())


@pytest.mark.parametrize(
    ("unit", "per_unit", "micrometers"),
    [
        *((unit, 4, 0.25) for unit in ("um", "µm", "μm", "\\u00B5m", "micron", "microns", "micrometers", "Micrometre")),
        *(("µ", 4, 0.25), ("u", 4, 0.25), ("nm", 0.004, 0.25), ("nanometers", 0.004, 0.25), ("mm", 4000, 0.25)),
        *(("cm", 40000, 0.25), ("inch", 101600, 0.25), ("millimetres", 4000, 0.25), ("Angstrom", 4e-4, 0.25)),
    ],
)
def test_all_ways_to_write_a_unit(tmp_path, unit, per_unit, micrometers):
    description = f"ImageJ=1.54f\nunit={unit}\n".encode("latin-1" if unit == "µ" else "utf-8")
    resolution = (per_unit, per_unit / 2)
    tifffile.imwrite(tmp_path / "a.tif", GRAY, description=description, metadata=None, resolution=resolution)
    (y, x), found, notes = scale_of(tmp_path / "a.tif")
    assert (y, x) == pytest.approx((2 * micrometers, micrometers), rel=1e-3)
    assert (found, notes) == ("um", ())


@pytest.mark.parametrize(("size", "unit"), [(80.0, "µm"), (0.4, "pm"), (3.0, "mm")])
def test_a_size_that_no_microscope_has_is_asked_about(tmp_path, size, unit):
    metadata = {f"PhysicalSize{axis}": size for axis in "XY"} | {f"PhysicalSize{axis}Unit": unit for axis in "XY"}
    tifffile.imwrite(tmp_path / "a.tif", GRAY, ome=True, metadata=metadata)
    scale, found, notes = scale_of(tmp_path / "a.tif")
    assert (scale, found, len(notes)) == ((1, 1), "px", 1)


def encoded(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(GRAY).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
@pytest.mark.parametrize("suffix", ["tif", "png", "jpg", "npy"])
def test_a_suffix_that_lies_does_not_matter(tmp_path, kind, suffix):
    (tmp_path / f"a.{suffix}").write_bytes(encoded(kind))
    np.testing.assert_array_equal(read(tmp_path / f"a.{suffix}"), GRAY)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (encoded("GIF"), "GIF"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "WebP"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
    ],
)
@pytest.mark.parametrize("suffix", ["tif", "png", "npy"])
def test_what_is_no_image_of_ours_is_named(tmp_path, content, words, suffix):
    (tmp_path / f"a.{suffix}").write_bytes(content)
    with pytest.raises(DataError, match=words):
        list_images(tmp_path / f"a.{suffix}")


def test_files_passed_over_are_listed_and_a_session_of_cellpose_is_explained(tmp_path):
    Image.fromarray(GRAY).save(tmp_path / "a.png")
    Image.fromarray(GRAY).save(tmp_path / "b.gif")
    np.save(tmp_path / "a_seg.npy", {"masks": GRAY}, allow_pickle=True)
    (tmp_path / "notes.txt").write_text("nothing to tell")
    listing = list_images(tmp_path)
    assert [ref.path.name for ref in listing] == ["a.png"]
    assert not listing.unreadable
    cellpose, others = listing.notes
    assert "Save masks as PNG/tif" in cellpose
    assert "a_seg.npy" in cellpose
    assert "b.gif" in others
    assert "notes.txt" not in others
    with pytest.raises(DataError, match="Save masks as PNG/tif"):
        list_images(tmp_path / "a_seg.npy")
