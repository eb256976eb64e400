"""A page of a report as a value, and as one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

TEMPLATE = "page.html.jinja"
# Pictures are stored at most this large; on paper they are two to five centimetres wide.
MAX_PICTURE_PX = 640
SHORT_TABLE = 16


@dataclass(frozen=True)
class Text:
    """Paragraphs."""

    kind: ClassVar[str] = "text"
    paragraphs: tuple[str, ...]


@dataclass(frozen=True)
class Bullets:
    """A list of sentences; numbered where they are references."""

    kind: ClassVar[str] = "bullets"
    items: tuple[str, ...]
    numbered: bool = False


@dataclass(frozen=True)
class Facts:
    """Names and values beside each other."""

    kind: ClassVar[str] = "facts"
    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Table:
    """A table; columns after the first `text_columns` hold numbers, the last `totals` rows are set apart."""

    kind: ClassVar[str] = "table"
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str
    text_columns: int = 1
    totals: int = 0

    @property
    def is_short(self) -> bool:
        """Tell whether the table should stay on one page."""
        return len(self.rows) <= SHORT_TABLE


@dataclass(frozen=True)
class Chart:
    """A drawing as SVG, made by this program and never from outside text."""

    svg: str
    caption: str


@dataclass(frozen=True)
class Charts:
    """Charts side by side."""

    kind: ClassVar[str] = "charts"
    charts: tuple[Chart, ...]


@dataclass(frozen=True)
class Picture:
    """An image as data URI, with a line below it."""

    uri: str
    note: str = ""


@dataclass(frozen=True)
class Gallery:
    """Rows of pictures with a name each, under common headers."""

    kind: ClassVar[str] = "gallery"
    headers: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Picture, ...]], ...]
    caption: str
    legend: tuple[tuple[str, str], ...] = ()


Block = Text | Bullets | Facts | Table | Charts | Gallery


@dataclass(frozen=True)
class Section:
    """A part of the page under a heading."""

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Page:
    """A whole report: title, what was done, the figures that matter most, and sections."""

    title: str
    subtitle: str
    lead: tuple[str, ...]
    highlights: tuple[tuple[str, str, str], ...]
    sections: tuple[Section, ...]
    footer: str


def render(page: Page) -> str:
    """Return `page` as one HTML file; every text is escaped, so names of files can do no harm."""
    html: str = _template().render(page=page)
    return html


@cache
def _template() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(TEMPLATE)


def picture_uri(rgb: NDArray[np.floating[Any]]) -> str:
    """Return an image (Y, X, 3) with values from 0 to 1 as PNG in a data URI, made smaller if it is large."""
    from PIL import Image

    picture = Image.fromarray((rgb * 255).round().astype(np.uint8))
    picture.thumbnail((MAX_PICTURE_PX, MAX_PICTURE_PX))
    stream = io.BytesIO()
    picture.save(stream, "png", optimize=True)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()
