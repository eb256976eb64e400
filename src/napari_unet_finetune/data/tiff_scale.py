"""The size of a pixel as TIFF files tell it: OME, ImageJ or the resolution tags."""

from __future__ import annotations

from math import isfinite
from xml.etree import ElementTree as ET

from tifffile import RESUNIT, TiffFile, TiffPageSeries

_MICROMETRES = {
    "pm": 1e-6,
    "å": 1e-4,
    "nm": 1e-3,
    "um": 1.0,
    "micron": 1.0,
    "microns": 1.0,
    "micrometer": 1.0,
    "mm": 1e3,
    "cm": 1e4,
    "m": 1e6,
    "inch": 25400.0,
    "in": 25400.0,
}
_TAG_UNITS: dict[int, str] = {RESUNIT.INCH: "inch", RESUNIT.CENTIMETER: "cm"}
_PRINTER_DPI = (72, 96, 100, 150, 180, 200, 240, 300, 350, 400, 600, 1200)
_CM_PER_INCH = 2.54
_ROUNDED = 0.03  # by what 118.11 per centimetre is off from 300 dpi, and more
_LARGEST_UM = 1000.0  # no microscope has larger pixels, but tags of printed sizes do

Size = tuple[tuple[float, float], str]
UNKNOWN: Size = ((1.0, 1.0), "px")


def pixel_size(tif: TiffFile, series: TiffPageSeries) -> Size:
    """Return the size (Y, X) of a pixel in micrometres and ``"um"``, or 1 and ``"px"`` where the file does not tell.

    Resolutions that editors write by default (72 dpi, 300 dpi and so on, also per centimetre) are meant for printers
    and are not taken, nor are pixels above 1 mm.
    """
    if tif.is_ome and tif.ome_metadata:
        return _from_ome(tif.ome_metadata, _position(tif, series))
    if tif.is_imagej:
        return _from_resolution(series, str((tif.imagej_metadata or {}).get("unit", "")))
    unit = _TAG_UNITS.get(series.keyframe.resolutionunit, "")
    dpi = series.keyframe.resolution[0] * (_CM_PER_INCH if unit == "cm" else 1)
    if min(abs(dpi - printer) for printer in _PRINTER_DPI) < _ROUNDED:
        return UNKNOWN
    return _from_resolution(series, unit)


def _position(tif: TiffFile, series: TiffPageSeries) -> int:
    return next((place for place, one in enumerate(tif.series) if one is series), 0)


def _from_ome(xml: str, index: int) -> Size:
    try:
        return _from_xml(ET.fromstring(xml), index)
    except (ET.ParseError, ValueError):  # a broken description does not spoil the pixels
        return UNKNOWN


def _from_xml(root: ET.Element, index: int) -> Size:
    images = root.findall(".//{*}Pixels")
    if not images:
        return UNKNOWN
    pixels = images[min(index, len(images) - 1)].attrib
    sizes = [_micrometres(pixels.get(f"PhysicalSize{a}", "0"), pixels.get(f"PhysicalSize{a}Unit", "um")) for a in "YX"]
    return _checked(sizes)


def _from_resolution(series: TiffPageSeries, unit: str) -> Size:
    per_x, per_y = series.keyframe.resolution
    return _checked([_micrometres(1 / n if n else 0, unit) for n in (per_y, per_x)])


def _micrometres(size: float | str, unit: str) -> float:
    plain = unit.strip().lower().replace("\\u00b5", "u").replace("µ", "u").replace("μ", "u")
    return float(size) * _MICROMETRES.get(plain, 0.0)


def _checked(sizes: list[float]) -> Size:
    y, x = sizes
    usable = isfinite(y) and isfinite(x) and min(y, x) > 0 and max(y, x) <= _LARGEST_UM
    return ((y, x), "um") if usable else UNKNOWN
