"""The study: nested training sets, tests apart from them, and no work done twice."""

import dataclasses
import json
import os
import shutil

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile

from napari_unet_finetune.config import AugmentConfig, FinetuneConfig, ModelConfig
from napari_unet_finetune.errors import DataError, RunError
from napari_unet_finetune.evaluation.rows import Row
from napari_unet_finetune.events import Notice, PartStarted, StepEnd
from napari_unet_finetune.io.disk import locked
from napari_unet_finetune.learning_curve.examples import draw_figures
from napari_unet_finetune.learning_curve.folder import StudyFolder
from napari_unet_finetune.learning_curve.plan import Arm, pairs_of_datasets, read_plan, training_of
from napari_unet_finetune.learning_curve.run import run_study
from napari_unet_finetune.models.load import load_model
from napari_unet_finetune.runs.folder import RunFolder
from napari_unet_finetune.runs.request import CurveRequest
from napari_unet_finetune.training.finetune import random_model

CONFIG = FinetuneConfig(
    steps=2, batch_size=2, patch_size=32, validate_every=1, rehearsal_patches=4, augment=AugmentConfig(p_affine=0),
    device="cpu", precision="fp32", seed=7,
)  # fmt: skip


@pytest.fixture(scope="module")
def datasets(tmp_path_factory, write_squares):
    data = tmp_path_factory.mktemp("data")
    return write_squares(data / "dataset1", 6), write_squares(data / "dataset2", 7, bright=False, seed=1)


@pytest.fixture(scope="module")
def plan(datasets):
    return CurveRequest(
        **pairs_of_datasets(*datasets, 4, test1=2, test2=3, base_count=3),
        counts=(0, 1, 4),
        seeds=2,
        model=ModelConfig(width=16, levels=2),
        config=CONFIG,
        base_config=CONFIG,
    )


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "base.safetensors"
    random_model(ModelConfig(width=16, levels=2), CONFIG).save(path)
    return str(path)


@pytest.fixture(scope="module")
def whole(plan, tmp_path_factory):
    """Return the folder, events and rows of a study without interruption."""
    out = tmp_path_factory.mktemp("study") / "out"
    return out, *follow(run_study(plan, out))


def follow(study, *, until=lambda _: False):
    """Return the events up to one of a kind, and the rows or, if the study was left there, None."""
    events = []
    while True:
        try:
            events.append(next(study))
        except StopIteration as stop:
            return events, stop.value
        if until(events[-1]):
            study.close()
            return events, None


def requests(out):
    return {path.name: RunFolder(path).request for path in (out / "runs").iterdir()}


def test_there_is_one_row_per_model_and_test_image(whole):
    _, _, rows = whole
    arms = [(0, 7), (1, 7), (1, 8), (4, 7), (4, 8)]
    tests = [(1, "img_04"), (1, "img_05"), (2, "img_04"), (2, "img_05"), (2, "img_06")]
    assert [(row.count, row.seed, row.dataset, row.image) for row in rows] == [
        (*arm, *test) for arm in arms for test in tests
    ]
    assert {row.preset for row in rows} == {"default"}
    assert all(0 <= score <= 1 for row in rows for score in (row.dice, row.iou, row.surface_dice))


def test_training_sets_are_nested_and_hold_no_test_image(whole):
    out, _, rows = whole
    only = {name: tuple(pair.name for pair in request.pairs) for name, request in requests(out).items()}
    assert only == {
        "base": ("img_00", "img_01", "img_02"),
        "01-images-seed-7": ("img_00",), "01-images-seed-8": ("img_00",),
        "04-images-seed-7": ("img_00", "img_01", "img_02", "img_03"),
        "04-images-seed-8": ("img_00", "img_01", "img_02", "img_03"),
    }  # fmt: skip
    tested = {dataset: {row.image for row in rows if row.dataset == dataset} for dataset in (1, 2)}
    assert not tested[1] & set(only.pop("base"))
    assert not tested[2] & {name for names in only.values() for name in names}


def is_tested(event):
    """Whether an event tells how a model did on the test images."""
    return isinstance(event, Notice) and "test image" in event.message


def test_every_model_comes_from_the_base_with_its_own_seed(whole, plan):
    out, _, _ = whole
    asked = requests(out)
    base = asked.pop("base")
    assert (base.task, base.pairs, base.config) == ("train", plan.old_train, plan.base_config)
    for name, request in asked.items():
        assert request.task == "finetune" and set(request.pairs) <= set(plan.train)
        assert request.checkpoint == str(out / "runs" / "base" / "model.safetensors")
        assert name.endswith(f"seed-{request.config.seed}")


def test_models_are_announced_in_order_and_steps_are_reported(whole):
    _, events, rows = whole
    started = [(event.label, event.index, event.total) for event in events if isinstance(event, PartStarted)]
    titles = [
        "base",
        "Testing the base",
        *(f"{count}, seed {seed}" for count in ("1 image", "4 images") for seed in (7, 8)),
    ]
    assert started == [(title, index, 5) for index, title in enumerate(titles)]
    assert len([event for event in events if isinstance(event, StepEnd)]) == 2 * 5
    assert [event.message.partition(":")[0].partition(",")[0] for event in events if is_tested(event)] == [
        "Without finetuning",
        *["With 1 image"] * 2,
        *["With 4 images"] * 2,
    ]
    of_raw = [row.dice for row in rows if (row.dataset, row.count) == (2, 0)]
    assert f"Dice {sum(of_raw) / len(of_raw):.3f}" in next(event.message for event in events if is_tested(event))


def test_a_finished_study_is_read_and_not_done_again(whole, plan):
    out, _, rows = whole
    events, again = follow(run_study(plan, out))
    assert again == rows
    assert not any(isinstance(event, StepEnd) for event in events)


def test_an_interrupted_study_repeats_nothing_and_ends_with_the_same_rows(whole, plan, tmp_path):
    _, _, rows = whole
    out = tmp_path / "out"
    begun, _ = follow(run_study(plan, out), until=lambda event: is_tested(event) and "1 image," in event.message)
    middle, _ = follow(run_study(plan, out), until=lambda event: isinstance(event, StepEnd))
    ended, again = follow(run_study(plan, out))
    assert again == rows
    steps = [event.step for part in (begun, middle, ended) for event in part if isinstance(event, StepEnd)]
    # Only the step whose training was cut off is made twice, after what was seen of it before is told again.
    assert steps == [1, 2] * 2 + [1] + [1] + [1, 2] * 3


def test_a_stopped_study_returns_what_is_done_and_goes_on(whole, plan, tmp_path):
    _, _, rows = whole
    out, ended = tmp_path / "out", []
    study = run_study(plan, out, should_stop=lambda: len(ended) >= 2)
    while True:
        try:
            event = next(study)
        except StopIteration as stop:
            partial = stop.value
            break
        ended += [event] if is_tested(event) else []
    assert partial == rows[:10]
    assert follow(run_study(plan, out))[1] == rows


def test_a_study_stopped_in_its_base_training_has_no_rows(plan, tmp_path):
    _, rows = follow(run_study(plan, tmp_path / "out", should_stop=lambda: True))
    assert rows == []


def test_other_settings_need_another_folder(whole, plan):
    out, _, _ = whole
    before = (out / "plan.json").read_bytes()
    with pytest.raises(RunError, match="holds a study with other settings"):
        next(run_study(plan.model_copy(update={"seeds": 3}), out))
    assert (out / "plan.json").read_bytes() == before


def test_a_study_is_not_carried_out_twice_at_a_time(plan, tmp_path):
    study = run_study(plan, tmp_path)
    next(study)
    with pytest.raises(RunError, match="being worked on already"):
        next(run_study(plan, tmp_path))
    study.close()


def test_a_study_that_is_begun_in_the_same_moment_does_not_change_the_plan_of_another(plan, tmp_path):
    with locked(tmp_path), pytest.raises(RunError, match="being worked on already"):
        next(run_study(plan, tmp_path))
    assert not (tmp_path / "plan.json").exists()


def test_what_killed_writers_left_is_swept(plan, tmp_path):
    left = [tmp_path / name / ".0a1b2c3d0a1b2c3d.partial" for name in ("rows", "predictions/dataset1", ".")]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.utime(path, (0, 0))
    study = run_study(plan, tmp_path)
    next(study)
    study.close()
    assert not any(path.exists() for path in left)


@pytest.mark.parametrize(
    ("most", "test1", "sentence"),
    [
        (5, 2, "dataset2: 7 images with masks are too few for 8"),
        (4, 6, "dataset1: 6 images with masks are too few for 7"),
    ],
)
def test_too_few_images_are_refused_before_any_work(datasets, most, test1, sentence):
    with pytest.raises(DataError, match=sentence):
        pairs_of_datasets(*datasets, most, test1=test1, test2=3)


def earlier(plan, datasets):
    """Return the plan as an earlier version kept it: by its folders."""
    shared = plan.model_dump(mode="json", include={"counts", "seeds", "model", "config", "base_config"})
    folders = {"dataset1": str(datasets[0]), "dataset2": str(datasets[1])}
    return json.dumps({**shared, **folders, "test1": 2, "test2": 3, "base_count": 3, "base": None})


def test_a_study_that_an_earlier_version_began_goes_on(whole, plan, datasets, tmp_path):
    shutil.copytree(whole[0], tmp_path / "out")
    (tmp_path / "out" / "plan.json").write_text(earlier(plan, datasets))
    events, rows = follow(run_study(plan, tmp_path / "out"))
    assert rows == whole[2] and not any(isinstance(event, StepEnd) for event in events)


def test_a_plan_of_an_earlier_version_is_read_though_its_images_are_gone(plan, datasets, tmp_path):
    (tmp_path / "plan.json").write_text(earlier(plan, [tmp_path / "gone", datasets[1]]))
    assert read_plan(tmp_path / "plan.json") == plan.model_copy(
        update={"train": (), "test": (), "old_train": (), "old_test": ()}
    )


def test_a_folder_that_cannot_be_made_is_named(plan, tmp_path):
    (tmp_path / "file").touch()
    for out in (tmp_path / "file", tmp_path / "file" / "out"):
        with pytest.raises(RunError, match="cannot be written"):
            next(run_study(plan, out))


def test_a_given_base_is_not_trained(plan, base, datasets, tmp_path):
    images = pairs_of_datasets(*datasets, 1, test1=6, test2=3, base_count=0)
    given = plan.model_copy(update={**images, "checkpoint": base, "counts": (0, 1), "seeds": 1})
    events, rows = follow(run_study(given, tmp_path / "out"))
    assert [event.label for event in events if isinstance(event, PartStarted)] == [
        "Testing the base",
        "1 image, seed 7",
    ]
    assert len(rows) == 2 * (6 + 3)
    assert requests(tmp_path / "out")["01-images-seed-7"].checkpoint == base


def test_from_scratch_needs_no_base_for_its_own_models(plan, base, tmp_path):
    scratch = CONFIG.model_copy(update={"preset": "from scratch"})
    given = plan.model_copy(update={"checkpoint": base, "counts": (1,), "seeds": 1, "config": scratch})
    follow(run_study(given, tmp_path))
    (request,) = requests(tmp_path).values()
    assert (request.task, request.checkpoint, request.model) == ("train", None, plan.model)
    model = load_model(tmp_path / "runs" / "01-images-seed-7" / "model.safetensors")
    assert model.card.provenance.parent_sha256 is None


def test_a_relative_folder_gives_runs_that_can_be_resumed_from_anywhere(plan, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trained = tmp_path / "runs" / "01-images-seed-7" / "events.jsonl"
    follow(run_study(plan, tmp_path.relative_to(tmp_path)), until=lambda _event: trained.is_file())
    asked = requests(tmp_path)["01-images-seed-7"].checkpoint
    assert asked == str(tmp_path / "runs" / "base" / "model.safetensors")


def test_labels_of_the_first_seed_are_kept_for_every_test_image(whole):
    out, _, rows = whole
    kept = {str(path.relative_to(out / "predictions")) for path in (out / "predictions").rglob("*.tif")}
    assert kept == {
        f"dataset{row.dataset}{os.sep}{row.image}_{row.count:02d}-images.tif" for row in rows if row.seed == 7
    }
    assert tifffile.imread(out / "predictions" / "dataset1" / "img_04_00-images.tif").shape == (48, 48)


def test_rows_are_kept_as_json_that_gives_them_back(whole):
    out, _, rows = whole
    kept = [
        Row(**row)
        for label in ("raw", "01-images-seed-7")
        for row in json.loads((out / "rows" / f"{label}.json").read_text())
    ]
    assert kept == rows[:10]
    assert [field.name for field in dataclasses.fields(Row)] == list(
        json.loads((out / "rows" / "raw.json").read_text())[0]
    )


def test_the_figures_show_something(whole, tmp_path):
    out, _, _ = whole
    figures = draw_figures(StudyFolder(out), curve=tmp_path / "curve.png", overlay=tmp_path / "overlay.png")
    assert figures == [tmp_path / "curve.png", tmp_path / "overlay.png"]
    for path in figures:
        picture = iio.imread(path)
        assert min(picture.shape[:2]) > 200
        colors = picture[..., :3].astype(int) @ (1, 256, 65536)
        assert len(np.unique(colors)) > 20


def test_images_that_are_not_yet_trained_with_are_there_without_masks_and_test_images_never(plan):
    """Where the settings say that they are learned from."""
    assert training_of(plan, Arm(1, 0), "base").unannotated == ()
    plan = plan.model_copy(update={"config": plan.config.model_copy(update={"unannotated_share": 1.0})})
    some, everything = (training_of(plan, Arm(count, 0), "base") for count in (1, 4))
    assert some.unannotated == tuple(pair.image for pair in plan.train[1:]) and everything.unannotated == ()
    assert not {pair.image for pair in plan.test} & set(some.unannotated)
