"""Parts of a page: escaping, pictures, charts."""

import base64
import io
import re
from pathlib import Path
from types import SimpleNamespace
from typing import get_args
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from napari_unet_finetune.config import AugmentConfig, LossName
from napari_unet_finetune.evaluation.figures import OverlayRow
from napari_unet_finetune.evaluation.rows import Row
from napari_unet_finetune.report import page
from napari_unet_finetune.report.charts import study_charts, training_charts
from napari_unet_finetune.report.page import Gallery, picture_uri

TEMPLATES = sorted(Path(page.__file__).parent.glob("*.jinja"))


def test_only_charts_are_let_into_a_page_unescaped():
    """No other text is marked as safe, and none may switch the escaping off."""
    text = "".join(template.read_text() for template in TEMPLATES)
    literals_and_charts = r"(?:'[^'{}]*'|chart\.svg)\|safe"
    assert "|safe" not in re.sub(literals_and_charts, "", text.replace("| safe", "|safe"))
    assert len(TEMPLATES) == 5 and "autoescape" not in text


def test_the_methods_name_every_loss_and_every_augmentation():
    """A new one that the paragraph does not know would be described as another, or not at all."""
    text = next(template for template in TEMPLATES if template.name == "methods.jinja").read_text()
    assert [name for name in get_args(LossName) if f'"{name}"' not in text] == []
    assert [name for name in AugmentConfig.model_fields if name.startswith("p_") and f'"{name}"' not in text] == []


def test_pictures_are_small_enough_for_a_page():
    uri = picture_uri(np.ones((2000, 1000, 3)))
    assert uri.startswith("data:image/png;base64,")
    with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as picture:
        assert picture.size == (320, 640)


def test_labels_that_were_not_kept_leave_the_image_alone_in_its_place():
    square = np.zeros((4, 4))
    ((name, pictures),) = Gallery.of([OverlayRow("a", square, square, {"base": square, "5 images": None})]).rows
    assert [(one.title, one.note) for one in pictures[1:3]] == [("base", "Dice 1.000"), ("5 images", "not kept")]
    assert name == "a" and pictures[2].uri == pictures[0].uri


def record_of(losses, dices=()):
    return SimpleNamespace(
        losses=losses,
        validations=[SimpleNamespace(step=step, val_dice=dice) for step, dice in dices],
        started=SimpleNamespace(raw_dice=0.5),
        best=SimpleNamespace(step=1),
        from_scratch=False,
        kept_raw=False,
        base_name="wbc",
    )


@pytest.mark.parametrize("losses", [(0.1, 0.9), (0.5, 0.5), (float("nan"), 0.3), (1e-6, 2e-6), (-5.0, 12000.0), ()])
def test_charts_are_well_formed_and_the_same_each_time(losses):
    record = record_of(tuple(enumerate(losses)), [(0, 0.2), (1, None), (2, 0.8)])
    charts = list(training_charts(record))
    assert len(charts) == 2 and charts == list(training_charts(record))
    assert [ET.fromstring(chart.svg).get("aria-label") for chart in charts] == ["training loss", "mean Dice"]
    assert ">step that was kept<" in charts[1].svg  # text stays text


def test_higher_values_are_drawn_higher():
    rows = [Row(count, 0, "fast", 2, "a", dice, dice, dice, 1.0) for count, dice in ((0, 0.2), (5, 0.8))]
    (chart,) = study_charts(rows, None, "wbc")
    first, second = [
        (float(mark.get("x")), float(mark.get("y")))
        for mark in ET.fromstring(chart.svg).iter("{http://www.w3.org/2000/svg}use")
        if "stroke: #ffffff" in mark.get("style", "")
    ][:2]
    assert first[0] < second[0] and first[1] > second[1]
