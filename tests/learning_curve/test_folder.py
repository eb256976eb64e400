"""A learning curve on named images, and what its folder tells without torch."""

import json
import shutil

import pytest

from napari_unet_finetune.config import AugmentConfig, FinetuneConfig, ModelConfig
from napari_unet_finetune.data.pairing import pair_images
from napari_unet_finetune.errors import DataError, RunError
from napari_unet_finetune.evaluation.rows import summarize
from napari_unet_finetune.events import StepEnd, drain
from napari_unet_finetune.io.images import list_images
from napari_unet_finetune.learning_curve.folder import StudyFolder, find_studies
from napari_unet_finetune.learning_curve.run import run_study
from napari_unet_finetune.models.load import load_model
from napari_unet_finetune.runs.execute import run_here
from napari_unet_finetune.runs.folder import RunFolder
from napari_unet_finetune.runs.request import CurveRequest, FinetuneRequest, write_request
from napari_unet_finetune.training.finetune import random_model

CONFIG = FinetuneConfig(
    steps=2, batch_size=2, patch_size=32, validate_every=1, rehearsal_patches=4, augment=AugmentConfig.none(),
    device="cpu", precision="fp32", seed=3, keep_raw=False,
)  # fmt: skip


def pairs_in(folder):
    pairs = pair_images(list_images(folder / "images").images, list_images(folder / "masks").images).pairs
    return tuple(pairs)


@pytest.fixture(scope="module")
def new(tmp_path_factory, write_squares):
    return write_squares(tmp_path_factory.mktemp("new"), 5, bright=False, seed=1)


@pytest.fixture(scope="module")
def old(tmp_path_factory, write_squares):
    return write_squares(tmp_path_factory.mktemp("old"), 4)


@pytest.fixture(scope="module")
def base(tmp_path_factory, old):
    """Return the file of a base that carries patches of its images along."""
    run = RunFolder(tmp_path_factory.mktemp("base"))
    scratch = CONFIG.model_copy(update={"preset": "from scratch", "validation_share": 0.25})
    request = FinetuneRequest(
        task="train", images=old / "images", masks=old / "masks", config=scratch, model=ModelConfig(width=16, levels=2)
    )
    drain(run_here(RunFolder.create(run.path, request)))
    return str(run.result_path)


@pytest.fixture(scope="module")
def plan(new, base):
    pairs = pairs_in(new)
    train = pairs[3], pairs[0], pairs[1]
    return CurveRequest(train=train, test=pairs[4:], counts=(0, 1, 3), checkpoint=base, config=CONFIG)


@pytest.fixture(scope="module")
def done(plan, tmp_path_factory):
    out = tmp_path_factory.mktemp("curve") / "out"
    return out, drain(run_study(plan, out))


def test_training_sets_are_nested_in_the_order_given(done, plan):
    out, _ = done
    trained = {arm.count: RunFolder(file.parent).request for arm, file in StudyFolder(out).models.items()}
    assert {count: request.pairs for count, request in trained.items()} == {1: plan.train[:1], 3: plan.train}
    assert {request.checkpoint for request in trained.values()} == {plan.checkpoint}


def test_only_the_given_test_images_are_tested(done):
    _, rows = done
    assert [(row.count, row.dataset, row.image) for row in rows] == [(count, 2, "img_04") for count in (0, 1, 3)]


def test_the_folder_gives_back_rows_models_and_plan(done, plan):
    out, rows = done
    folder = StudyFolder(out)
    assert list(folder.rows) == rows and folder.plan == plan and folder.is_finished
    assert [(arm.count, file.name) for arm, file in folder.models.items()] == [
        (1, "model.safetensors"), (3, "model.safetensors"),
    ]  # fmt: skip


@pytest.mark.parametrize("wrong", [{"count": 3}, {"seed": 4}, {"dataset": 1}, {"dataset": 3}])
def test_scores_of_another_model_or_of_no_test_image_are_told(done, tmp_path, wrong):
    out = shutil.copytree(done[0], tmp_path / "out")
    file = out / "rows" / "01-images-seed-3.json"
    file.write_text(json.dumps([row | wrong for row in json.loads(file.read_text())]))
    with pytest.raises(DataError, match=r"01-images-seed-3.*not the scores of this model"):
        _ = StudyFolder(out).rows
    with pytest.raises(DataError, match="01-images-seed-3"):
        drain(run_study(StudyFolder(out).plan, out))


def test_what_is_forgotten_comes_from_the_patches_of_the_base(done):
    out, rows = done
    folder = StudyFolder(out)
    ends = {
        arm.count: next(e for e in RunFolder(file.parent).events() if hasattr(e, "old_dice_after"))
        for arm, file in folder.models.items()
    }
    old = [row for row in folder.rows_and_patches if row.dataset == 1]
    assert [(row.count, row.dice) for row in old] == [
        (0, ends[1].old_dice_before), (1, ends[1].old_dice_after), (3, ends[3].old_dice_after),
    ]  # fmt: skip
    assert folder.rows_and_patches == (*rows, *old)


def test_a_folder_of_dataset_1_is_tested_like_dataset_2(plan, old, tmp_path):
    both = plan.model_copy(update={"dataset1": old, "counts": (0, 1)})
    rows = drain(run_study(both, tmp_path))
    assert [(s.dataset, s.count, s.images) for s in summarize(rows)] == [(1, 0, 4), (1, 1, 4), (2, 0, 1), (2, 1, 1)]
    assert StudyFolder(tmp_path).rows_and_patches == tuple(rows)


def test_a_base_without_patches_leaves_dataset_1_unmeasured(plan, tmp_path):
    bare = tmp_path / "bare.safetensors"
    random_model(ModelConfig(width=16, levels=2), CONFIG).save(bare)
    assert load_model(bare).rehearsal is None
    drain(run_study(plan.model_copy(update={"checkpoint": str(bare), "counts": (0, 1)}), tmp_path / "out"))
    assert {row.dataset for row in StudyFolder(tmp_path / "out").rows_and_patches} == {2}


def test_an_interrupted_curve_goes_on_in_the_same_folder(plan, done, tmp_path):
    study = run_study(plan, tmp_path)
    while not isinstance(next(study), StepEnd):
        pass
    study.close()
    assert not StudyFolder(tmp_path).is_finished
    assert drain(run_study(plan, tmp_path)) == done[1]


@pytest.mark.parametrize(
    ("changes", "sentence"), [({"test": ()}, "no image to test on"), ({"counts": (0, 4)}, "too few for 4")]
)
def test_what_cannot_be_done_is_refused_before_any_work(plan, tmp_path, changes, sentence):
    with pytest.raises(DataError, match=sentence):
        next(run_study(plan.model_copy(update=changes), tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_folders_of_other_jobs_are_passed_over(done, tmp_path):
    (tmp_path / "other").mkdir()
    assert [study.path for study in find_studies([tmp_path / "other", done[0]])] == [done[0]]
    with pytest.raises(RunError, match="holds no readable request"):
        _ = StudyFolder(tmp_path / "other").plan


def test_a_curve_that_was_only_asked_for_has_a_plan_and_nothing_else(plan, tmp_path):
    write_request(tmp_path, plan)
    folder = StudyFolder(tmp_path)
    assert folder.plan == plan and folder.rows_and_patches == () and not folder.is_finished
    assert list(find_studies([tmp_path])) == []


def test_reading_a_study_needs_no_torch(loaded_by):
    code = "import napari_unet_finetune.learning_curve.folder, napari_unet_finetune.evaluation.rows"
    assert not {"torch", "matplotlib", "pandas"} & loaded_by(code)
