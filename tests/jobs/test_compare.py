"""Comparison, learning curve and figure as jobs: what a dock asks for is what the folder of the job holds."""

import imageio.v3 as iio
import pytest

from napari_unet_finetune.config import AugmentConfig, FinetuneConfig, PredictConfig
from napari_unet_finetune.data.pairing import pair_images
from napari_unet_finetune.errors import DataError
from napari_unet_finetune.events import ImageCompared, JobEnded, Notice, PartStarted, StepEnd, from_json, to_json
from napari_unet_finetune.io.images import list_images
from napari_unet_finetune.jobs.table import events_of
from napari_unet_finetune.learning_curve.folder import StudyFolder
from napari_unet_finetune.runs.request import (
    ComparedModel,
    CompareRequest,
    CurveRequest,
    FigureRequest,
    FigureRow,
    write_request,
)
from napari_unet_finetune.runs.serve import Control

CONFIG = FinetuneConfig(
    steps=2, batch_size=2, patch_size=32, validate_every=1, augment=AugmentConfig.none(), device="cpu",
    precision="fp32",
)  # fmt: skip


@pytest.fixture
def pairs(squares):
    return pair_images(list_images(squares / "images").images, list_images(squares / "masks").images).pairs


def carried_out(folder, request):
    if request is not None:
        write_request(folder, request)
    events = list(events_of(folder, Control()))
    assert [from_json(to_json(event)) for event in events] == events
    assert isinstance(events[-1], JobEnded)
    return events


def compared(pairs, model, folder):
    request = CompareRequest(
        models=(ComparedModel(label="raw", model=str(model)),),
        images=tuple(pair.image for pair in pairs[:2]),
        pairs=pairs[:2],
        cache=folder / "labels",
        config=PredictConfig(device="cpu", precision="fp32"),
    )
    return [event for event in carried_out(folder / "job", request) if isinstance(event, ImageCompared)]


def test_a_comparison_tells_what_each_model_makes_of_each_image(pairs, model, tmp_path):
    cells = compared(pairs, model, tmp_path)
    assert [(cell.model, cell.image) for cell in cells] == [("raw", "img_00"), ("raw", "img_01")]
    assert all(0 <= cell.dice <= 1 and cell.labels.is_file() for cell in cells)


def test_a_curve_tells_how_each_model_did_and_is_resumed_by_its_folder_alone(pairs, model, tmp_path):
    request = CurveRequest(train=pairs[:3], test=pairs[3:], counts=(0, 1), checkpoint=str(model), config=CONFIG)
    events = carried_out(tmp_path, request)
    assert [event.label for event in events if isinstance(event, PartStarted)] == [
        "Testing the base",
        "1 image, seed 0",
    ]
    told = [event.message for event in events if isinstance(event, Notice)]
    assert any(text.startswith("Without finetuning: Dice") for text in told)
    assert any(text.startswith("With 1 image, seed 0: Dice") and "on 2 test images" in text for text in told)
    rows = StudyFolder(events[-1].file).rows
    assert [(row.count, row.image) for row in rows] == [
        (0, "img_03"), (0, "img_04"), (1, "img_03"), (1, "img_04"),
    ]  # fmt: skip
    assert not any(isinstance(event, StepEnd) for event in carried_out(tmp_path, None))
    assert StudyFolder(tmp_path).rows == rows


def test_figures_are_drawn_as_png_and_svg(pairs, model, tmp_path):
    curve = CurveRequest(train=pairs[:3], test=pairs[3:], counts=(0, 1), checkpoint=str(model), config=CONFIG)
    carried_out(tmp_path / "study", curve)
    cells = compared(pairs, model, tmp_path)
    rows = tuple(
        FigureRow(pair=pair, predictions=(("raw", cell.labels),)) for cell, pair in zip(cells, pairs, strict=False)
    )
    request = FigureRequest(rows=rows, out=tmp_path / "a.png", study=tmp_path / "study", curve=tmp_path / "b.svg")
    carried_out(tmp_path / "figure", request)
    assert min(iio.imread(tmp_path / "a.png").shape[:2]) > 200
    assert "new images" in (tmp_path / "b.svg").read_text()


def test_a_figure_of_files_that_do_not_fit_is_refused(pairs, tmp_path):
    small = tmp_path / "small.png"
    iio.imwrite(small, iio.imread(pairs[0].mask.path)[:20])
    row = FigureRow(pair=pairs[0], predictions=(("raw", small),))
    with pytest.raises(DataError, match="differ in size"):
        carried_out(tmp_path / "job", FigureRequest(rows=(row,), out=tmp_path / "a.png"))
    assert not (tmp_path / "a.png").exists()
