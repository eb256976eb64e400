"""Size of a pixel as files declare it, in micrometers; what is meant for a printer, or cannot be true, is not taken."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from xml.etree import ElementTree as ET

from tifffile import RESUNIT, TiffFile, TiffPageSeries

_MICROMETERS = {
    **dict.fromkeys(("pm", "picometer"), 1e-6),
    **dict.fromkeys(("å", "a", "ångström", "angstrom"), 1e-4),
    **dict.fromkeys(("nm", "nanometer"), 1e-3),
    **dict.fromkeys(("u", "um", "micron", "micrometer", "mikrometer"), 1.0),
    **dict.fromkeys(("mm", "millimeter"), 1e3),
    **dict.fromkeys(("cm", "centimeter", "zentimeter"), 1e4),
    **dict.fromkeys(("m", "meter"), 1e6),
    **dict.fromkeys(("in", "inch", "inche", '"'), 25400.0),
    **dict.fromkeys(("pt", "point"), 25400.0 / 72),
}
_TAG_UNITS: dict[int, str] = {RESUNIT.INCH: "inch", RESUNIT.CENTIMETER: "cm"}
_PRINTER_DPI = (
    *(1, 2.54, 10, 25.4, 50, 72, 75, 90, 96, 100, 110, 120, 130, 144, 150, 160, 180, 192, 200, 220, 240, 250, 254, 266),
    *(300, 350, 360, 400, 450, 500, 600, 720, 800, 1000, 1200),
)
_MICROMETERS_PER_INCH = 25400.0
_ROUNDED = 2e-3  # relative: 84.67 µm and 28.35 per centimeter are rounded from 300 and 72 dpi
_LARGEST_UM, _SMALLEST_UM = 50.0, 1e-3


@dataclass(frozen=True)
class PixelSize:
    """Size (Y, X) of a pixel in `unit`, and what is doubtful about what the file declares, as the end of a sentence."""

    scale: tuple[float, float] = (1.0, 1.0)
    unit: str = "px"
    note: str = ""


UNKNOWN = PixelSize()


def size_of_tags(tif: TiffFile, series: TiffPageSeries) -> PixelSize:
    """Return the size that resolution tags, ImageJ or the description of a slide scanner declare."""
    page = series.keyframe
    if scanned := re.search(r"\|\s*MPP\s*=\s*([\d.eE+-]+)", page.description or ""):
        return declared_size([scanned[1]] * 2, ["um"] * 2)
    per_x, per_y = page.resolution
    sizes = [1 / n if n else 0.0 for n in (per_y, per_x)]
    if not tif.is_imagej:
        unit = _TAG_UNITS.get(page.resolutionunit, "")
        found = declared_size(sizes, [unit, unit])
        return found if found.unit == "um" else UNKNOWN  # such tags are about prints, so there is nothing to ask
    described = tif.imagej_metadata or {}
    unit = str(described.get("unit", ""))
    return declared_size(sizes, [str(described.get("yunit", unit)), unit])


def size_of_ome(pixels: ET.Element) -> PixelSize:
    """Return the size that ``Pixels`` of OME-XML declare."""
    sizes = [pixels.get(f"PhysicalSize{axis}", "0") for axis in "YX"]
    return declared_size(sizes, [pixels.get(f"PhysicalSize{axis}Unit", "um") for axis in "YX"])


def declared_size(declared: Sequence[float | str], units: Sequence[str]) -> PixelSize:
    """Return the size (Y, X) of a pixel; `UNKNOWN` if what is declared is a resolution of printers or says nothing.

    Sizes over 50 µm or under 1 nm are not taken, with a note.
    """
    try:
        y, x = (_micrometers(float(size), unit) for size, unit in zip(declared, units, strict=True))
    except (ValueError, OverflowError):
        return UNKNOWN
    if not all(isfinite(size) and size > 0 for size in (y, x)) or _is_printed(y) or _is_printed(x):
        return UNKNOWN
    if max(y, x) > _LARGEST_UM or min(y, x) < _SMALLEST_UM:
        shown = " × ".join(f"{size:.4g}" for size in dict.fromkeys((y, x)))
        return PixelSize(note=f"declares pixels of {shown} µm, which no microscope has, so sizes are given in pixels")
    return PixelSize((y, x), "um")


def _is_printed(size: float) -> bool:
    dpi = _MICROMETERS_PER_INCH / size
    return any(abs(dpi - printer) < _ROUNDED * printer for printer in _PRINTER_DPI)


def _micrometers(size: float, unit: str) -> float:
    plain = unit.strip().strip(".").casefold()
    plain = re.sub("\\\\u00b5|\N{GREEK SMALL LETTER MU}|\N{REPLACEMENT CHARACTER}", "u", plain)
    plain = re.sub(r"metre(s?)$", r"meter\1", re.sub(r"\s*/\s*(px|pixel)$", "", plain))
    known = _MICROMETERS.get(plain) or _MICROMETERS.get(plain.removesuffix("s")) or 0.0
    return size * known
