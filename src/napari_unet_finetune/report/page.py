"""Fill the templates of a report: one HTML file that needs nothing else, and in which every text is escaped."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..colors import ERRORS
from ..config import SURFACE_TOLERANCE_PX, PredictConfig
from ..evaluation.areas import CONFIDENCE, FEW_IMAGES
from ..evaluation.figures import OverlayRow, panels
from ..events import TOLERATED_DROP, forgets
from ..inference.views import trains_mirrored
from ..io.regions.region import counted
from ..metrics import MATCH_IOUS, MATCHING
from ..models.provenance import DISTRIBUTION, installed_version
from ..outcome import ENOUGH_HELD_OUT, OPTIMISM, WhyBase, chosen_by_held_out, how_to_show_mistaken, untried, why_base
from ..text import count_of, device_name, difference, from_to, listed, number, percent, precision_name

# Pictures are stored at most this large; on paper they are two to five centimeters wide.
MAX_PICTURE_PX = 640


@dataclass(frozen=True)
class PagePicture:
    """A panel as data URI, under the title of its column."""

    title: str
    uri: str
    note: str


@dataclass(frozen=True)
class Gallery:
    """Pictures of some images, a row with its name each; all rows have the same columns."""

    rows: tuple[tuple[str, tuple[PagePicture, ...]], ...]

    @classmethod
    def of(cls, rows: Iterable[OverlayRow]) -> Gallery:
        """Draw the panels of `rows`, which are let go one by one."""
        return cls(
            tuple(
                (row.name, tuple(PagePicture(panel.title, picture_uri(panel.rgb), panel.note) for panel in panels(row)))
                for row in rows
            )
        )


def render(template: str, **values: Any) -> str:
    """Return a template of this folder, filled; raises `jinja2.UndefinedError` if it asks for what is not given."""
    html: str = _environment().get_template(template).render(values)
    return html


@cache
def _environment() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        count_of=count_of, counted=counted, difference=difference, forgets=forgets, program=DISTRIBUTION,
        version=installed_version(), today=_today, error_colors=ERRORS, FEW_IMAGES=FEW_IMAGES,
        ENOUGH_HELD_OUT=ENOUGH_HELD_OUT, chosen_by_held_out=chosen_by_held_out,
        TOLERATED_DROP=TOLERATED_DROP, OPTIMISM=OPTIMISM, WhyBase=WhyBase,
        why_base=why_base, from_to=from_to, how_to_show_mistaken=how_to_show_mistaken, untried=untried,
        CONFIDENCE=CONFIDENCE, trains_mirrored=trains_mirrored, overlap=PredictConfig().overlap, a_device=_with_article,
        precision_name=precision_name, tolerance_px=f"{SURFACE_TOLERANCE_PX:g}", MATCH_IOUS=MATCH_IOUS,
        MATCHING=MATCHING,
    )  # fmt: skip
    environment.filters.update(number=number, percent=_unbroken_percent, thousands="{:,}".format, listed=listed)
    return environment


def _today() -> str:
    return datetime.now(UTC).date().isoformat()


def _with_article(device: str) -> str:
    """Return the name of a device: ``a CPU``, ``an Apple GPU``."""
    name = device_name(device)
    return f"{'an' if name[0] in 'AEIO' else 'a'} {name}"


def _unbroken_percent(share: float) -> str:
    return percent(share).replace(" ", "\u00a0")


def picture_uri(rgb: NDArray[np.floating[Any]]) -> str:
    """Return an image (Y, X, 3) with values from 0 to 1 as PNG in a data URI, made smaller if it is large."""
    from PIL import Image

    picture = Image.fromarray((rgb * 255).round().astype(np.uint8))
    picture.thumbnail((MAX_PICTURE_PX, MAX_PICTURE_PX))
    stream = io.BytesIO()
    picture.save(stream, "png", optimize=True)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()
