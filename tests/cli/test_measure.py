"""`measure` from the terminal, and as a job."""

import csv
import shutil

import imageio.v3 as iio
import numpy as np
import pytest

from napari_unet_finetune.data.pairing import FilePair
from napari_unet_finetune.errors import DataError
from napari_unet_finetune.events import ImageEnd, JobEnded
from napari_unet_finetune.jobs.table import events_of
from napari_unet_finetune.runs.request import MeasureRequest, write_request
from napari_unet_finetune.runs.serve import Control


def test_masks_are_measured_into_two_tables_once(answer, invoke, complaint, squares, tmp_path):
    command = ["measure", "--images", squares / "images", "--labels", squares / "masks", "--out", tmp_path / "t.csv"]
    code, report = answer(*command)
    assert code == 0
    assert report["images"] == 5 and report["failed"] == [] and not report["stopped"]
    with (tmp_path / "t.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == report["objects"] and {row["image"] for row in rows} == {f"img_{i:02d}" for i in range(5)}
    assert float(rows[0]["mean_intensity"]) > 100
    assert "t.csv exists already" in complaint(*command)
    shown = invoke(*command, "--overwrite").stdout
    assert f"{report['objects']} objects in 5 images, written to {tmp_path / 't.csv'}" in shown


def test_no_table_is_written_if_nothing_can_be_measured(answer, invoke, squares, tmp_path):
    shutil.copytree(squares / "masks", tmp_path / "masks")
    for file in (tmp_path / "masks").iterdir():
        iio.imwrite(file, np.ones((9, 9), np.uint8))
    command = ["measure", "--images", squares / "images", "--labels", tmp_path / "masks", "--out", tmp_path / "t.csv"]
    code, report = answer(*command)
    assert (code, report["tables"], len(report["failed"])) == (1, [], 5)
    assert "0 objects in 0 images, nothing is written." in invoke(*command).stdout
    assert not (tmp_path / "t.csv").exists()


def test_a_broken_file_is_named_and_the_exit_code_tells(answer, invoke, squares, tmp_path):
    shutil.copytree(squares / "masks", tmp_path / "masks")
    (tmp_path / "masks" / "img_03.png").write_bytes(b"\x89PNG is no image")
    command = ["measure", "--images", squares / "images", "--labels", tmp_path / "masks"]
    code, report = answer(*command, "--out", tmp_path / "t.csv")
    assert code == 1
    assert report["images"] == 4
    assert "img_03.png" in report["failed"][0]["file"]
    assert "img_03.png" in invoke(*command, "--out", tmp_path / "u.csv").stderr


def test_a_job_measures_the_files_it_is_given(squares, tmp_path):
    files = tuple(
        FilePair(image=squares / "images" / f"img_0{i}.png", labels=squares / "masks" / f"img_0{i}.png") for i in (1, 2)
    )
    write_request(tmp_path / "job", MeasureRequest(files=files, out=tmp_path / "t.csv"))
    events = list(events_of(tmp_path / "job", Control()))
    assert [event.done for event in events if isinstance(event, ImageEnd)] == [1, 2]
    assert events[-1] == JobEnded(tmp_path / "t.csv")
    with pytest.raises(DataError, match="exists already"):
        list(events_of(tmp_path / "job", Control()))
