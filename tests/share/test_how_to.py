"""The program in docs/export.md works as it stands there."""

from pathlib import Path

import numpy as np
import pytest

import napari_unet_finetune as nuf
from napari_unet_finetune.data.annotated_image import AnnotatedImage
from napari_unet_finetune.data.appearance import Appearance

pytest.importorskip("onnxruntime")
PAGE = Path(__file__).parents[2] / "docs" / "export.md"


@pytest.mark.parametrize("inverted", [(), (0,)], ids=["as it is", "dark and bright exchanged"])
def test_ten_lines_of_another_program_find_what_this_one_finds(tmp_path, monkeypatch, inverted):
    code = PAGE.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    assert "napari_unet_finetune as" not in code
    monkeypatch.chdir(tmp_path)
    model = nuf.load_model("microtube").with_card(knows=(Appearance(inverted=inverted),))
    pixels = nuf.make_microtube(1, 1, seed=5, shape=(150, 210))[0].image
    image = AnnotatedImage("a", 255 - pixels if inverted else pixels)
    nuf.export_model(model, "cells.onnx")
    found = {"image": image.image[np.newaxis]}
    exec(code, found)  # noqa: S102 - our own page
    ours = nuf.predict(model, image, device="cpu", precision="fp32")
    assert ours.labels.mean() > 0.03
    assert np.mean(found["mask"] != (ours.labels > 0)) < 0.01
