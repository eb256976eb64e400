"""Parts of a page: escaping, pictures, charts."""

import base64
import io
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from napari_unet_finetune.report.charts import Level, Line, line_chart
from napari_unet_finetune.report.page import (
    Bullets,
    Facts,
    Gallery,
    Page,
    Picture,
    Section,
    Table,
    Text,
    picture_uri,
    render,
)

EVIL = "<b onclick='x'>\"&"


def test_every_text_of_a_page_is_escaped():
    blocks = (
        Text((EVIL,)), Bullets((EVIL,)), Facts(((EVIL, EVIL),)), Table((EVIL,), ((EVIL,),), EVIL),
        Gallery((EVIL,), ((EVIL, (Picture("data:,", EVIL),)),), EVIL),
    )  # fmt: skip
    html = render(Page(EVIL, EVIL, (EVIL,), ((EVIL, EVIL, EVIL),), (Section(EVIL, blocks),), EVIL))
    assert "<b onclick" not in html
    assert html.count("&lt;b onclick") >= 17


def test_pictures_are_small_enough_for_a_page():
    uri = picture_uri(np.ones((2000, 1000, 3)))
    assert uri.startswith("data:image/png;base64,")
    with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as picture:
        assert picture.size == (320, 640)


@pytest.mark.parametrize("ys", [(0.1, 0.9), (0.5, 0.5), (float("nan"), 0.3), (1e-6, 2e-6), (-5.0, 12000.0)])
def test_a_chart_is_well_formed_and_stays_inside(ys):
    lines = [Line("a & b", tuple(enumerate(map(float, ys))), "#000", dots=True, band=((0.0, 0.1, 0.2),))]
    svg = line_chart(lines, x_label="<x>", y_label="y", levels=[Level("base", 0.5), Level("", 1.0, upright=True)])
    root = ET.fromstring(svg)
    _, _, width, height = map(float, root.get("viewBox").split())
    for circle in root.iter("circle"):
        assert 0 <= float(circle.get("cx")) <= width and 0 <= float(circle.get("cy")) <= height


def test_higher_values_are_drawn_higher():
    root = ET.fromstring(line_chart([Line("", ((0.0, 0.2), (1.0, 0.8)), "#000", dots=True)], x_label="x", y_label="y"))
    first, second = root.iter("circle")
    assert float(first.get("cy")) > float(second.get("cy"))
    assert float(first.get("cx")) < float(second.get("cx"))
