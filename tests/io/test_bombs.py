"""Tiny files that declare giant images: refused while they are listed, before anything is allocated."""

import io
import struct
import tracemalloc
import zipfile
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile

from napari_unet_finetune.errors import DataError
from napari_unet_finetune.io.content import declared_size
from napari_unet_finetune.io.images import list_images, read_image
from napari_unet_finetune.io.pixels import check_unpacked_size

MIB = 2**20
SMALL = np.zeros((8, 8), np.uint8)
OME = (
    '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
    '<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="8" SizeY="8" SizeZ="{z}" SizeC="1" SizeT="{t}">'
    '<Channel ID="Channel:0:0" SamplesPerPixel="1"/><TiffData IFD="0" PlaneCount="1"/></Pixels></Image></OME>'
)


def npy(shape, descr="|u1", body=b""):
    header = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape!r}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + body


def npz(content, unpacked=None, more=0):
    """Return an archive of one array, which unpacks into so many bytes if one believes it, and `more` bytes."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", content)
        archive.getinfo("a.npy").file_size = unpacked or len(content)
        archive.writestr("more.txt", bytes(more), zipfile.ZIP_STORED)
    return file.getvalue()


def tif(**options):
    file = io.BytesIO()
    tifffile.imwrite(file, SMALL, metadata=None, **options)
    return file.getvalue()


def png(width, height, depth=8, color=0):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")


def bare_tif(data, **changes):
    """Return an image of 8 x 8 px in one deflated strip or, with `tile`, in one tile of so many pixels a side."""
    tags = {"width": (256, 8), "height": (257, 8), "bits": (258, 8), "packing": (259, 8), "gray": (262, 1)}
    tags |= {"samples": (277, 1)}
    if side := changes.pop("tile", None):
        tags |= {"a": (322, side), "b": (323, side), "c": (324, 8), "d": (325, len(data))}
    else:
        tags |= {"a": (273, 8), "b": (278, 8), "c": (279, len(data))}
    tags |= {name: (tags[name][0], value) for name, value in changes.items()}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.values()))
    start = b"II*\0" + struct.pack("<I", 8 + len(data)) + data
    return start + struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)


PICTURES = {
    "jpeg": imagecodecs.jpeg8_encode,
    "jpeg2000": lambda array: imagecodecs.jpeg2k_encode(array, codecformat="j2k"),
    "jpeg2000 in a container": lambda array: imagecodecs.jpeg2k_encode(array, codecformat="jp2"),
    "jpegxl": lambda array: imagecodecs.jpegxl_encode(array, effort=1),
    "jpegxl in a container": lambda array: imagecodecs.jpegxl_encode(array, effort=1, usecontainer=True),
    "jpegxr": imagecodecs.jpegxr_encode,
    "webp": lambda array: imagecodecs.webp_encode(array, lossless=True),
    "webp with losses": lambda array: imagecodecs.webp_encode(array, level=80, lossless=False),
    "png": imagecodecs.png_encode,
    "lerc": imagecodecs.lerc_encode,
}


def picture_tif(kind, side):
    """Return an image of 8 x 8 px whose one strip is a picture of `side` px."""
    picture = PICTURES[kind](np.zeros((side, side, 3), np.uint8))
    file = io.BytesIO()
    tifffile.imwrite(file, np.zeros((8, 8, 3), np.uint8), compression=kind.split()[0], photometric="rgb", metadata=None)
    with tifffile.TiffFile(io.BytesIO(file.getvalue())) as opened:
        offset, count = (opened.pages[0].tags[name] for name in ("StripOffsets", "StripByteCounts"))
    data = bytearray(file.getvalue())
    for tag, value in ((offset, len(data)), (count, len(picture))):
        struct.pack_into({3: "<H", 4: "<I"}[tag.dtype], data, tag.valueoffset, value)
    return bytes(data) + picture


BOMBS = {
    "frames without pixels.npy": lambda: npy((10**9, 0, 5)),
    "frames that are not there.npy": lambda: npy((10**8, 1, 1)),
    "pixels that are not there.npy": lambda: npy((40_000, 40_000)),
    "negative sides.npy": lambda: npy((-2, -3), body=bytes(6)),
    "frames without pixels.npz": lambda: npz(npy((10**9, 0, 5))),
    "pixels that are not there.npz": lambda: npz(npy((10**8, 8, 8))),
    "zeros.npz": lambda: npz(npy((30_000, 30_000)), 9 * 10**8 + 128, MIB),
    "frames of zeros.npz": lambda: npz(npy((30_000, 200, 150)), 9 * 10**8 + 128, MIB),
    "a long header.npz": lambda: npz(b"\x93NUMPY\2\0" + struct.pack("<I", 2**25) + b" " * 2**25),
    "no pixels.tif": lambda: bare_tif(bytes(64), height=0),
    "a giant.tif": lambda: bare_tif(bytes(64), height=2**16, width=2**14),
    "frames in text.tif": lambda: tif(description='{"shape": [1000000000, 8, 8]}'),
    "times in text.tif": lambda: tif(description=OME.format(z=1, t=10**8)),
    "times and slices in text.tif": lambda: tif(description=OME.format(z=10**4, t=10**4)),
    "a large tile.tif": lambda: bare_tif(bytes(MIB), tile=2**15),
    "a large tile of few bytes.tif": lambda: bare_tif(bytes(64), tile=2**14),
    **{f"a large picture, {kind}.tif": lambda kind=kind: picture_tif(kind, 600) for kind in PICTURES},
    "gray.png": lambda: png(60_000, 30_000),
    "two bytes a channel.png": lambda: png(20_000, 10_000, 16, 2),
    "a palette.png": lambda: png(12_000, 12_000, 1, 3),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_tiny_file_that_declares_a_giant_image_is_refused_before_anything_is_allocated(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(BOMBS[name]())
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=name):
            list_images(path)
        assert tracemalloc.get_traced_memory()[1] < 8 * MIB
    finally:
        tracemalloc.stop()


def circular_tif(pages, back, *, bigtiff):
    """Return a file of so many pages after the last of which page number `back` follows once more."""
    file = io.BytesIO()
    frames = np.zeros((pages, 8, 8), np.uint8)
    tifffile.imwrite(file, frames, metadata=None, bigtiff=bigtiff, photometric="minisblack")
    with tifffile.TiffFile(io.BytesIO(file.getvalue())) as opened:
        offsets, form = [page.offset for page in opened.pages], opened.tiff
        tags = len(opened.pages[-1].tags)
    data = bytearray(file.getvalue())
    end = offsets[-1] + form.tagnosize + tags * form.tagsize
    struct.pack_into(form.offsetformat, data, end, offsets[back])
    return bytes(data)


@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize(("pages", "back"), [(1, 0), (2, 1), (5, 0), (5, 3), (150, 20)])
def test_pages_that_lead_back_to_one_another_are_refused_soon(tmp_path, pages, back, bigtiff):
    path = tmp_path / "circle.tif"
    path.write_bytes(circular_tif(pages, back, bigtiff=bigtiff))
    with pytest.raises(DataError, match=r"circle\.tif is damaged: its pages lead back to one another"):
        list_images(path)


def test_an_empty_page_that_leads_to_itself_is_refused_soon(tmp_path):
    """As tifffile would read it once more for as long as there is memory."""
    data, path = bytearray(circular_tif(1, 0, bigtiff=False)), tmp_path / "circle.tif"
    (first,) = struct.unpack_from("<I", data, 4)
    (tags,) = struct.unpack_from("<H", data, first)
    struct.pack_into("<I", data, first + 2 + 12 * tags, len(data))
    path.write_bytes(data + struct.pack("<HI", 0, len(data)))
    with pytest.raises(DataError, match="lead back to one another"):
        list_images(path)


@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize(("levels", "leads_to"), [(1, ["own"]), (2, [0, "own"]), (2, ["own", "own"]), (2, [0, 0])])
def test_levels_that_lead_back_to_their_image_are_left_out_or_refused_soon(tmp_path, levels, leads_to, bigtiff):
    """Which of both depends on how deep the program is in calls when tifffile gives up to follow them."""
    path = tmp_path / "levels.tif"
    with tifffile.TiffWriter(path, bigtiff=bigtiff) as writer:
        writer.write(SMALL, subifds=levels)
        for _ in range(levels):
            writer.write(SMALL[::2, ::2], subfiletype=1)
    with tifffile.TiffFile(path) as tif:
        page = tif.pages.first
        place, inner = page.tags["SubIFDs"].valueoffset, page.subifds
        offsets = [page.offset if one == "own" else inner[one] for one in leads_to]
    data = bytearray(path.read_bytes())
    struct.pack_into(f"<{levels}{'Q' if bigtiff else 'I'}", data, place, *offsets)
    path.write_bytes(data)
    try:
        shapes = [read_image(ref).array.shape for ref in list_images(path)]
    except DataError as error:
        shapes = str(error)
    damaged = "levels.tif is damaged: its pages lead back to one another. Save it again or leave it out."
    assert shapes == [SMALL.shape] or ("own" in leads_to and shapes == damaged)


@pytest.mark.parametrize("kind", PICTURES)
def test_a_picture_in_a_strip_says_how_large_it_is(kind):
    for height, width in ((8, 8), (8, 16), (31, 77), (64, 48), (513, 300), (1200, 1000)):
        picture = PICTURES[kind](np.zeros((height, width, 3), np.uint8))
        assert declared_size(picture) == (height, width)
        for length in range(0, 60, 3):
            declared_size(picture[:length])  # cut off


@pytest.mark.parametrize("kind", PICTURES)
def test_a_strip_that_is_a_picture_of_its_size_is_read(tmp_path, kind):
    (tmp_path / "a.tif").write_bytes(picture_tif(kind, 8))
    (ref,) = list_images(tmp_path)
    assert read_image(ref).array.shape == (8, 8)


@pytest.mark.parametrize(
    ("declared", "stored", "is_sound"),
    [
        (64 * MIB, 30, True),  # an empty mask, packed with zstd
        (256 * MIB, MIB // 4, True),  # a large empty mask, packed with deflate
        (256 * MIB, 3000, False),
        (1024 * MIB, 16 * MIB, True),
        (1024 * MIB, MIB, False),
        (3072 * MIB, 3 * MIB, False),
    ],
)
def test_the_larger_an_image_the_more_of_it_must_be_in_the_file(declared, stored, is_sound):
    if is_sound:
        check_unpacked_size("a.tif", declared, stored)
    else:
        with pytest.raises(DataError, match=r"a\.tif declares"):
            check_unpacked_size("a.tif", declared, stored)


def test_what_is_read_in_parts_may_be_nearly_empty():
    check_unpacked_size("a.tif", 1024 * MIB, MIB // 4, in_parts=True)
    with pytest.raises(DataError, match=r"a\.tif declares"):
        check_unpacked_size("a.tif", 1024 * MIB, 3000, in_parts=True)


def test_an_image_beside_a_text_is_found_in_an_npz(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("readme.txt", "about the pixels")
        archive.writestr("a.npy", npy((2, 3), body=bytes(range(6))))
    (ref,) = list_images(tmp_path)
    np.testing.assert_array_equal(read_image(ref).array, [[0, 1, 2], [3, 4, 5]])
